//! `FeatureExtractor`: encoded images in, embeddings out, as Arrow.

use std::path::PathBuf;
use std::process;
use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict, PyTuple};

use crate::columns;
use crate::extractor::FeatureExtractor;
use crate::options::Options;
use crate::python::column::ImageColumn;
use crate::python::error::detach;
use crate::python::locked::{Locked, map};
use crate::python::options::{Numbers, layers, preparation};
use crate::python::runtime::runtime;
use crate::stage_times::{Stage, StageTimes};
use crate::tensor::Layout;

/// The model that needs no file: images, resized and flattened.
const PIXELS: &str = "pixels";

/// What an extractor is made of.
#[derive(FromPyObject)]
enum Source<'py> {
    /// One that has its options already: the other will be its twin.
    Extractor(Bound<'py, PyFeatureExtractor>),
    Model(PathBuf),
}

/// The extractor of a model file, or of `"pixels"`; `sparkcider.FeatureExtractor` finds the file by its name or URI.
///
/// Args:
///     model: `"pixels"`, the path of an ONNX file with one image input, or an extractor, whose twin this will be.
///     input_size: This and all other options are those of `sparkcider.FeatureExtractor`.
///     description: Entries of metadata that override those of the file, as pairs of a name and a text.
#[pyclass(frozen, subclass, name = "FeatureExtractor", module = "sparkcider._native")]
pub struct PyFeatureExtractor {
    extractor: Locked<FeatureExtractor>,
    /// Outside of the lock, to be read while a batch is embedded.
    times: Arc<StageTimes>,
    /// An inherited session has lost its threads: a forked child must build its own.
    pid: u32,
    /// D, the length of an embedding; of a list of layers the sum of theirs.
    #[pyo3(get)]
    embedding_dim: usize,
    layers: Option<Vec<(String, usize)>>,
    outputs: Vec<(String, Option<String>)>,
    /// What is wrong with the output that is taken because nobody names one, in a sentence.
    #[pyo3(get, name = "_doubt")]
    doubt: Option<String>,
    /// Whether each vector is divided by its Euclidean norm.
    #[pyo3(get)]
    l2_normalize: bool,
    /// (height, width) in pixels of the model's input.
    #[pyo3(get)]
    input_size: (u32, u32),
    /// SHA-256 of the model file in hexadecimal, or `pixels`.
    #[pyo3(get)]
    checksum: String,
    decided: Options,
}

#[pymethods]
impl PyFeatureExtractor {
    #[new]
    #[pyo3(signature = (
        model, *, input_size=None, resize_mode=None, resize_size=None, crop_ratio=None, filter=None, rounding=None,
        resize_dtype=None, fill_color=None, normalization=None, layout=None, color_order=None, pooling=None,
        prefix_tokens=None, layer=None, layer_layout=None, l2_normalize=None, intra_threads=None, decode=None,
        apply_exif=true, max_pixels=None, background=None, description=Vec::new(),
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of the Python signature
    fn new(
        py: Python<'_>,
        model: Source<'_>,
        input_size: Option<Bound<'_, PyAny>>,
        resize_mode: Option<&str>,
        resize_size: Option<Bound<'_, PyAny>>,
        crop_ratio: Option<Bound<'_, PyAny>>,
        filter: Option<&str>,
        rounding: Option<&str>,
        resize_dtype: Option<&str>,
        fill_color: Option<Bound<'_, PyAny>>,
        normalization: Option<Bound<'_, PyAny>>,
        layout: Option<&str>,
        color_order: Option<&str>,
        pooling: Option<&str>,
        prefix_tokens: Option<Bound<'_, PyAny>>,
        layer: Option<Bound<'_, PyAny>>,
        layer_layout: Option<&str>,
        l2_normalize: Option<bool>,
        intra_threads: Option<Bound<'_, PyAny>>,
        decode: Option<&str>,
        apply_exif: bool,
        max_pixels: Option<Bound<'_, PyAny>>,
        background: Option<Bound<'_, PyAny>>,
        description: Vec<(String, String)>,
    ) -> PyResult<Self> {
        let numbers = Numbers {
            input_size: input_size.as_ref(),
            resize_size: resize_size.as_ref(),
            crop_ratio: crop_ratio.as_ref(),
            fill_color: fill_color.as_ref(),
            normalization: normalization.as_ref(),
            prefix_tokens: prefix_tokens.as_ref(),
            intra_threads: intra_threads.as_ref(),
            max_pixels: max_pixels.as_ref(),
            background: background.as_ref(),
        };
        let options = Options {
            resize_mode: resize_mode.map(str::parse).transpose()?,
            filter: filter.map(str::parse).transpose()?,
            rounding: rounding.map(str::parse).transpose()?,
            resize_dtype: resize_dtype.map(str::parse).transpose()?,
            layout: layout.map(str::parse).transpose()?,
            color_order: color_order.map(str::parse).transpose()?,
            pooling: pooling.map(str::parse).transpose()?,
            layer_layout: layer_layout.map(|text| Layout::parse("layer_layout", text)).transpose()?,
            layer: layer.as_ref().map(layers).transpose()?,
            l2_normalize,
            decode: decode.map(str::parse).transpose()?.unwrap_or_default(),
            apply_exif,
            description,
            ..numbers.options()?
        };
        let extractor = match model {
            Source::Extractor(other) if options == Options::default() => return other.get().twin(py),
            Source::Extractor(_) => {
                return Err(PyValueError::new_err("an extractor's twin has its options: give none"));
            }
            Source::Model(path) if path.as_os_str() == PIXELS => detach(py, || FeatureExtractor::pixels(&options))?,
            Source::Model(path) => {
                let runtime = runtime(py)?;
                detach(py, || FeatureExtractor::new(&path, &runtime, &options))?
            }
        };
        Ok(extractor.into())
    }

    /// Embeds a column of encoded images.
    ///
    /// Args:
    ///     images: `binary`, `large_binary` or `binary_view`, N rows: anything with `__arrow_c_array__` or
    ///         `__arrow_c_stream__`.
    ///     with_kinds: Give the kinds of the errors, too.
    ///
    /// Returns:
    ///     (features, errors), or (features, errors, kinds): a fixed-size list of D float32, null for a bad image; the
    ///     reason as a string, null for a good one; and one of the words in `sparkcider.error_kinds`, null for a good
    ///     one. With a list as `layer`, features are a struct of such lists, by the layers' names. pyarrow Arrays for an
    ///     array; ChunkedArrays for a stream, which is read batch by batch.
    ///
    /// Raises:
    ///     TypeError: The column is not binary.
    ///     ModelError: The network itself failed.
    #[pyo3(signature = (images, *, with_kinds=false))]
    fn extract<'py>(&self, py: Python<'py>, images: ImageColumn, with_kinds: bool) -> PyResult<Bound<'py, PyTuple>> {
        self.check_process()?;
        let columns =
            map(py, images.0, |batch| self.extractor.with(py, |extractor| columns::extract(extractor, batch)))?;
        PyTuple::new(py, columns.into_iter().take(if with_kinds { 3 } else { 2 }))
    }

    /// What `extract` gives with kinds, and previews: a struct of `digest`, `fingerprint` and `thumbnail`, each `binary`, null for a
    /// bad image; thumbnails are null unless they are wanted.
    #[pyo3(name = "_extract_with_previews", signature = (images, *, thumbnails))]
    fn extract_with_previews(&self, py: Python<'_>, images: ImageColumn, thumbnails: bool) -> PyResult<[Py<PyAny>; 4]> {
        self.check_process()?;
        map(py, images.0, |batch| {
            self.extractor.with(py, |extractor| columns::extract_with_previews(extractor, batch, thumbnails))
        })
    }

    /// The seconds that each stage has taken so far, over all calls of `extract`, which may be running.
    ///
    /// Returns:
    ///     `decoding` (bytes to pixels, the turn by EXIF included), `resizing` (pixels to the network's input) and
    ///     `inference` (the network; 0 for `pixels`). What is between them, Arrow above all, is in none.
    fn stage_seconds<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let name = |stage| match stage {
            Stage::Decoding => "decoding",
            Stage::Resizing => "resizing",
            Stage::Inference => "inference",
        };
        Stage::ALL.map(|stage| (name(stage), self.times.of(stage).as_secs_f64())).into_py_dict(py)
    }

    /// How images are prepared, everything decided: keyword arguments that say it again, whatever the defaults are.
    ///
    /// `input_size`, `resize_mode`, `resize_size`, `crop_ratio`, `filter`, `rounding`, `resize_dtype`, `fill_color`,
    /// `normalization`, `layout`, `color_order`, `decode`, `apply_exif` and `background`; None for what has no effect.
    #[getter]
    fn preprocessing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        preparation(py, &self.decided)
    }

    /// D of each layer by its name, in the order requested; None unless `layer` was a list.
    #[getter]
    fn layer_dims<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        self.layers.as_ref().map(|layers| layers.iter().map(|(name, dim)| (name, dim)).into_py_dict(py)).transpose()
    }

    /// The tensors of the network that features are taken of, and how each becomes a vector: one of the words of `pooling`, None for
    /// one that is a vector already. Empty for `pixels`.
    #[getter]
    fn outputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        self.outputs.iter().map(|(name, pooling)| (name, pooling)).into_py_dict(py)
    }

    /// An extractor that prepares images as this one does and gives the network's input instead of its output.
    #[pyo3(name = "_inputs")]
    fn inputs(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::from(self.extractor.with(py, |extractor| Ok(extractor.inputs()))?))
    }
}

impl PyFeatureExtractor {
    /// A second extractor that does the same, for another thread.
    fn twin(&self, py: Python<'_>) -> PyResult<Self> {
        self.check_process()?;
        Ok(self.extractor.with(py, FeatureExtractor::twin)?.into())
    }

    fn check_process(&self) -> PyResult<()> {
        if self.pid == process::id() {
            return Ok(());
        }
        Err(PyRuntimeError::new_err(format!(
            "this FeatureExtractor was made in process {}; build one in process {}: sessions do not survive a fork",
            self.pid,
            process::id()
        )))
    }
}

impl From<FeatureExtractor> for PyFeatureExtractor {
    fn from(extractor: FeatureExtractor) -> Self {
        Self {
            embedding_dim: extractor.embedding_dim(),
            layers: extractor
                .layers()
                .map(|layers| layers.into_iter().map(|(name, dim)| (name.to_owned(), dim)).collect()),
            outputs: extractor
                .outputs()
                .into_iter()
                .map(|(name, pooling)| (name.to_owned(), pooling.map(|pooling| pooling.to_string())))
                .collect(),
            doubt: extractor.doubt().map(str::to_owned),
            l2_normalize: extractor.is_l2_normalized(),
            input_size: extractor.preprocessing().size(),
            times: extractor.times(),
            checksum: extractor.checksum().unwrap_or(PIXELS).to_owned(),
            decided: extractor.preprocessing().decided().clone(),
            extractor: Locked::new(extractor),
            pid: process::id(),
        }
    }
}

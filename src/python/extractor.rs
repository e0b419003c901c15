//! `FeatureExtractor`: encoded images in, embeddings out, as Arrow.

use std::path::PathBuf;
use std::process;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyArray;

use crate::columns;
use crate::extractor::FeatureExtractor;
use crate::options::Options;
use crate::python::error::detach;
use crate::python::locked::{Locked, map};
use crate::python::options::Numbers;
use crate::python::runtime::runtime;
use crate::tensor::Layout;

/// The model that needs no file: images, resized and flattened.
const PIXELS: &str = "pixels";

/// The extractor of a model file, or of `"pixels"`; `sparkcider.FeatureExtractor` finds the file by its name or URI.
///
/// Args:
///     model: `"pixels"`, or the path of an ONNX file with one image input.
///     input_size: This and all other options are those of `sparkcider.FeatureExtractor`.
#[pyclass(frozen, subclass, name = "FeatureExtractor", module = "sparkcider._native")]
pub struct PyFeatureExtractor {
    extractor: Locked<FeatureExtractor>,
    /// An inherited session has lost its threads: a forked child must build its own.
    pid: u32,
    /// D, the length of an embedding.
    #[pyo3(get)]
    embedding_dim: usize,
    /// (height, width) in pixels of the model's input.
    #[pyo3(get)]
    input_size: (u32, u32),
    /// SHA-256 of the model file in hexadecimal, or `pixels`.
    #[pyo3(get)]
    checksum: String,
}

#[pymethods]
impl PyFeatureExtractor {
    #[new]
    #[pyo3(signature = (
        model, *, input_size=None, resize_mode=None, crop_ratio=None, filter=None, normalization=None, layout=None,
        color_order=None, pooling=None, layer=None, layer_layout=None, intra_threads=None, apply_exif=true,
        max_pixels=None, background=None,
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of the Python signature
    fn new(
        py: Python<'_>,
        model: PathBuf,
        input_size: Option<Bound<'_, PyAny>>,
        resize_mode: Option<&str>,
        crop_ratio: Option<Bound<'_, PyAny>>,
        filter: Option<&str>,
        normalization: Option<Bound<'_, PyAny>>,
        layout: Option<&str>,
        color_order: Option<&str>,
        pooling: Option<&str>,
        layer: Option<String>,
        layer_layout: Option<&str>,
        intra_threads: Option<Bound<'_, PyAny>>,
        apply_exif: bool,
        max_pixels: Option<Bound<'_, PyAny>>,
        background: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let numbers = Numbers {
            input_size: input_size.as_ref(),
            crop_ratio: crop_ratio.as_ref(),
            normalization: normalization.as_ref(),
            intra_threads: intra_threads.as_ref(),
            max_pixels: max_pixels.as_ref(),
            background: background.as_ref(),
        };
        let options = Options {
            resize_mode: resize_mode.map(str::parse).transpose()?,
            filter: filter.map(str::parse).transpose()?,
            layout: layout.map(str::parse).transpose()?,
            color_order: color_order.map(str::parse).transpose()?,
            pooling: pooling.map(str::parse).transpose()?,
            layer_layout: layer_layout.map(|text| Layout::parse("layer_layout", text)).transpose()?,
            layer,
            apply_exif,
            ..numbers.options()?
        };
        let extractor = if model.as_os_str() == PIXELS {
            detach(py, || FeatureExtractor::pixels(&options))?
        } else {
            let runtime = runtime(py)?;
            detach(py, || FeatureExtractor::new(&model, &runtime, &options))?
        };
        Ok(extractor.into())
    }

    /// Embeds a column of encoded images.
    ///
    /// Args:
    ///     images: `binary`, `large_binary` or `binary_view`, N rows: anything with `__arrow_c_array__` or
    ///         `__arrow_c_stream__`.
    ///
    /// Returns:
    ///     (features, errors): a fixed-size list of D float32, null for a bad image, and the reason as a string, null
    ///     for a good one. pyarrow Arrays for an array; ChunkedArrays for a stream, which is read batch by batch.
    ///
    /// Raises:
    ///     TypeError: The column is not binary.
    ///     ModelError: The network itself failed.
    fn extract(&self, py: Python<'_>, images: AnyArray) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        if self.pid != process::id() {
            return Err(PyRuntimeError::new_err(format!(
                "this FeatureExtractor was made in process {}; build one in process {}: sessions do not survive a fork",
                self.pid,
                process::id()
            )));
        }
        let [features, errors] =
            map(py, images, |batch| self.extractor.with(py, |extractor| columns::extract(extractor, batch)))?;
        Ok((features, errors))
    }

    /// An extractor that prepares images as this one does and gives the network's input instead of its output.
    #[pyo3(name = "_inputs")]
    fn inputs(&self, py: Python<'_>) -> PyResult<Self> {
        Ok(Self::from(self.extractor.with(py, |extractor| Ok(extractor.inputs()))?))
    }
}

impl From<FeatureExtractor> for PyFeatureExtractor {
    fn from(extractor: FeatureExtractor) -> Self {
        Self {
            embedding_dim: extractor.embedding_dim(),
            input_size: extractor.preprocessing().size(),
            checksum: extractor.checksum().unwrap_or(PIXELS).to_owned(),
            extractor: Locked::new(extractor),
            pid: process::id(),
        }
    }
}

//! `FeatureExtractor`: encoded images in, embeddings out, as Arrow.

use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, MutexGuard, PoisonError};

use arrow_array::{Array, ArrayRef, new_empty_array};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_arrow::input::AnyArray;
use pyo3_arrow::{PyArray, PyChunkedArray};

use crate::columns::{binary_rows, features_columns};
use crate::embedding::Pooling;
use crate::extractor::{ExtractorOptions, FeatureExtractor};
use crate::image::decode::DecodeOptions;
use crate::image::decode::limits::{DecodeLimits, MAX_PIXELS};
use crate::image::resize::ResizeMode;
use crate::model::{ModelOptions, PIXELS};
use crate::python::error::detach;
use crate::tensor::Normalization;
use crate::{Error, Result};

/// A side for a square, or (height, width); wider than the core's type so that a negative side gets a sentence.
#[derive(FromPyObject)]
enum Size {
    Square(i64),
    Sides(i64, i64),
}

impl Size {
    fn sides(&self) -> Result<(u32, u32)> {
        let (height, width) = match *self {
            Self::Square(side) => (side, side),
            Self::Sides(height, width) => (height, width),
        };
        match (u32::try_from(height), u32::try_from(width)) {
            (Ok(height @ 1..), Ok(width @ 1..)) => Ok((height, width)),
            _ => Err(Error::Option {
                name: "input_size",
                expected: "at least 1 x 1 pixels".to_owned(),
                found: format!("({height}, {width})"),
            }),
        }
    }
}

/// A preset's name, or (mean, std) per RGB channel in [0, 1].
#[derive(FromPyObject)]
enum Scaling {
    Preset(String),
    MeanStd([f32; 3], [f32; 3]),
}

/// Turns encoded images into embeddings with one model.
///
/// Args:
///     model: `"pixels"`, or an ONNX file with one image input (float32, rank 4): a path, or a name or URI as
///         `sparkcider.models.resolve` takes them.
///     input_size: Side or (height, width) in pixels. Default: what the model says; 20 for `pixels`.
///     resize_mode: `squash` (default), `center_crop` or `letterbox`.
///     crop_ratio: For `center_crop`: input size over the short side before the cut. Default 0.875.
///     filter: `nearest`, `box`, `bilinear`, `hamming`, `bicubic` (default; `pixels`: `nearest`) or `lanczos`.
///     normalization: `tf`, `caffe`, `torch`, `unit`, `raw`, or (mean, std) in [0, 1] per RGB channel. Must be given
///         where the model file does not say it; `pixels`: `unit`.
///     layout: `NCHW` or `NHWC`. Default: what the graph says.
///     color_order: `RGB` or `BGR`. Default: the normalization's own.
///     pooling: `avg` (default), `max` or `flatten`, for a model whose output is a feature map.
///     layer: Name of the output, or of any tensor inside the graph, to take. Default: the first output.
///     intra_threads: Threads inside one operator. Default 1, as a Spark task is one core.
///     apply_exif: Turn images upright as their EXIF orientation says. Default True.
///     max_pixels: Refuse images over this many pixels by their header. Default 178,956,970, Pillow's error limit.
///     background: RGB colour that transparent pixels and letterbox bars get. Default: alpha is dropped, bars are black.
///
/// Raises:
///     FileNotFoundError: There is no such model file.
///     ModelError: The file cannot be read, is no ONNX, or no network with one image input, or ONNX Runtime cannot be loaded.
///     ValueError: An option has a value that it cannot take, or is missing.
///
/// Example:
///     >>> import pyarrow as pa
///     >>> from sparkcider import FeatureExtractor
///     >>> features, errors = FeatureExtractor("pixels").extract(pa.array([b"no image", None]))
///     >>> len(features), features.null_count, errors[1].as_py()
///     (2, 2, 'null image')
#[pyclass(frozen, name = "FeatureExtractor", module = "sparkcider")]
pub struct PyFeatureExtractor {
    extractor: Mutex<FeatureExtractor>,
    /// An inherited session has lost its threads: a forked child must build its own.
    pid: u32,
}

#[pymethods]
impl PyFeatureExtractor {
    #[new]
    #[pyo3(signature = (
        model, *, input_size=None, resize_mode=None, crop_ratio=None, filter=None, normalization=None, layout=None,
        color_order=None, pooling=None, layer=None, intra_threads=1, apply_exif=true, max_pixels=MAX_PIXELS,
        background=None,
    ))]
    #[allow(clippy::too_many_arguments)] // keyword arguments of the Python signature
    fn new(
        py: Python<'_>,
        model: PathBuf,
        input_size: Option<Size>,
        resize_mode: Option<&str>,
        crop_ratio: Option<f32>,
        filter: Option<&str>,
        normalization: Option<Scaling>,
        layout: Option<&str>,
        color_order: Option<&str>,
        pooling: Option<&str>,
        layer: Option<String>,
        intra_threads: usize,
        apply_exif: bool,
        max_pixels: u64,
        background: Option<[u8; 3]>,
    ) -> PyResult<Self> {
        let options = ExtractorOptions {
            decode: DecodeOptions { apply_exif, limits: DecodeLimits { max_pixels }, background },
            model: ModelOptions {
                input_size: input_size.as_ref().map(Size::sides).transpose()?,
                resize_mode: resize_mode.map(|mode| ResizeMode::parse(mode, crop_ratio, background)).transpose()?,
                filter: filter.map(str::parse).transpose()?,
                normalization: normalization.map(scaling).transpose()?,
                layout: layout.map(str::parse).transpose()?,
                color_order: color_order.map(str::parse).transpose()?,
            },
            layer,
            pooling: pooling.map(str::parse::<Pooling>).transpose()?,
            intra_threads,
        };
        let model = resolved(py, model)?;
        let bundled = bundled_runtime(py)?;
        let extractor = detach(py, || FeatureExtractor::new(&model.to_string_lossy(), &bundled, &options))?;
        Ok(Self { extractor: Mutex::new(extractor), pid: process::id() })
    }

    /// Embeds a column of encoded images.
    ///
    /// Args:
    ///     images: `binary`, `large_binary` or `binary_view`, N rows: anything with `__arrow_c_array__` or
    ///         `__arrow_c_stream__`.
    ///
    /// Returns:
    ///     (features, errors): a fixed-size list of D float32, null for a bad image, and the reason as a string, null
    ///     for a good one. pyarrow Arrays for an array, ChunkedArrays for a stream.
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
        match images {
            AnyArray::Array(array) => {
                let (array, _) = array.into_inner();
                let (features, errors) = detach(py, || self.columns(array.as_ref()))?;
                let pyarrow = |array| PyResult::Ok(PyArray::from_array_ref(array).to_pyarrow(py)?.unbind());
                Ok((pyarrow(features)?, pyarrow(errors)?))
            }
            AnyArray::Stream(stream) => {
                let (mut chunks, field) = AnyArray::Stream(stream).into_chunked_array()?.into_inner();
                if chunks.is_empty() {
                    chunks.push(new_empty_array(field.data_type())); // so that the results have their types
                }
                let (features, errors): (Vec<_>, Vec<_>) =
                    detach(py, || chunks.iter().map(|chunk| self.columns(chunk.as_ref())).collect::<Result<Vec<_>>>())?
                        .into_iter()
                        .unzip();
                let pyarrow =
                    |chunks| PyResult::Ok(PyChunkedArray::from_array_refs(chunks)?.into_pyarrow(py)?.unbind());
                Ok((pyarrow(features)?, pyarrow(errors)?))
            }
        }
    }

    /// An extractor that prepares images as this one does and gives the network's input instead of its output.
    #[pyo3(name = "_inputs")]
    fn inputs(&self) -> Self {
        Self { extractor: Mutex::new(self.lock().inputs()), pid: process::id() }
    }

    /// D, the length of an embedding.
    #[getter]
    fn embedding_dim(&self) -> usize {
        self.lock().embedding_dim()
    }

    /// (height, width) in pixels of the model's input.
    #[getter]
    fn input_size(&self) -> (u32, u32) {
        let extractor = self.lock();
        (extractor.preprocessing().height, extractor.preprocessing().width)
    }

    /// SHA-256 of the model file in hexadecimal, or `pixels`.
    #[getter]
    fn checksum(&self) -> String {
        self.lock().checksum().to_owned()
    }
}

impl PyFeatureExtractor {
    fn lock(&self) -> MutexGuard<'_, FeatureExtractor> {
        self.extractor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn columns(&self, array: &dyn Array) -> Result<(ArrayRef, ArrayRef)> {
        let rows = binary_rows(array)?;
        let mut extractor = self.lock();
        let features = extractor.extract(rows.into_iter())?;
        features_columns(features, extractor.embedding_dim())
    }
}

fn scaling(given: Scaling) -> Result<Normalization> {
    match given {
        Scaling::Preset(name) => name.parse(),
        Scaling::MeanStd(mean, std) => Ok(Normalization::MeanStd { mean, std }),
    }
}

/// The file that a name or URI stands for: `sparkcider.models` finds, checks and caches it.
fn resolved(py: Python<'_>, model: PathBuf) -> PyResult<PathBuf> {
    if model.as_os_str() == PIXELS || model.is_file() {
        return Ok(model);
    }
    py.import("sparkcider.models")?.call_method1("resolve", (model.to_string_lossy(),))?.extract()
}

/// The folder beside the compiled module that holds the wheel's ONNX Runtime.
pub fn bundled_runtime(py: Python<'_>) -> PyResult<PathBuf> {
    let module: PathBuf = py.import("sparkcider._native")?.filename()?.extract()?;
    Ok(module.with_file_name("onnxruntime"))
}

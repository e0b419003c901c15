//! What `sparkcider.models` asks the native side about a model file.

use std::fs;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::graph::{Declared, summary};
use crate::layers::layers;
use crate::python::error::detach;
use crate::python::extractor::bundled_runtime;
use crate::tensor::Layout;
use crate::{Error, Result};

/// Name, and axes or None where even their number is open.
type Value = (String, Option<Vec<i64>>);
/// Opset, inputs, outputs, metadata, whether weights lie outside.
type Summary = (i64, Vec<Value>, Vec<Value>, Vec<(String, String)>, bool);

/// (opset, inputs, outputs, metadata, external weights) as an ONNX file says; loads no ONNX Runtime.
#[pyfunction]
#[pyo3(name = "_model_summary")]
pub fn model_summary(py: Python<'_>, path: PathBuf) -> PyResult<Summary> {
    let values = |declared: Vec<Declared>| declared.into_iter().map(|value| (value.name, value.shape)).collect();
    detach(py, || {
        let no_onnx = |error: Error| Error::Model { model: path.display().to_string(), reason: error.to_string() };
        let found = summary(&read(&path)?).map_err(no_onnx)?;
        Ok((found.opset, values(found.inputs), values(found.outputs), found.metadata, found.external_weights))
    })
}

/// (name, operator, shape for one image) of each tensor that `layer` can name.
#[pyfunction]
#[pyo3(name = "_model_layers", signature = (path, input_size=None, layout=None))]
pub fn model_layers(
    py: Python<'_>,
    path: PathBuf,
    input_size: Option<(u32, u32)>,
    layout: Option<&str>,
) -> PyResult<Vec<(String, String, Vec<i64>)>> {
    let layout = layout.map(str::parse::<Layout>).transpose()?;
    let bundled = bundled_runtime(py)?;
    let found = detach(py, || layers(&path, &bundled, input_size, layout))?;
    Ok(found.into_iter().map(|layer| (layer.name, layer.operator, layer.shape)).collect())
}

fn read(path: &PathBuf) -> Result<Vec<u8>> {
    let shown = path.display().to_string();
    if !path.is_file() {
        return Err(Error::ModelNotFound { path: shown });
    }
    fs::read(path).map_err(|error| Error::Model { model: shown, reason: error.to_string() })
}

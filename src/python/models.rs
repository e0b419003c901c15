//! What `sparkcider.models` asks the native side about a model file.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::onnx::{Declared, Graph, ModelFile, layers};
use crate::python::error::detach;
use crate::python::options::sides;
use crate::python::runtime::runtime;
use crate::tensor::Layout;

/// Name, and axes or None where even their number is open.
type Value = (String, Option<Vec<i64>>);
/// Opset, inputs, outputs, metadata, whether weights lie outside.
type Summary = (i64, Vec<Value>, Vec<Value>, Vec<(String, String)>, bool);
/// Name, operator, shape for one image, layout.
type Layer = (String, String, Vec<i64>, Option<String>);

/// (opset, inputs, outputs, metadata, external weights) as an ONNX file says; loads no ONNX Runtime.
#[pyfunction]
#[pyo3(name = "_model_summary")]
pub(super) fn model_summary(py: Python<'_>, path: PathBuf) -> PyResult<Summary> {
    let values = |declared: Vec<Declared>| declared.into_iter().map(|value| (value.name, value.shape)).collect();
    detach(py, || {
        let file = ModelFile::open(&path)?;
        let found = Graph::decode(&file.name(), &file.onnx)?;
        Ok((found.opset, values(found.inputs), values(found.outputs), found.metadata, found.external_weights))
    })
}

/// (name, operator, shape for one image, layout of a map where it is known) of each tensor that `layer` can name.
#[pyfunction]
#[pyo3(name = "_model_layers", signature = (path, input_size=None, layout=None))]
pub(super) fn model_layers(
    py: Python<'_>,
    path: PathBuf,
    input_size: Option<Bound<'_, PyAny>>,
    layout: Option<&str>,
) -> PyResult<Vec<Layer>> {
    let layout = layout.map(str::parse::<Layout>).transpose()?;
    let size = input_size.as_ref().map(sides).transpose()?;
    let runtime = runtime(py)?;
    let found = detach(py, || layers(&path, &runtime, size, layout))?;
    let text = |layout: Option<Layout>| layout.map(|layout| layout.to_string());
    Ok(found.into_iter().map(|layer| (layer.name, layer.operator, layer.shape, text(layer.layout))).collect())
}

//! What `sparkcider.models` asks the native side about a model file.

use std::fs;
use std::path::PathBuf;

use pyo3::prelude::*;

use crate::Error;
use crate::onnx::{Declared, Graph, ModelFile, classifier_doubt, layers, slow_parts, usual_output};
use crate::python::error::detach;
use crate::python::options::sides;
use crate::python::runtime::runtime;
use crate::tensor::Layout;

/// Name, and axes or None where even their number is open.
type Value = (String, Option<Vec<i64>>);
/// Opset, inputs, outputs, metadata, files of weights, the usual output, what is wrong with it, what makes the file slow.
type Summary =
    (i64, Vec<Value>, Vec<Value>, Vec<(String, String)>, Vec<String>, Option<String>, Option<String>, Vec<String>);
/// Name, operator, shape for one image, layout.
type Layer = (String, String, Vec<i64>, Option<String>);

/// (opset, inputs, outputs, metadata, files of weights beside it, the output that is taken where nobody says which, what is wrong
/// with that, what makes the file slow) of an ONNX file; loads no ONNX Runtime and reads no other file.
#[pyfunction]
#[pyo3(name = "_model_summary")]
pub(super) fn model_summary(py: Python<'_>, path: PathBuf) -> PyResult<Summary> {
    let values = |declared: Vec<Declared>| declared.into_iter().map(|value| (value.name, value.shape)).collect();
    detach(py, || {
        let file = ModelFile::alone(&path)?;
        let found = Graph::decode(&file.name(), &file.onnx)?;
        let output = usual_output(&found).map(str::to_owned);
        let (doubt, slow) = (classifier_doubt(&found), slow_parts(&found));
        let external_files = found.external_files.into_iter().collect();
        let (inputs, outputs) = (values(found.inputs), values(found.outputs));
        Ok((found.opset, inputs, outputs, found.metadata, external_files, output, doubt, slow))
    })
}

/// Writes the ONNX file at `path` to `to`, with the weights inside that are in files beside it. Returns the SHA-256 of what is
/// written in hexadecimal.
#[pyfunction]
#[pyo3(name = "_write_whole_model")]
pub(super) fn write_whole_model(py: Python<'_>, path: PathBuf, to: PathBuf) -> PyResult<String> {
    detach(py, || {
        let file = ModelFile::open(&path)?;
        fs::write(&to, &file.onnx).map_err(|cause| Error::ModelIo { path: to.display().to_string(), cause })?;
        Ok(file.checksum())
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

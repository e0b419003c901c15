//! The tensors inside a network that can serve as features, with their shapes.

use std::fs;

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::embedding::{build, image_input};
use crate::model::{InputSpec, shape_text};
use crate::tensor::Layout;
use crate::{Error, Result, graph, onnxruntime};

/// Images of the trial run where the graph leaves it open: a weight, whose first axis is no batch, is rarely as short.
const TRIAL_BATCH: usize = 2;

/// A tensor that `layer` can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The operator that gives it, such as `Conv`.
    pub operator: String,
    /// Its shape for one image: (D) or the three axes of a map, in the graph's order.
    pub shape: Vec<i64>,
}

/// Runs the network of `model` once on black images of `input_size` (height, width) and lists its float vectors and maps in the
/// order of its operators. Nothing is fused in this run: every tensor of the file is there.
///
/// # Errors
/// As [`crate::FeatureExtractor::new`] for the model; [`Error::Option`] if its graph takes any size and none is given.
pub fn layers(
    model: &Path,
    bundled: &Path,
    input_size: Option<(u32, u32)>,
    layout: Option<Layout>,
) -> Result<Vec<Layer>> {
    let shown = model.display().to_string();
    let fault = |reason: String| Error::Model { model: shown.clone(), reason };
    if !model.is_file() {
        return Err(Error::ModelNotFound { path: shown });
    }
    let onnx = fs::read(model).map_err(|error| fault(error.to_string()))?;
    let tensors: Vec<_> = graph::tensors(&onnx)
        .map_err(|error| fault(error.to_string()))?
        .into_iter()
        .filter(|tensor| tensor.operator != "Constant")
        .collect();
    let declared = graph::summary(&onnx)?.outputs;
    let inner = tensors.iter().map(|tensor| tensor.name.as_str());
    let inner = inner.filter(|name| declared.iter().all(|output| output.name != *name));
    let onnx = graph::with_outputs(onnx, inner);

    let environment = onnxruntime::environment(&onnxruntime::library(bundled)?)?;
    let mut session =
        build(&environment, 1, GraphOptimizationLevel::Disable, |builder| builder.commit_from_memory(&onnx))
            .map_err(fault)?;
    let input = image_input(&session, layout).map_err(fault)?;
    let (height, width) = trial_size(&shown, &input, input_size)?;
    let mut shapes = trial_run(&mut session, &input, height, width).map_err(fault)?;
    let layer = |tensor: graph::GraphTensor| {
        let at = shapes.iter().position(|(name, _)| *name == tensor.name)?;
        let (name, shape) = shapes.swap_remove(at);
        Some(Layer { name, operator: tensor.operator, shape })
    };
    Ok(tensors.into_iter().filter_map(layer).collect())
}

fn trial_size(model: &str, input: &InputSpec, given: Option<(u32, u32)>) -> Result<(u32, u32)> {
    given.or(input.height.zip(input.width)).ok_or_else(|| Error::Option {
        name: "input_size",
        expected: "given as (height, width)".to_owned(),
        found: format!("nothing: the graph of {model} takes images of any size"),
    })
}

/// Names and shapes, batch axis taken off, of the outputs that are float vectors or maps of each image.
fn trial_run(
    session: &mut Session,
    input: &InputSpec,
    height: u32,
    width: u32,
) -> std::result::Result<Vec<(String, Vec<i64>)>, String> {
    let n = input.batch.unwrap_or(TRIAL_BATCH);
    let (h, w, count) = (i64::from(height), i64::from(width), i64::try_from(n).unwrap_or(i64::MAX));
    let dims = match input.layout {
        Layout::Nchw => [count, 3, h, w],
        Layout::Nhwc => [count, h, w, 3],
    };
    let black = vec![0.0_f32; n * height as usize * width as usize * 3];
    let value = TensorRef::from_array_view((dims, black.as_slice())).map_err(|error| error.to_string())?;
    let outputs = session
        .run([SessionInputValue::from(value)])
        .map_err(|error| format!("failed on input {}: {error}", shape_text(&dims)))?;
    let shape_of = |(name, value): (&str, &ort::value::DynValue)| {
        let (shape, _) = value.try_extract_tensor::<f32>().ok()?;
        match **shape {
            [batch, ref rest @ ..] if batch == count && matches!(rest.len(), 1 | 3) => {
                Some((name.to_owned(), rest.to_vec()))
            }
            _ => None,
        }
    };
    Ok(outputs.iter().filter_map(|(name, value)| shape_of((name, &value))).collect())
}

//! The tensors inside a network that can serve as features, with their shapes.

use std::path::Path;

use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use super::channels::map_layouts;
use super::file::ModelFile;
use super::graph::{self, Graph, GraphTensor};
use super::input::{input_len, input_size, shape_text};
use super::metadata::Metadata;
use super::network::image_input;
use super::runtime::Runtime;
use crate::tensor::Layout;
use crate::{Error, Result};

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
    /// Where a map has its channels, if the operators of the graph tell.
    pub layout: Option<Layout>,
}

/// Runs the network of `model` once on black images of `size` (height, width) and lists its float vectors and maps in the
/// order of its operators. Nothing is fused in this run: every tensor of the file is there.
///
/// # Errors
/// As [`crate::FeatureExtractor::new`] for the model; [`Error::Option`] if its graph takes any size and none is given.
pub fn layers(model: &Path, runtime: &Runtime, size: Option<(u32, u32)>, layout: Option<Layout>) -> Result<Vec<Layer>> {
    let file = ModelFile::open(model)?;
    let name = file.name();
    let fault = |reason: String| Error::Model { model: name.clone(), reason };
    let graph = Graph::decode(&name, &file.onnx)?;
    let metadata = Metadata::new(&name, &graph);
    let tensors: Vec<GraphTensor> = graph.tensors().filter(|tensor| tensor.operator != "Constant").collect();
    let inner = tensors.iter().map(|tensor| tensor.name.as_str());
    let inner = inner.filter(|name| graph.outputs.iter().all(|output| output.name != *name));
    let onnx = graph::with_outputs(file.onnx, inner);

    let mut session = runtime
        .session(1, GraphOptimizationLevel::Disable, |builder| builder.commit_from_memory(&onnx))
        .map_err(fault)?;
    let (image, input) = image_input(&session, &metadata, layout)?;
    let size = input_size(&input, &metadata, size)?;
    let n = input.batch.unwrap_or(TRIAL_BATCH);
    let black = vec![0.0; input_len(&name, n, size)?];
    let mut shapes = trial_run(&mut session, input.shape(n, size), &black).map_err(fault)?;
    let layouts = map_layouts(&graph, &image, input.layout);
    let layer = |tensor: GraphTensor| {
        let at = shapes.iter().position(|(name, _)| *name == tensor.name)?;
        let (name, shape) = shapes.swap_remove(at);
        let layout = layouts.get(name.as_str()).copied().filter(|_| shape.len() == 3);
        Some(Layer { name, operator: tensor.operator, shape, layout })
    };
    Ok(tensors.into_iter().filter_map(layer).collect())
}

/// Names and shapes, batch axis taken off, of the outputs that are float vectors or maps of each image.
fn trial_run(
    session: &mut Session,
    dims: [i64; 4],
    black: &[f32],
) -> std::result::Result<Vec<(String, Vec<i64>)>, String> {
    let value = TensorRef::from_array_view((dims, black)).map_err(|error| error.to_string())?;
    let outputs = session
        .run([SessionInputValue::from(value)])
        .map_err(|error| format!("failed on input {}: {error}", shape_text(&dims)))?;
    let shape_of = |(name, value): (&str, &ort::value::DynValue)| {
        let (shape, _) = value.try_extract_tensor::<f32>().ok()?;
        match **shape {
            [batch, ref rest @ ..] if batch == dims[0] && matches!(rest.len(), 1 | 3) => {
                Some((name.to_owned(), rest.to_vec()))
            }
            _ => None,
        }
    };
    Ok(outputs.iter().filter_map(|(name, value)| shape_of((name, &value))).collect())
}

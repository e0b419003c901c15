//! The tensors inside a network that can serve as features, with their shapes.

use std::path::Path;

use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;

use super::channels::map_layouts;
use super::choice::{Choice, cut, usual_output};
use super::cut::{Cut, computed_of};
use super::file::ModelFile;
use super::graph::{Graph, GraphTensor};
use super::input::{InputSpec, input_len, input_size, shape_text};
use super::metadata::Metadata;
use super::network::image_input;
use super::runtime::Runtime;
use super::values::floats;
use crate::tensor::Layout;
use crate::{Error, Result};

/// Images of the trial run where the graph leaves it open: a weight, whose first axis is not a batch, is rarely as short.
const TRIAL_BATCH: usize = 2;

/// A tensor that `layer` can name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// Its name.
    pub name: String,
    /// The operator that gives it, such as `Conv`.
    pub operator: String,
    /// Its shape for one image: (D), tokens (T, D), or the three axes of a map in the graph's order.
    pub shape: Vec<i64>,
    /// Where a map has its channels, if the operators of the graph tell.
    pub layout: Option<Layout>,
}

/// Runs the network of `model` once on black images of `size` (height, width) and lists its vectors, tokens and maps in the
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
    let mut tensors: Vec<GraphTensor> = graph.tensors().filter(|tensor| tensor.operator != "Constant").collect();
    let image = image_of(&graph, &name)?;
    let of_the_image = computed_of(&graph, image);
    tensors.retain(|tensor| of_the_image.contains(tensor.name.as_str()));
    let names: Vec<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
    let cut = (graph.inputs.len() > 1).then(|| Cut::of(&graph, &names));
    let damaged = || fault("cannot read ONNX graph".to_owned());
    let onnx = Choice::new(&graph, names, cut).edited(file.onnx).ok_or_else(damaged)?;

    let mut session = runtime
        .session(1, GraphOptimizationLevel::Disable, |builder| builder.commit_from_memory(&onnx))
        .map_err(fault)?;
    let (image, input) = image_input(&session, &graph, &metadata, layout)?;
    let size = input_size(&input, &metadata, size)?;
    let n = input.batch.unwrap_or(TRIAL_BATCH);
    let black = vec![0.0; input_len(&name, n, size)?];
    let mut shapes = trial_run(&mut session, &input, (n, size), &black).map_err(fault)?;
    let layouts = map_layouts(&graph, &image, input.layout);
    let layer = |tensor: GraphTensor| {
        let at = shapes.iter().position(|(name, _)| *name == tensor.name)?;
        let (name, shape) = shapes.swap_remove(at);
        let layout = layouts.get(name.as_str()).copied().filter(|_| shape.len() == 3);
        Some(Layer { name, operator: tensor.operator, shape, layout })
    };
    Ok(tensors.into_iter().filter_map(layer).collect())
}

/// The input that the usual output is computed of.
fn image_of<'a>(graph: &'a Graph, model: &str) -> Result<&'a str> {
    if let [input] = graph.inputs.as_slice() {
        return Ok(&input.name);
    }
    // this listing is how the user finds a name
    let first = graph.outputs.first().map_or("", |output| output.name.as_str());
    let part = cut(graph, model, &[usual_output(graph).unwrap_or(first).to_owned()])?;
    Ok(part.inputs(graph).first().map_or("", |input| input.name.as_str()))
}

/// Names and shapes, batch axis taken off, of the outputs that are float vectors, tokens or maps of each image.
fn trial_run(
    session: &mut Session,
    input: &InputSpec,
    (n, size): (usize, (u32, u32)),
    black: &[f32],
) -> std::result::Result<Vec<(String, Vec<i64>)>, String> {
    let dims = input.shape(n, size);
    let value = input.element.input(dims, black).map_err(|error| error.to_string())?;
    let outputs = session.run([value]).map_err(|error| format!("failed on input {}: {error}", shape_text(&dims)))?;
    let shape_of = |(name, value): (&str, &ort::value::DynValue)| {
        let (shape, _) = floats(value).ok()?;
        match *shape {
            [batch, ref rest @ ..] if batch == dims[0] && matches!(rest.len(), 1..=3) => {
                Some((name.to_owned(), rest.to_vec()))
            }
            _ => None,
        }
    };
    Ok(outputs.iter().filter_map(|(name, value)| shape_of((name, &value))).collect())
}

//! The tensors that are taken of a network: those that are named, else the one that usually holds the embedding.

use super::cut::Cut;
use super::graph::{self, Declared, Graph};
use super::input::shape_text;
use super::metadata::{Metadata, Origin, Said};
use crate::options::Layers;
use crate::{Error, Result};

/// What exporters call the tokens of a transformer, the class token first.
pub(super) const HIDDEN_STATE: &str = "last_hidden_state";

/// What they call the embedding of an image, in the order in which it is looked for.
const EMBEDDINGS: [&str; 3] = ["image_embeds", "pooler_output", HIDDEN_STATE];

/// Axes of an output of vectors: (N, D).
const VECTOR_RANK: usize = 2;

/// The tensors to take of a graph, and what is changed in its file so that a session gives them.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    /// In the order of the columns that come of them.
    pub names: Vec<String>,
    /// Those that are not among the outputs of the file.
    hidden: Vec<String>,
    /// Of a graph with other inputs beside the image.
    cut: Option<Cut>,
}

impl Choice {
    /// The user's `layer`, else the file's `output_name`, else the usual output.
    ///
    /// # Errors
    /// [`Error::Option`] or [`Error::Model`], by who says it, for a name that the graph has not; [`Error::Model`] if a tensor needs
    /// more inputs than one.
    pub(super) fn of(graph: &Graph, metadata: &Metadata, layer: Option<&Layers>) -> Result<Self> {
        let names = names(graph, metadata, layer)?;
        let cut = (graph.inputs.len() > 1).then(|| cut(graph, metadata.model(), &names)).transpose()?;
        Ok(Self::new(graph, names, cut))
    }

    /// The tensors `names`, whose other inputs than the image are cut off by `cut`.
    pub(super) fn new(graph: &Graph, names: Vec<String>, cut: Option<Cut>) -> Self {
        let is_hidden = |name: &&String| graph.outputs.iter().all(|output| output.name != **name);
        Self { hidden: names.iter().filter(is_hidden).cloned().collect(), names, cut }
    }

    /// Whether a session of the file gives the tensors as it is.
    pub(super) fn is_in_the_file(&self) -> bool {
        self.hidden.is_empty() && self.cut.is_none()
    }

    /// The bytes of the file so changed that a session gives the tensors; `None` if they are damaged.
    pub(super) fn edited(&self, onnx: Vec<u8>) -> Option<Vec<u8>> {
        let onnx = match &self.cut {
            Some(cut) => cut.apply(&onnx)?,
            None => onnx,
        };
        Some(graph::with_outputs(onnx, self.hidden.iter().map(String::as_str)))
    }
}

/// The output that holds the embedding of an image, by its name; else the first if it is the only one or has vectors. `None` where
/// it is one of several maps or tensors of tokens.
#[must_use]
pub fn usual_output(graph: &Graph) -> Option<&str> {
    let name_of = |known: &&str| graph.outputs.iter().find(|output| output.name == **known);
    let is_certain = |output: &&Declared| {
        graph.outputs.len() == 1 || output.shape.as_ref().is_some_and(|shape| shape.len() == VECTOR_RANK)
    };
    let first = || graph.outputs.first().filter(is_certain);
    EMBEDDINGS.iter().find_map(name_of).or_else(first).map(|output| output.name.as_str())
}

/// The error of several maps or tensors of tokens of which none has a usual name.
fn no_usual_output(graph: &Graph, model: &str) -> Error {
    let shape = |dims: &Vec<i64>| shape_text(dims);
    let outputs = graph.outputs.iter().map(|output| {
        let shape = output.shape.as_ref().map_or_else(|| "(of any rank)".to_owned(), shape);
        format!("{} {shape}", output.name)
    });
    let (outputs, usual) = (outputs.collect::<Vec<_>>().join(", "), EMBEDDINGS.join(", "));
    Error::Required {
        name: "layer",
        expected: "the name of a tensor",
        reason: format!("{model} has several outputs, {outputs}, and none is called {usual}"),
    }
}

fn names(graph: &Graph, metadata: &Metadata, layer: Option<&Layers>) -> Result<Vec<String>> {
    let (option, origin, names) = match layer {
        Some(Layers::One(name)) => ("layer", Origin::User, vec![name.clone()]),
        Some(Layers::Several(names)) => ("layer", Origin::User, names.clone()),
        None => {
            let Some(Said { value, origin }) = metadata.or_said("output_name", None, |text| Ok(text.to_owned()))?
            else {
                let usual = usual_output(graph).ok_or_else(|| no_usual_output(graph, metadata.model()))?;
                return Ok(vec![usual.to_owned()]);
            };
            ("output_name", origin, vec![value])
        }
    };
    let outputs: Vec<&str> = graph.outputs.iter().map(|output| output.name.as_str()).collect();
    let refuse = |expected: &str, found: String| Err(metadata.refuse(origin, option, expected.to_owned(), found));
    for (at, name) in names.iter().enumerate() {
        if !outputs.contains(&name.as_str()) && graph.tensors().all(|tensor| tensor.name != *name) {
            let known = format!("a tensor of the model's graph, such as its outputs ({})", outputs.join(", "));
            let found = format!("'{name}'; `sparkcider model layers {}` lists the tensors", metadata.model());
            return refuse(&known, found);
        }
        if names[..at].contains(name) {
            return refuse("several different names", format!("'{name}' twice"));
        }
    }
    if names.is_empty() {
        return refuse("at least one name", "an empty list".to_owned());
    }
    Ok(names)
}

/// The part of a graph of several inputs that the tensors `names` need, which must be of one input.
///
/// # Errors
/// [`Error::Model`] that names the inputs, and the outputs that need only one.
pub(super) fn cut(graph: &Graph, model: &str, names: &[String]) -> Result<Cut> {
    let part = Cut::of(graph, names);
    let inputs: Vec<&str> = part.inputs(graph).into_iter().map(|input| input.name.as_str()).collect();
    if inputs.len() == 1 {
        return Ok(part);
    }
    let with_one_input = graph.outputs.iter().filter_map(|output| {
        match Cut::of(graph, std::slice::from_ref(&output.name)).inputs(graph).as_slice() {
            [input] => Some(format!("{} (of {})", output.name, input.name)),
            _ => None,
        }
    });
    let others: Vec<String> = with_one_input.collect();
    let remedy = if others.is_empty() {
        "no output depends on one alone".to_owned()
    } else {
        format!("outputs that depend on one, which layer can name: {}", others.join(", "))
    };
    let reason = format!(
        "expects one image input, found {} that '{}' depends on: {}; {remedy}",
        inputs.len(),
        names.join("', '"),
        inputs.join(", ")
    );
    Err(Error::Model { model: model.to_owned(), reason })
}

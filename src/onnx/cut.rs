//! The part of a graph that some of its tensors are computed by: the image branch of a network of images and texts.
//!
//! ONNX Runtime wants a value for each input of a graph, whether what is requested depends on it or not.

use std::collections::{HashMap, HashSet};

use prost::Message;

use super::graph::{Declared, Graph, NodeProto};
use super::wire::{Change, GRAPH_INITIALIZER, GRAPH_INPUT, GRAPH_NODE, GRAPH_OUTPUT, MODEL_GRAPH, edit};

/// What is to be kept of a graph.
#[derive(Clone, Debug)]
pub(super) struct Cut {
    /// Operators, by their places in the graph.
    nodes: HashSet<usize>,
    /// Tensors that one of them reads or gives.
    tensors: HashSet<String>,
    /// Outputs to keep.
    outputs: Vec<String>,
}

/// The name of an input, output (field 1) or weight (field 8).
#[derive(Message)]
struct ValueName {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Message)]
struct WeightName {
    #[prost(string, tag = "8")]
    name: String,
}

impl Cut {
    /// What the tensors `outputs` of `graph` are computed by.
    pub(super) fn of(graph: &Graph, outputs: &[String]) -> Self {
        let nodes = graph.nodes();
        let givers: HashMap<&str, usize> = nodes
            .iter()
            .enumerate()
            .flat_map(|(at, node)| node.output.iter().map(move |name| (name.as_str(), at)))
            .collect();
        let mut kept = HashSet::new();
        let mut tensors: HashSet<&str> = HashSet::new();
        let mut open: Vec<&str> = outputs.iter().map(String::as_str).collect();
        while let Some(name) = open.pop() {
            if !tensors.insert(name) {
                continue;
            }
            if let Some(&at) = givers.get(name)
                && kept.insert(at)
            {
                open.extend(nodes[at].reads());
            }
        }
        Self { nodes: kept, tensors: tensors.into_iter().map(str::to_owned).collect(), outputs: outputs.to_vec() }
    }

    /// The operators of `graph` that are kept.
    pub(super) fn nodes<'a>(&self, graph: &'a Graph) -> impl Iterator<Item = &'a NodeProto> {
        graph.nodes().iter().enumerate().filter(|(at, _)| self.nodes.contains(at)).map(|(_, node)| node)
    }

    /// The inputs of `graph` that are kept.
    pub(super) fn inputs<'a>(&self, graph: &'a Graph) -> Vec<&'a Declared> {
        graph.inputs.iter().filter(|input| self.tensors.contains(&input.name)).collect()
    }

    /// The bytes of the ONNX file without the rest of its graph; `None` if they are damaged.
    pub(super) fn apply(&self, onnx: &[u8]) -> Option<Vec<u8>> {
        let mut at = 0;
        edit(onnx, &mut |field, content| match field {
            MODEL_GRAPH => edit(content, &mut |field, content| self.change(field, content, &mut at))
                .map(|graph| Change::To(graph.into())),
            _ => Some(Change::Keep),
        })
    }

    /// What becomes of a field of the graph; `at` counts its operators.
    fn change<'a>(&self, field: usize, content: &'a [u8], at: &mut usize) -> Option<Change<'a>> {
        let is_kept = match field {
            GRAPH_NODE => {
                *at += 1;
                self.nodes.contains(&(*at - 1))
            }
            GRAPH_INITIALIZER => self.tensors.contains(&WeightName::decode(content).ok()?.name),
            GRAPH_INPUT => self.tensors.contains(&ValueName::decode(content).ok()?.name),
            GRAPH_OUTPUT => self.outputs.contains(&ValueName::decode(content).ok()?.name),
            _ => true,
        };
        Some(if is_kept { Change::Keep } else { Change::Drop })
    }
}

/// The tensors of `graph` that are computed of its input `image` and of weights alone, in the order of the operators.
pub(super) fn computed_of<'a>(graph: &'a Graph, image: &str) -> HashSet<&'a str> {
    let mut others: HashSet<&str> =
        graph.inputs.iter().map(|input| input.name.as_str()).filter(|name| *name != image).collect();
    let mut found = HashSet::new();
    for node in graph.nodes() {
        let names = node.output.iter().map(String::as_str);
        if node.reads().iter().any(|name| others.contains(name)) {
            others.extend(names);
        } else {
            found.extend(names);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOINT: &[u8] = include_bytes!("../../tests/data/joint_tokens.onnx");

    fn names(of: &[Declared]) -> Vec<&str> {
        of.iter().map(|declared| declared.name.as_str()).collect()
    }

    #[test]
    fn what_an_output_is_not_computed_of_is_left_out() {
        let graph = Graph::decode("joint", JOINT).unwrap();
        let cut = Cut::of(&graph, &["last_hidden_state".to_owned()]);
        let left = Graph::decode("left", &cut.apply(JOINT).unwrap()).unwrap();
        assert_eq!(names(&left.inputs), ["pixel_values"]);
        assert_eq!(names(&left.outputs), ["last_hidden_state"]);
        let tensors: Vec<String> = left.tensors().map(|tensor| tensor.name).collect();
        assert!(tensors.contains(&"class".to_owned()) && !tensors.contains(&"image".to_owned()), "{tensors:?}");
        assert!(left.weight_dims("kernel").is_some());
        assert_eq!(Cut::of(&graph, &["scores".to_owned()]).inputs(&graph).len(), 2);
    }

    #[test]
    fn all_is_kept_of_what_needs_all() {
        let graph = Graph::decode("joint", JOINT).unwrap();
        let outputs = ["scores".to_owned(), "last_hidden_state".to_owned()];
        assert_eq!(Cut::of(&graph, &outputs).apply(JOINT).unwrap(), JOINT);
    }

    #[test]
    fn what_is_computed_of_texts_too_is_not_of_the_image() {
        let graph = Graph::decode("joint", JOINT).unwrap();
        let found = computed_of(&graph, "pixel_values");
        assert!(found.contains("image") && found.contains("last_hidden_state"));
        assert!(!found.contains("scores") && !found.contains("words_turned"));
    }
}

//! Whether the output that is taken is the classes of a classifier, and what is its last hidden layer.

use super::choice::usual_output;
use super::graph::{Graph, NodeProto};

/// How the names of classes begin, without what exporters put before the last slash.
const CLASSES: [&str; 3] = ["logits", "prob", "softmax"];

/// What is wrong with the output that is taken of a graph where nobody names one: it is a classifier's. The sentence names the last
/// hidden layer.
#[must_use]
pub fn classifier_doubt(graph: &Graph) -> Option<String> {
    let output = usual_output(graph)?;
    let name = output.rsplit('/').next().unwrap_or_default().to_lowercase();
    let is_named = CLASSES.iter().any(|begin| name.starts_with(begin));
    if !is_named && !ends_in_softmax(graph, output) {
        return None;
    }
    let remedy = last_hidden(graph, output).map_or_else(
        || "layer can name a tensor before it".to_owned(),
        |hidden| format!("layer='{hidden}' takes its last hidden layer"),
    );
    Some(format!("'{output}' is the output of a classifier, its classes: {remedy}"))
}

/// Whether a softmax makes the output, or only its shape or type is changed after one.
fn ends_in_softmax(graph: &Graph, output: &str) -> bool {
    before(graph, output).find(|node| !keeps_values(node)).is_some_and(is_softmax)
}

fn is_softmax(node: &NodeProto) -> bool {
    node.is_standard() && matches!(node.op_type.as_str(), "Softmax" | "LogSoftmax")
}

fn keeps_values(node: &NodeProto) -> bool {
    matches!(node.op_type.as_str(), "Cast" | "Flatten" | "Identity" | "Reshape" | "Squeeze")
}

/// What the last operator with weights takes: the vector, or the map, before the classes.
fn last_hidden<'a>(graph: &'a Graph, output: &'a str) -> Option<&'a str> {
    let is_product = |node: &&NodeProto| {
        matches!(node.op_type.as_str(), "Conv" | "Gemm" | "MatMul" | "MatMulInteger" | "QLinearConv" | "QLinearMatMul")
    };
    let hidden = before(graph, output).find(is_product)?.input.first()?;
    graph.giver(hidden).map(|_| hidden.as_str())
}

/// The operators that a tensor comes through, from the last one back, as long as each has one input that is computed.
fn before<'a>(graph: &'a Graph, output: &'a str) -> impl Iterator<Item = &'a NodeProto> {
    std::iter::successors(graph.giver(output), |node| {
        let is_weight = |node: &NodeProto| node.input.iter().all(|name| graph.weight_dims(name).is_some());
        let mut computed = node.input.iter().filter_map(|name| graph.giver(name)).filter(|node| !is_weight(node));
        let only = computed.next()?;
        computed.next().is_none().then_some(only)
    })
}

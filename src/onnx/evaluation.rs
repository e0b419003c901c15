//! Whether a graph gives the same features for the same image, each time and whatever other images are in the run.
//!
//! A graph that was exported in training mode, or that draws random numbers, does not.

use std::collections::HashMap;

use prost::Message;

use super::cut::Cut;
use super::graph::{Graph, NodeProto};
use super::proto::{BOOL, BoolTensorProto, TensorProto};
use super::wire::{
    ATTRIBUTE_GRAPH, ATTRIBUTE_GRAPHS, ATTRIBUTE_TENSOR, FUNCTION_NODE, GRAPH_INITIALIZER, GRAPH_NODE, MODEL_FUNCTION,
    MODEL_GRAPH, NODE_ATTRIBUTE, fields,
};
use crate::{Error, Result};

/// Operators of the ONNX standard whose values differ in each run.
const RANDOM: [&str; 6] =
    ["Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"];

/// Refuses random operators, and those in training mode, on the way to the tensors `names` of `graph`. `onnx` is its file.
///
/// # Errors
/// [`Error::Model`] that names the operator and says how to export without it.
pub(super) fn check_evaluation(graph: &Graph, onnx: &[u8], model: &str, names: &[String]) -> Result<()> {
    let mut open: Vec<&NodeProto> = Cut::of(graph, names).nodes(graph).collect();
    let mut called: Vec<&str> = Vec::new();
    while let Some(node) = open.pop() {
        if let Some(fault) = fault(node, onnx) {
            let reason = format!("on the way to '{}' {fault}", names.join("', '"));
            return Err(Error::Model { model: model.to_owned(), reason });
        }
        open.extend(node.inner_nodes());
        if let Some(function) = graph.function_of(node)
            && !called.contains(&node.op_type.as_str())
        {
            called.push(&node.op_type); // a damaged file may have functions that call each other
            open.extend(&function.node);
        }
    }
    Ok(())
}

/// What is wrong with an operator, and how to export without it.
fn fault(node: &NodeProto, onnx: &[u8]) -> Option<String> {
    let operator = node.op_type.as_str();
    if !node.is_standard() {
        return None;
    }
    if RANDOM.contains(&operator) {
        return Some(format!(
            "it draws random numbers ({operator}), so the same image gives other features each time; export it without \
             masking, noise and sampling, ViT-MAE as a ViTModel of the same weights"
        ));
    }
    let is_trained = match operator {
        "BatchNormalization" => trains_norm(node),
        "Dropout" => trains_dropout(node, onnx),
        _ => false,
    };
    is_trained.then(|| {
        format!(
            "it was exported in training mode ({operator}), so features depend on chance or on the other images of a run; \
             export it in evaluation mode, after model.eval()"
        )
    })
}

/// The statistics of training are further outputs; before opset 14 they alone say that it trains.
fn trains_norm(node: &NodeProto) -> bool {
    node.int("training_mode") == Some(1) || node.output.iter().filter(|name| !name.is_empty()).count() > 1
}

/// Whether its third input says so; one whose value is computed may.
fn trains_dropout(node: &NodeProto, onnx: &[u8]) -> bool {
    let mode = node.input.get(2).filter(|name| !name.is_empty());
    mode.is_some_and(|name| constant_flags(onnx).get(name) != Some(&false))
}

/// The constants of a boolean in an ONNX file by their names, also inside its functions and the graphs of its operators. One that is
/// true somewhere is true.
fn constant_flags(onnx: &[u8]) -> HashMap<String, bool> {
    let mut found = HashMap::new();
    for (number, content) in fields(onnx) {
        match number {
            MODEL_GRAPH => add_flags(content, GRAPH_NODE, &mut found),
            MODEL_FUNCTION => add_flags(content, FUNCTION_NODE, &mut found),
            _ => {}
        }
    }
    found
}

/// Adds those of a graph, or of a function, whose operators have the number `nodes`.
fn add_flags(scope: &[u8], nodes: usize, found: &mut HashMap<String, bool>) {
    let mut add = |name: String, value: bool| *found.entry(name).or_default() |= value;
    let mut inner = Vec::new();
    for (number, content) in fields(scope) {
        if number == nodes {
            let Ok(node) = NodeProto::decode(content) else { return };
            for (number, part) in
                fields(content).filter(|(number, _)| *number == NODE_ATTRIBUTE).flat_map(|(_, a)| fields(a))
            {
                match number {
                    ATTRIBUTE_TENSOR => {
                        if let (Some(name), Some(tensor)) = (node.output.first(), flag(part)) {
                            add(name.clone(), tensor.1);
                        }
                    }
                    ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS => inner.push(part),
                    _ => {}
                }
            }
        } else if (number, nodes) == (GRAPH_INITIALIZER, GRAPH_NODE)
            && let Some((name, value)) = flag(content)
        {
            add(name, value);
        }
    }
    for graph in inner {
        add_flags(graph, GRAPH_NODE, found);
    }
}

/// Name and value of a tensor of one boolean. The values of others are not read.
fn flag(tensor: &[u8]) -> Option<(String, bool)> {
    if TensorProto::decode(tensor).ok()?.data_type != BOOL {
        return None;
    }
    let BoolTensorProto { int32_data, name, raw_data } = BoolTensorProto::decode(tensor).ok()?;
    let value = raw_data.first().map(|&byte| byte != 0).or(int32_data.first().map(|&number| number != 0));
    Some((name, value?))
}

//! The axis of the channels of each feature map inside a network, as far as the definitions of its operators fix it.
//!
//! Files with the channels last outside (Keras through tf2onnx) mostly have them first inside, so the layout of the
//! input tells nothing about an inner map. Nothing is guessed: a map after `Reshape`, or after an operator that is not
//! of the ONNX standard, has no entry.

use std::collections::HashMap;

use super::graph::{Graph, NodeProto};
use crate::tensor::Layout;

/// Axes of a feature map, its batch included.
const RANK: usize = 4;

/// The axis of the channels in (N, C, H, W), by which the ONNX standard defines convolutions and their like.
const FIRST: usize = 1;

/// The axis of the channels in (N, H, W, C).
const LAST: usize = 3;

/// What an operator does to the axes of a map.
enum Rule {
    /// Gives (N, C, H, W) if its kernel has two axes.
    Convolves,
    /// Takes and gives (N, C, H, W).
    Rearranges,
    /// Gives (N, C, H, W) if its input is a map.
    ChannelsFirst,
    /// Leaves the axes where they are.
    Keeps,
    /// Leaves them where they are with `keepdims`, which is the default.
    Reduces,
    /// Puts them in the order of `perm`.
    Permutes,
    /// Replaces the last axis by that of its weights.
    MultipliesLast,
}

fn rule(operator: &str) -> Option<Rule> {
    Some(match operator {
        "AveragePool" | "Conv" | "ConvInteger" | "ConvTranspose" | "DeformConv" | "LpPool" | "MaxPool"
        | "QLinearConv" => Rule::Convolves,
        "DepthToSpace" | "SpaceToDepth" => Rule::Rearranges,
        "BatchNormalization"
        | "GlobalAveragePool"
        | "GlobalLpPool"
        | "GlobalMaxPool"
        | "GroupNormalization"
        | "InstanceNormalization"
        | "LRN" => Rule::ChannelsFirst,
        "Abs"
        | "Add"
        | "Cast"
        | "CastLike"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Concat"
        | "DequantizeLinear"
        | "Div"
        | "Dropout"
        | "Elu"
        | "Erf"
        | "Exp"
        | "Expand"
        | "Floor"
        | "Gelu"
        | "HardSigmoid"
        | "HardSwish"
        | "Identity"
        | "LayerNormalization"
        | "LeakyRelu"
        | "Log"
        | "LogSoftmax"
        | "LpNormalization"
        | "Max"
        | "Mean"
        | "MeanVarianceNormalization"
        | "Min"
        | "Mish"
        | "Mul"
        | "Neg"
        | "PRelu"
        | "Pad"
        | "Pow"
        | "QuantizeLinear"
        | "Reciprocal"
        | "Relu"
        | "Resize"
        | "Round"
        | "Selu"
        | "Sigmoid"
        | "Sign"
        | "Slice"
        | "Softmax"
        | "Softplus"
        | "Softsign"
        | "Split"
        | "Sqrt"
        | "Sub"
        | "Sum"
        | "Swish"
        | "Tanh"
        | "ThresholdedRelu"
        | "Tile"
        | "Upsample"
        | "Where" => Rule::Keeps,
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean" | "ReduceMin"
        | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => Rule::Reduces,
        "Transpose" => Rule::Permutes,
        "MatMul" => Rule::MultipliesLast,
        _ => return None,
    })
}

/// The layout of each map of `graph` whose channels are known to come first or last; `image` is its input, of `layout`.
#[must_use]
pub fn map_layouts<'a>(graph: &'a Graph, image: &'a str, layout: Layout) -> HashMap<&'a str, Layout> {
    let start = match layout {
        Layout::Nchw => FIRST,
        Layout::Nhwc => LAST,
    };
    let mut known = HashMap::from([(image, start)]);
    for node in graph.nodes().iter().filter(|node| node.is_standard()) {
        if let Some(axis) = output_axis(graph, node, &known) {
            // what others give beside their result has another shape
            let results = if node.op_type == "Split" { node.output.len() } else { 1 };
            known.extend(node.output.iter().take(results).map(|name| (name.as_str(), axis)));
        }
    }
    let layout = |(name, axis)| match axis {
        FIRST => Some((name, Layout::Nchw)),
        LAST => Some((name, Layout::Nhwc)),
        _ => None,
    };
    known.into_iter().filter_map(layout).collect()
}

/// The axis of the channels in what `node` gives, from those of what it takes.
fn output_axis(graph: &Graph, node: &NodeProto, known: &HashMap<&str, usize>) -> Option<usize> {
    let input = node.input.first().and_then(|name| known.get(name.as_str()).copied());
    match rule(&node.op_type)? {
        Rule::Convolves => kernel_is_flat(graph, node).unwrap_or(input.is_some()).then_some(FIRST),
        Rule::Rearranges => Some(FIRST),
        Rule::ChannelsFirst => input.and(Some(FIRST)),
        Rule::Keeps => {
            let mut inputs = node.input.iter().filter_map(|name| known.get(name.as_str()).copied());
            let axis = inputs.next()?;
            inputs.all(|other| other == axis).then_some(axis)
        }
        Rule::Reduces => input.filter(|_| node.int("keepdims") != Some(0)),
        Rule::Permutes => permuted(node.ints("perm")?, input?),
        Rule::MultipliesLast => {
            let weights = node.input.get(1).and_then(|name| graph.weight_dims(name));
            input.filter(|&axis| axis == LAST && weights.is_some_and(|dims| dims.len() == 2))
        }
    }
}

/// The convolution over (N, 3, H, W) that takes the input `image`, as it is or after a change of its values alone. One that is
/// there says where the channels of the image are.
pub(super) fn first_convolution<'a>(graph: &'a Graph, image: &'a str) -> Option<&'a NodeProto> {
    let mut open = vec![image];
    while let Some(name) = open.pop() {
        for node in graph.readers(name).filter(|node| node.is_standard()) {
            if takes_channels_first(graph, node, name) {
                return Some(node);
            }
            if changes_values_alone(graph, node, name) {
                open.extend(node.output.first().map(String::as_str));
            }
        }
    }
    None
}

fn takes_channels_first(graph: &Graph, node: &NodeProto, image: &str) -> bool {
    let is_convolution = matches!(node.op_type.as_str(), "Conv" | "ConvInteger" | "QLinearConv");
    let weights = node.input.get(1).and_then(|name| graph.weight_dims(name)).filter(|dims| dims.len() == RANK);
    let of_rgb = weights.is_none_or(|dims| dims[1] * node.int("group").unwrap_or(1) == 3);
    let takes_image = node.input.first().is_some_and(|name| name == image);
    is_convolution && takes_image && of_rgb && kernel_is_flat(graph, node) == Some(true)
}

/// Whether an operator leaves each value of `image` where it is: it changes its type, or computes with weights.
fn changes_values_alone(graph: &Graph, node: &NodeProto, image: &str) -> bool {
    let with_weights = || node.input.iter().all(|name| name == image || graph.weight_dims(name).is_some());
    match node.op_type.as_str() {
        "Cast" | "Identity" | "DynamicQuantizeLinear" => true,
        "Add" | "DequantizeLinear" | "Div" | "Mul" | "QuantizeLinear" | "Sub" => with_weights(),
        _ => false,
    }
}

/// Whether a kernel has a height and a width and no more; `None` where neither the operator nor its weights tell.
fn kernel_is_flat(graph: &Graph, node: &NodeProto) -> Option<bool> {
    let kernel = node.ints("kernel_shape").map(|shape| shape.len() == RANK - 2);
    let ranks = || node.input.iter().skip(1).filter_map(|name| graph.weight_dims(name).map(<[i64]>::len));
    kernel.or_else(|| ranks().find(|&rank| rank > 1).map(|rank| rank == RANK))
}

/// Where a transposition of a map puts `axis`; the batch must stay first.
fn permuted(perm: &[i64], axis: usize) -> Option<usize> {
    match *perm {
        [0, _, _, _] => perm.iter().position(|&from| usize::try_from(from) == Ok(axis)),
        _ => None,
    }
}

//! What makes a file slower than it need be, read off its graph.

use super::graph::{Graph, NodeProto};

/// A sentence for each thing that costs time and that another export would spare.
#[must_use]
pub fn slow_parts(graph: &Graph) -> Vec<String> {
    let [weights, norms, convolutions] = [graph.weights_as_inputs, unfolded(graph), dynamic(graph)];
    let mut found = Vec::new();
    if weights > 0 {
        found.push(format!(
            "{weights} weights are among the inputs (keep_initializers_as_inputs): ONNX Runtime takes them for changeable and \
             folds nothing; export without them"
        ));
    }
    // weights among the inputs are the reason for these, too
    if norms > 0 && weights == 0 {
        found.push(format!(
            "{norms} BatchNormalization behind convolutions that ONNX Runtime cannot fold into them; export with them folded"
        ));
    }
    if convolutions > 0 {
        found.push(format!(
            "{convolutions} convolutions are quantized dynamically (ConvInteger); sparkcider quantize makes a static int8 file \
             of the float32 one"
        ));
    }
    found
}

/// Batch normalisations that stay: ONNX Runtime folds one into a convolution whose result nothing else reads, if all of their
/// weights are constant (`ConvBNFusion`).
fn unfolded(graph: &Graph) -> usize {
    let is_norm = |node: &&NodeProto| node.is_standard() && node.op_type == "BatchNormalization";
    let norms = graph.nodes().iter().filter(is_norm);
    norms
        .filter(|norm| convolution_before(graph, norm).is_some_and(|convolution| !folds(graph, convolution, norm)))
        .count()
}

fn convolution_before<'a>(graph: &'a Graph, norm: &NodeProto) -> Option<&'a NodeProto> {
    let name = norm.input.first()?;
    let convolution = graph.nodes().iter().find(|node| node.output.contains(name))?;
    (convolution.is_standard() && convolution.op_type == "Conv").then_some(convolution)
}

fn folds(graph: &Graph, convolution: &NodeProto, norm: &NodeProto) -> bool {
    let weights = convolution.input.iter().skip(1).chain(norm.input.iter().skip(1)).filter(|name| !name.is_empty());
    let are_constant = weights.into_iter().all(|name| graph.weight_dims(name).is_some());
    let is_read_once = convolution.output.first().is_some_and(|name| {
        graph.readers(name).count() == 1 && graph.outputs.iter().all(|output| output.name != *name)
    });
    let gives_one = norm.output.iter().filter(|name| !name.is_empty()).count() == 1;
    are_constant && is_read_once && gives_one
}

fn dynamic(graph: &Graph) -> usize {
    graph.nodes().iter().filter(|node| node.op_type == "ConvInteger").count()
}

//! The tokens of a transformer: which of them are patches of the image, as far as the graph fixes it.

use std::collections::HashSet;

use super::channels::first_convolution;
use super::graph::{Graph, NodeProto};

/// Sides of a patch in pixels, whose tokens come after all others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patch {
    height: u32,
    width: u32,
}

impl Patch {
    /// That of a graph whose first operator on its input `image` is a convolution that cuts it into patches without overlap or
    /// border. `None` where it is not, and where other tokens are put behind the patches.
    pub(super) fn of(graph: &Graph, image: &str) -> Option<Self> {
        let convolution = first_convolution(graph, image)?;
        let weights = convolution.input.get(1).and_then(|name| graph.weight_dims(name));
        let kernel = convolution.ints("kernel_shape").or_else(|| weights.and_then(|dims| dims.get(2..)))?;
        let is_plain =
            |name: &str, value: i64| convolution.ints(name).is_none_or(|all| all.iter().all(|&n| n == value));
        let has_no_border = matches!(convolution.word("auto_pad"), None | Some(b"" | b"NOTSET" | b"VALID"));
        let cuts = convolution.ints("strides") == Some(kernel) && is_plain("pads", 0) && is_plain("dilations", 1);
        let &[height, width] = kernel else { return None };
        let patch = Self { height: u32::try_from(height).ok()?, width: u32::try_from(width).ok()? };
        (cuts && has_no_border && patches_come_last(graph, convolution)).then_some(patch)
    }

    /// Patches of an image of (height, width).
    pub(super) fn count(self, (height, width): (u32, u32)) -> usize {
        (height / self.height.max(1)) as usize * (width / self.width.max(1)) as usize
    }
}

/// Whether each concatenation that joins tokens of the image with others has those of the image last.
fn patches_come_last(graph: &Graph, convolution: &NodeProto) -> bool {
    let mut of_the_image: HashSet<&str> = convolution.output.iter().map(String::as_str).collect();
    let of_sizes = |node: &NodeProto| matches!(node.op_type.as_str(), "Shape" | "Size");
    for node in graph.nodes().iter().filter(|node| !of_sizes(node)) {
        let is_joined = |name: &String| of_the_image.contains(name.as_str());
        if !node.input.iter().any(is_joined) {
            continue;
        }
        // along the tokens of (N, T, D); once the classes and patches are joined, all is of the image
        let joins_tokens = node.op_type == "Concat" && matches!(node.int("axis"), Some(1 | -2));
        if joins_tokens && !node.input.last().is_some_and(is_joined) {
            return false;
        }
        of_the_image.extend(node.output.iter().map(String::as_str));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(onnx: &[u8], image: &str) -> Option<Patch> {
        Patch::of(&Graph::decode("graph", onnx).unwrap(), image)
    }

    #[test]
    fn a_patch_is_the_stride_of_the_first_convolution() {
        let found = patch(include_bytes!("../../tests/data/joint_tokens.onnx"), "pixel_values").unwrap();
        assert_eq!(found, Patch { height: 4, width: 4 });
        assert_eq!(found.count((16, 24)), 24);
        assert_eq!(found.count((17, 27)), 24, "what is left at the border is in no patch");
    }

    #[test]
    fn a_convolution_behind_other_axes_cuts_no_patches() {
        assert_eq!(patch(include_bytes!("../../tests/data/tiny_nhwc.onnx"), "input"), None);
        assert_eq!(patch(include_bytes!("../../tests/data/joint_tokens.onnx"), "words"), None);
    }
}

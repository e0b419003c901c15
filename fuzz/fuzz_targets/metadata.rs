//! Any bytes as an ONNX file: its graph, the layouts of its maps, its words as options.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparkcider::onnx::{Graph, map_layouts};
use sparkcider::image::resize::{Filter, ResizeMode};
use sparkcider::Pooling;
use sparkcider::tensor::{ColorOrder, Layout, Normalization};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(graph) = Graph::decode("model.onnx", bytes) {
        let tensors: Vec<_> = graph.tensors().collect();
        for layout in [Layout::Nchw, Layout::Nhwc] {
            let image = tensors.first().map_or("", |tensor| tensor.name.as_str());
            assert!(map_layouts(&graph, image, layout).len() <= tensors.len() + 1);
        }
    }
    if let Ok(word) = std::str::from_utf8(bytes) {
        let _ = (word.parse::<ResizeMode>(), word.parse::<Filter>(), word.parse::<Pooling>());
        let _ = (word.parse::<ColorOrder>(), word.parse::<Layout>(), word.parse::<Normalization>());
    }
});

//! Several layers of a network in one pass, on the tiny models of `tests/data`.
#![allow(clippy::unwrap_used)] // in the functions that tests share, too

mod common;

use std::path::Path;

use common::{fixture, runtime};
use sparkcider::image::encode_jpeg;
use sparkcider::tensor::{Layout, Normalization};
use sparkcider::{FeatureExtractor, Layers, Options, Pooling};

const SIDE: usize = 16;

fn raw() -> Options {
    Options { normalization: Some(Normalization::Raw), ..Options::default() }
}

fn noise(seed: usize) -> Vec<u8> {
    let level = |i: usize| ((i + seed * 7919).wrapping_mul(2_654_435_761) >> 24) as u8;
    encode_jpeg(&(0..SIDE * SIDE * 3).map(level).collect::<Vec<_>>(), SIDE, SIDE, 90).unwrap()
}

#[test]
fn several_layers_in_one_pass_are_what_each_is_alone() {
    let images = [Some(noise(5)), None, Some(noise(6)), Some(noise(7))];
    let run = |model: &str, layer: Layers, pooling| {
        let options = Options { layer: Some(layer), pooling, input_size: Some((16, 16)), ..raw() };
        let mut network = FeatureExtractor::new(Path::new(&fixture(model)), &runtime(), &options).unwrap();
        let dims = network.layers().map(|layers| layers.iter().map(|layer| layer.1).collect::<Vec<_>>());
        let features = network.extract(images.iter().map(Option::as_deref)).unwrap();
        let twins = network.twin().unwrap().extract(images.iter().map(Option::as_deref)).unwrap();
        assert_eq!(twins, features);
        (features, dims, network.embedding_dim())
    };
    // in any_size `map` is hidden
    for (model, names) in [
        ("tiny_nchw.onnx", ["features", "map"]),
        ("tiny_nchw.onnx", ["map", "features"]),
        ("any_size.onnx", ["map", "features"]),
    ] {
        for pooling in [None, Some(Pooling::Flatten)] {
            let (several, dims, width) = run(model, Layers::Several(names.map(str::to_owned).to_vec()), pooling);
            let alone = names.map(|name| run(model, name.into(), pooling.filter(|_| name == "map")));
            assert_eq!(dims.unwrap(), alone.iter().map(|(.., dim)| *dim).collect::<Vec<_>>());
            for (row, values) in several.values.chunks_exact(width).enumerate() {
                let parts = alone.iter().map(|(features, _, dim)| &features.values[row * dim..][..*dim]);
                assert_eq!(values, parts.collect::<Vec<_>>().concat(), "row {row} of {model}");
            }
            assert_eq!(several.errors, alone[0].0.errors);
        }
    }
    let (one, dims, width) = run("tiny_nchw.onnx", Layers::Several(vec!["map".to_owned()]), None);
    assert_eq!((one, width), (run("tiny_nchw.onnx", "map".into(), None).0, dims.unwrap()[0]));
}

#[test]
fn layers_are_named_once_and_options_must_have_an_effect_on_one_of_them() {
    let message = |names: &[&str], change: &dyn Fn(&mut Options)| {
        let names = names.iter().map(ToString::to_string).collect();
        let mut options = Options { layer: Some(Layers::Several(names)), ..raw() };
        change(&mut options);
        let made = FeatureExtractor::new(Path::new(&fixture("tiny_nchw.onnx")), &runtime(), &options);
        made.err().map(|error| error.to_string())
    };
    let unchanged = |_: &mut Options| ();
    assert_eq!(message(&[], &unchanged).unwrap(), "layer must be at least one name, got an empty list");
    assert_eq!(
        message(&["map", "features", "map"], &unchanged).unwrap(),
        "layer must be several different names, got 'map' twice"
    );
    assert!(message(&["map", "top"], &unchanged).unwrap().contains("such as its outputs (features, map), got 'top'; "));
    let max = |options: &mut Options| options.pooling = Some(Pooling::Max);
    assert_eq!(message(&["features", "map"], &max), None);
    assert!(message(&["features"], &max).unwrap().starts_with("pooling must be left out, as output 'features'"));
    let layout = |options: &mut Options| options.layer_layout = Some(Layout::Nchw);
    assert_eq!(message(&["features", "map"], &layout), None);
    let flat =
        |options: &mut Options| (options.pooling, options.layer_layout) = (Some(Pooling::Flatten), Some(Layout::Nchw));
    let idle = "layer_layout must be left out, as output 'map' of ";
    assert!(message(&["map", "features"], &flat).unwrap().starts_with(idle));
}

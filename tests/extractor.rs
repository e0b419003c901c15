//! Bytes to embeddings through public names only, on the tiny models and images of `tests/data`.
#![allow(clippy::unwrap_used)] // in the functions that tests share, too

mod common;

use std::path::Path;

use common::{fixture, runtime};
use sparkcider::image::resize::ResizeMode;
use sparkcider::onnx::Graph;
use sparkcider::tensor::{Layout, Normalization};
use sparkcider::{FeatureExtractor, Features, Options, Pooling, Result};

const CHANNELS: usize = 4;

fn extractor(model: &str, options: &Options) -> Result<FeatureExtractor> {
    FeatureExtractor::new(Path::new(&fixture(model)), &runtime(), options)
}

fn raw() -> Options {
    Options { normalization: Some(Normalization::Raw), ..Options::default() }
}

/// Binary PPM-like content is no supported format, so the images are BMPs, written here: 54 bytes of header, rows of BGR.
fn bmp(side: u32, level: impl Fn(u32, u32, u32) -> u8) -> Vec<u8> {
    let row = (side * 3).next_multiple_of(4);
    let length = 54 + row * side;
    let mut bytes = b"BM".to_vec();
    for word in [length, 0, 54, 40, side, side] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend([1, 0, 24, 0]);
    bytes.extend([0; 24]);
    for y in (0..side).rev() {
        let mut line: Vec<u8> = (0..side).flat_map(|x| [2, 1, 0].map(|c| level(y, x, c))).collect();
        line.resize(row as usize, 0);
        bytes.extend(line);
    }
    bytes
}

fn noise(seed: u32) -> Vec<u8> {
    bmp(16, |y, x, c| ((y * 48 + x * 3 + c).wrapping_mul(2_654_435_761).wrapping_add(seed * 40_503) >> 24) as u8)
}

fn extract(extractor: &mut FeatureExtractor, images: &[Option<Vec<u8>>]) -> Features {
    extractor.extract(images.iter().map(Option::as_deref)).unwrap()
}

#[test]
fn pixels_are_the_image_itself_in_rows_of_rgb() {
    let options = Options { input_size: Some((2, 2)), ..Options::default() };
    let mut pixels = FeatureExtractor::pixels(&options).unwrap();
    let image = bmp(2, |y, x, c| (y * 6 + x * 3 + c) as u8 * 20);
    let features = extract(&mut pixels, &[Some(image)]);
    let expected: Vec<f32> = (0..12u8).map(|i| f32::from(i * 20) / 255.0).collect();
    assert_eq!(features, Features { values: expected, errors: vec![None] });
    assert_eq!(pixels.checksum(), None);
}

#[test]
fn pixels_are_20_by_20_by_3_unless_told() {
    assert_eq!(FeatureExtractor::pixels(&Options::default()).unwrap().embedding_dim(), 1200);
}

#[test]
fn a_bad_row_is_zero_with_a_reason_and_the_rows_around_it_are_right() {
    let mut network = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    let good = extract(&mut network, &[Some(noise(1)), Some(noise(2))]);
    let mixed =
        extract(&mut network, &[None, Some(noise(1)), Some(b"no image".to_vec()), Some(noise(2)), Some(Vec::new())]);
    assert_eq!(mixed.values[CHANNELS..2 * CHANNELS], good.values[..CHANNELS]);
    assert_eq!(mixed.values[3 * CHANNELS..4 * CHANNELS], good.values[CHANNELS..]);
    assert_eq!(mixed.values[..CHANNELS], [0.0; CHANNELS]);
    assert_eq!(mixed.errors[0].as_deref(), Some("null image"));
    assert!(mixed.errors[2].is_some() && mixed.errors[4].is_some());
    assert!(mixed.errors[1].is_none() && mixed.errors[3].is_none());
}

#[test]
fn no_rows_give_no_features() {
    let mut network = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    assert_eq!(extract(&mut network, &[]), Features { values: vec![], errors: vec![] });
}

#[test]
fn an_embedding_does_not_depend_on_its_neighbours() {
    let mut network = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    let images: Vec<_> = (0..19).map(|seed| Some(noise(seed))).collect();
    let together = extract(&mut network, &images);
    for (image, expected) in images.iter().zip(together.values.chunks(CHANNELS)) {
        assert_eq!(extract(&mut network, std::slice::from_ref(image)).values, expected);
    }
}

#[test]
fn a_graph_of_a_fixed_batch_gives_what_the_free_one_gives() {
    let mut free = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    let mut fixed = extractor("fixed_batch.onnx", &Options::default()).unwrap();
    let images: Vec<_> = (0..3).map(|seed| Some(noise(seed))).collect();
    assert_eq!(extract(&mut fixed, &images), extract(&mut free, &images));
}

#[test]
fn maps_are_pooled_by_mean_or_maximum_or_kept_whole() {
    let images = [Some(noise(3)), Some(noise(4))];
    let pooled = |model: &str, pooling| {
        let mut options = raw();
        options.pooling = pooling;
        options.layer = (model == "tiny_nchw.onnx").then(|| "map".to_owned());
        extract(&mut extractor(model, &options).unwrap(), &images).values
    };
    let map = pooled("tiny_nchw.onnx", Some(Pooling::Flatten));
    assert_eq!(map.len(), 2 * CHANNELS * 16);
    let mean: Vec<f32> = map.chunks(16).map(|m| m.iter().sum::<f32>() / 16.0).collect();
    let max: Vec<f32> = map.chunks(16).map(|m| m.iter().copied().fold(f32::MIN, f32::max)).collect();
    assert_eq!(pooled("tiny_nchw.onnx", None), mean);
    assert_eq!(pooled("tiny_nchw.onnx", Some(Pooling::Max)), max);
    // the same network, channels last
    assert_eq!(pooled("tiny_nhwc.onnx", Some(Pooling::Avg)), mean);
    assert_eq!(pooled("tiny_nhwc.onnx", Some(Pooling::Max)), max);
}

#[test]
fn the_size_of_a_free_graph_must_be_given_and_is_then_used() {
    let error = extractor("any_size.onnx", &Options::default()).unwrap_err();
    assert!(error.to_string().starts_with("input_size must be given as (height, width), got nothing"), "{error}");
    let options = Options { input_size: Some((32, 24)), ..Options::default() };
    assert_eq!(extractor("any_size.onnx", &options).unwrap().embedding_dim(), CHANNELS);
}

#[test]
fn what_cannot_work_fails_when_the_extractor_is_made() {
    let message = |model: &str, change: &dyn Fn(&mut Options)| {
        let mut options = raw();
        change(&mut options);
        extractor(model, &options).unwrap_err().to_string().replace(&fixture(""), "")
    };
    let nothing = |_: &mut Options| {};
    assert_eq!(message("missing.onnx", &nothing), "model file not found: missing.onnx");
    assert_eq!(
        message("two_inputs.onnx", &nothing),
        "model two_inputs.onnx: expects one image input, found 2: image, other"
    );
    assert!(
        message("text_input.onnx", &nothing)
            .starts_with("model text_input.onnx: expects an image input of float32, found input 'text' of ")
    );
    assert_eq!(
        message("grey_input.onnx", &nothing),
        "model grey_input.onnx: expects an image input of 3 channels, found (N, 1, 16, 16)"
    );
    assert!(message("make_models.py", &nothing).starts_with("model make_models.py: cannot read ONNX graph: "));
    assert_eq!(
        message("tiny_nhwc.onnx", &|o| o.normalization = None),
        "normalization must be tf, caffe, torch, unit, raw or (mean, std), got nothing: tiny_nhwc.onnx does not say how \
         its pixels are scaled"
    );
    assert_eq!(
        message("tiny_nchw.onnx", &|o| o.input_size = Some((16, 8))),
        "input_size must be (16, 16), the only size that tiny_nchw.onnx takes, got (16, 8)"
    );
    assert_eq!(
        message("tiny_nchw.onnx", &|o| o.layout = Some(Layout::Nhwc)),
        "layout must be NCHW, as tiny_nchw.onnx takes (N, 3, 16, 16), got NHWC"
    );
    assert_eq!(
        message("tiny_nchw.onnx", &|o| o.layer = Some("top".to_owned())),
        "layer must be a tensor of the model's graph, such as its outputs (features, map), got 'top'"
    );
    assert_eq!(
        message("tiny_nchw.onnx", &|o| o.intra_threads = 0),
        "intra_threads must be a whole number from 1 to 1024, got 0"
    );
}

#[test]
fn options_out_of_their_range_or_without_effect_are_refused_by_name() {
    let message = |change: &dyn Fn(&mut Options)| {
        let mut options = Options::default();
        change(&mut options);
        FeatureExtractor::pixels(&options).unwrap_err().to_string()
    };
    for side in [0, 4097, 1 << 31, u32::MAX] {
        let expected = format!("input_size must be a side or (height, width) of 1 to 4096 pixels, got (9, {side})");
        assert_eq!(message(&|o| o.input_size = Some((9, side))), expected);
    }
    for ratio in [5.0, 1e-7, 1e-18, 0.0, -1.0, f32::NAN, f32::INFINITY] {
        let crop = |o: &mut Options| (o.resize_mode, o.crop_ratio) = (Some(ResizeMode::CenterCrop), Some(ratio));
        assert_eq!(message(&crop), format!("crop_ratio must be a number from 0.01 to 1, got {ratio}"));
    }
    assert_eq!(
        message(&|o| o.crop_ratio = Some(0.5)),
        "crop_ratio must be left out, as resize_mode is squash and not center_crop, got 0.5"
    );
    for threads in [0, 1025, 1_000_000_000] {
        let expected = format!("intra_threads must be a whole number from 1 to 1024, got {threads}");
        assert_eq!(message(&|o| o.intra_threads = threads), expected);
    }
    let limit = "max_pixels must be a whole number from 1 to 18446744073709551615, got 0";
    assert_eq!(message(&|o| o.max_pixels = 0), limit);
    let no_layers = "must be left out, as pixels has no layers, got";
    assert_eq!(message(&|o| o.pooling = Some(Pooling::Avg)), format!("pooling {no_layers} avg"));
    assert_eq!(message(&|o| o.layer = Some("top".to_owned())), format!("layer {no_layers} top"));
    assert_eq!(message(&|o| o.layer_layout = Some(Layout::Nchw)), format!("layer_layout {no_layers} NCHW"));
}

#[test]
fn a_layer_inside_the_graph_is_as_good_as_an_output() {
    let layer = |model: &str, name: &str| {
        let mut options = raw();
        options.layer = Some(name.to_owned());
        options.input_size = Some((16, 16));
        extract(&mut extractor(model, &options).unwrap(), &[Some(noise(5))]).values
    };
    // `map` is an output of the one file and hidden in the other
    assert_eq!(layer("any_size.onnx", "map"), layer("tiny_nchw.onnx", "map"));
    let names: Vec<String> = Graph::decode("tiny_nhwc.onnx", &std::fs::read(fixture("tiny_nhwc.onnx")).unwrap())
        .unwrap()
        .tensors()
        .map(|tensor| format!("{} {}", tensor.operator, tensor.name))
        .collect();
    assert_eq!(names, ["Transpose image", "Conv map", "Transpose map_nhwc"]);
}

#[test]
fn the_checksum_is_the_sha256_of_the_file() {
    // sha256sum tests/data/tiny_nchw.onnx
    let network = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    assert_eq!(network.checksum(), Some("e351ac6e0b5a5d6fdd1dc89da1a07d6a8d5f447c0c6038dca644d1cd3f3842d0"));
}

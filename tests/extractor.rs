//! Bytes to embeddings through public names only, on the tiny models and images of `tests/data`.
#![allow(clippy::unwrap_used)] // in the functions that tests share, too

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use common::{fixture, runtime};
use sparkcider::image::resize::{Filter, ResizeMode};
use sparkcider::onnx::Graph;
use sparkcider::tensor::{Layout, Normalization};
use sparkcider::{FeatureExtractor, Features, Options, Pooling, Result, Stage};

const CHANNELS: usize = 4;

fn extractor(model: &str, options: &Options) -> Result<FeatureExtractor> {
    FeatureExtractor::new(Path::new(&fixture(model)), &runtime(), options)
}

fn raw() -> Options {
    Options { normalization: Some(Normalization::Raw), ..Options::default() }
}

/// Binary PPM-like content is not a supported format, so the images are BMPs, written here: 54 bytes of header, rows of BGR.
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
fn decided_options_name_what_the_file_and_the_defaults_say_and_decide_the_same_again() {
    let given = Options { resize_mode: Some(ResizeMode::CenterCrop), pooling: Some(Pooling::Max), ..raw() };
    let given = Options { layer: Some("map".into()), ..given };
    for options in [Options::default(), given] {
        let decided = extractor("tiny_nchw.onnx", &options).unwrap().preprocessing().decided().clone();
        assert_eq!(decided.input_size, Some((16, 16)));
        assert_eq!(decided.layout, Some(Layout::Nchw));
        assert_eq!(decided.filter, Some(Filter::Bilinear)); // the file's
        assert_eq!(decided.crop_ratio.is_some(), options.resize_mode.is_some());
        assert_eq!((&decided.layer, decided.pooling), (&options.layer, options.pooling));
        let again = extractor("tiny_nchw.onnx", &decided).unwrap();
        assert_eq!(again.preprocessing().decided(), &decided);
    }
    let pixels = FeatureExtractor::pixels(&Options::default()).unwrap();
    assert_eq!(pixels.preprocessing().decided().normalization, Some(Normalization::Unit));
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
    assert_eq!(mixed.errors[0].as_ref().map(|fault| fault.reason.as_str()), Some("null image"));
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
        options.layer = (model == "tiny_nchw.onnx").then(|| "map".into());
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
    let error = extractor("any_size.onnx", &Options::default()).unwrap_err().to_string();
    assert!(error.starts_with("input_size is required (a side or (height, width)): the graph of "), "{error}");
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
        "model two_inputs.onnx: expects one image input, found 2 that 'sum' depends on: image, other; no output depends on \
         one alone"
    );
    assert!(message("text_input.onnx", &nothing).starts_with(
        "model text_input.onnx: expects an image input of float32, float16, bfloat16 or uint8, found input 'text' of "
    ));
    assert_eq!(
        message("grey_input.onnx", &nothing),
        "model grey_input.onnx: expects an image input of 3 channels, found (N, 1, 16, 16)"
    );
    assert!(message("make_models.py", &nothing).starts_with("model make_models.py: cannot read ONNX graph: "));
    assert_eq!(
        message("tiny_nhwc.onnx", &|o| o.normalization = None),
        "normalization is required (tf, caffe, torch, unit, raw or (mean, std)): tiny_nhwc.onnx does not say how \
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
        message("tiny_nchw.onnx", &|o| o.layer = Some("top".into())),
        "layer must be a tensor of the model's graph, such as its outputs (features, map), got 'top'; \
         `sparkcider model layers tiny_nchw.onnx` lists the tensors"
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
    assert_eq!(message(&|o| o.layer = Some("top".into())), format!("layer {no_layers} top"));
    assert_eq!(message(&|o| o.layer_layout = Some(Layout::Nchw)), format!("layer_layout {no_layers} NCHW"));
}

#[test]
fn a_layer_inside_the_graph_is_as_good_as_an_output() {
    let layer = |model: &str, name: &str| {
        let mut options = raw();
        options.layer = Some(name.into());
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

#[test]
fn the_time_of_each_stage_adds_up_over_batches_and_to_no_more_than_all() {
    let mut network = extractor("tiny_nchw.onnx", &Options::default()).unwrap();
    let times = network.times();
    let now = || Stage::ALL.map(|stage| times.of(stage));
    assert_eq!(now(), [Duration::ZERO; 3]); // the run that tests the network does not count
    let images: Vec<_> = (0..40).map(|seed| Some(noise(seed))).collect();
    let start = Instant::now();
    let _ = extract(&mut network, &images);
    let first = now();
    let _ = extract(&mut network, &images);
    let (second, all) = (now(), start.elapsed());
    assert!(first.iter().all(|time| *time > Duration::ZERO), "{first:?}");
    assert!(first.iter().zip(&second).all(|(first, second)| first < second), "{first:?} {second:?}");
    assert!(second.iter().sum::<Duration>() <= all, "{second:?} of {all:?}");
}

#[test]
fn a_bad_image_takes_time_to_decode_and_pixels_take_none_in_a_network() {
    let mut pixels = FeatureExtractor::pixels(&Options::default()).unwrap();
    let _ = extract(&mut pixels, &[Some(b"no image".to_vec()), None]);
    let times = pixels.times();
    assert!(times.of(Stage::Decoding) > Duration::ZERO);
    assert_eq!([Stage::Resizing, Stage::Inference].map(|stage| times.of(stage)), [Duration::ZERO; 2]);
    let _ = extract(&mut pixels, &[Some(noise(1))]);
    assert!(times.of(Stage::Resizing) > Duration::ZERO);
    assert_eq!(times.of(Stage::Inference), Duration::ZERO);
}

/// A copy of a model file that a test may change, removed when it is dropped.
struct Copy(PathBuf);

impl Copy {
    fn of(model: &str) -> Self {
        let name = format!("sparkcider-{}-{:?}.onnx", std::process::id(), thread::current().id());
        let path = std::env::temp_dir().join(name);
        fs::copy(model, &path).unwrap();
        Self(path)
    }

    fn extractor(&self) -> FeatureExtractor {
        FeatureExtractor::new(&self.0, &runtime(), &Options::default()).unwrap()
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// A network with a megabyte of weights, and a tiny one.
fn models() -> [String; 2] {
    let trained = concat!(env!("CARGO_MANIFEST_DIR"), "/python/sparkcider/pretrained/fruits-tiny.onnx");
    [trained.to_owned(), fixture("tiny_nchw.onnx")]
}

#[test]
fn twins_give_the_same_bits_in_threads_of_their_own() {
    let images: Vec<_> = (0..12).map(|seed| Some(noise(seed))).chain([None, Some(b"no image".to_vec())]).collect();
    let hidden = Options { layer: Some("map".into()), input_size: Some((16, 16)), ..raw() };
    let [trained, tiny] = models().map(|model| extractor_of(&model, &Options::default()));
    let others = [extractor("any_size.onnx", &hidden), extractor("fixed_batch.onnx", &Options::default())];
    let pixels = FeatureExtractor::pixels(&Options::default()).unwrap();
    for mut first in others.map(Result::unwrap).into_iter().chain([trained, tiny, pixels]) {
        let expected = extract(&mut first, &images);
        let mut second = first.twin().unwrap();
        let third = second.twin().unwrap();
        let twins = [second, third, first.twin().unwrap(), first];
        thread::scope(|scope| {
            let threads = twins.map(|mut twin| {
                let (images, expected) = (&images, &expected);
                scope.spawn(move || {
                    assert_eq!(&extract(&mut twin, images), expected);
                    twin
                })
            });
            let twins = threads.map(|thread| thread.join().unwrap());
            assert!(twins.iter().all(|twin| twin.checksum() == twins[0].checksum()));
            assert!(twins.iter().all(|twin| twin.preprocessing().size() == twins[0].preprocessing().size()));
        });
    }
}

fn extractor_of(model: &str, options: &Options) -> FeatureExtractor {
    FeatureExtractor::new(Path::new(model), &runtime(), options).unwrap()
}

#[test]
fn twins_share_their_weights_and_need_the_file_no_more() {
    for model in models() {
        let copy = Copy::of(&model);
        let mut first = copy.extractor();
        let mut second = first.twin().unwrap();
        fs::remove_file(&copy.0).unwrap();
        let mut others = [first.twin().unwrap(), second.twin().unwrap()];
        let expected = extract(&mut first, &[Some(noise(1))]);
        drop(first);
        assert!(others.iter_mut().all(|twin| extract(twin, &[Some(noise(1))]) == expected), "{model}");
    }
}

#[test]
fn a_file_that_has_changed_has_no_twin() {
    let [trained, tiny] = models();
    let copy = Copy::of(&trained);
    let mut network = copy.extractor();
    fs::copy(tiny, &copy.0).unwrap();
    let error = network.twin().unwrap_err().to_string();
    let (path, before) = (copy.0.display(), network.checksum().unwrap());
    let expected =
        format!("model {path}: the file has changed since it was opened: its SHA-256 was {before} and is e351ac6e");
    assert!(error.starts_with(&expected), "{error}");
    fs::copy(trained, &copy.0).unwrap();
    assert!(network.twin().is_ok());
}

#[test]
fn the_times_of_a_twin_are_its_own() {
    let mut first = FeatureExtractor::pixels(&Options::default()).unwrap();
    let _ = extract(&mut first, &[Some(noise(1))]);
    assert_eq!(first.twin().unwrap().times().of(Stage::Decoding), Duration::ZERO);
}

#[test]
fn tokens_of_an_image_branch_are_pooled_without_the_class() {
    let size = Options { input_size: Some((16, 16)), ..raw() };
    let images = [Some(noise(5)), None, Some(noise(6))];
    let run = |pooling| {
        let options = Options { pooling, ..size.clone() };
        let mut network = extractor("joint_tokens.onnx", &options).unwrap();
        let outputs =
            network.outputs().into_iter().map(|(name, pooling)| (name.to_owned(), pooling)).collect::<Vec<_>>();
        (extract(&mut network, &images).values, outputs)
    };
    let (class, outputs) = run(None);
    assert_eq!(outputs, [("last_hidden_state".to_owned(), Some(Pooling::Cls))]);
    assert_eq!(class[..4], [1.0, 2.0, 3.0, 4.0]);
    // the patches are the map of the other network, whose mean is its feature
    let means = extract(&mut extractor("tiny_nchw.onnx", &raw()).unwrap(), &images).values;
    let close = |found: &[f32]| found.iter().zip(&means).all(|(found, mean)| (found - mean).abs() <= 1e-4 * mean.abs());
    assert!(close(&run(Some(Pooling::MeanTokens)).0));
    assert!(!close(&run(Some(Pooling::Avg)).0));
}

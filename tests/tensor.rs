//! Tensors against numpy's float32 by checksums.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common {
    pub mod pixels;
}

use common::pixels::{noise, sha256, table};
use sparkcider::tensor::{ColorOrder, Layout, Normalization, TensorWriter};

#[test]
fn every_value_is_numpys() {
    let image = noise(32, 24, 0);
    let cases = table("tensor.tsv");
    assert_eq!(cases.len(), 24);
    for case in cases {
        let normalization = match case[2].as_str() {
            "mean_std" => Normalization::MeanStd { mean: [0.1, 0.2, 0.3], std: [0.5, 2.0, -0.25] },
            preset => preset.parse().unwrap(),
        };
        let writer = TensorWriter::new(case[0].parse().unwrap(), case[1].parse().unwrap(), normalization).unwrap();
        let mut values = vec![f32::NAN; 32 * 24 * 3];
        writer.write(&image, &mut values).unwrap();
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(sha256(&bytes), case[3], "{case:?}");
    }
}

#[test]
fn only_caffe_has_blue_first_of_itself() {
    for (name, order) in [("tf", "RGB"), ("caffe", "BGR"), ("torch", "RGB"), ("unit", "RGB"), ("raw", "RGB")] {
        assert_eq!(name.parse::<Normalization>().unwrap().color_order().to_string(), order);
    }
}

#[test]
fn a_mean_or_std_that_cannot_be_is_named() {
    let message = |mean, std| {
        let normalization = Normalization::MeanStd { mean, std };
        TensorWriter::new(Layout::Nchw, ColorOrder::Rgb, normalization).unwrap_err().to_string()
    };
    assert_eq!(
        message([0.5; 3], [1.0, 0.0, 1.0]),
        "normalization must be a finite mean and a finite std other than 0 for each of R, G, B, \
         got mean 0.5,0.5,0.5 std 1,0,1"
    );
    assert!(message([f32::NAN, 0.0, 0.0], [1.0; 3]).ends_with("got mean NaN,0,0 std 1,1,1"));
    assert!(message([0.0; 3], [1.0, 1.0, f32::INFINITY]).ends_with("std 1,1,inf"));
    // a std so small that white is infinite
    assert!(message([0.0; 3], [1.0, 1e-39, 1.0]).contains(", got mean 0,0,0 std 1,0.00"));
}

#[test]
fn a_tensor_of_another_size_is_refused() {
    let writer = TensorWriter::new(Layout::Nhwc, ColorOrder::Rgb, Normalization::Unit).unwrap();
    let error = writer.write(&noise(2, 3, 0), &mut [0.0; 17]).unwrap_err();
    assert_eq!(error.to_string(), "expected room for 18 values of an image (2, 3, 3), got 17 values");
}

#[test]
fn a_mean_and_std_is_read_as_it_is_shown() {
    let spelled = "mean 0.485,0.456,0.406 std 0.229,0.224,0.225";
    let read: Normalization = spelled.parse().unwrap();
    assert_eq!(read, Normalization::MeanStd { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] });
    assert_eq!(read.to_string(), spelled);
    for other in
        ["mean 1,2 std 1,2,3", "mean 1,2,x std 1,2,3", "mean 1,2,3", "mean 1,2,3 std 1,2,3 ", "std 1,2,3 mean 1,2,3"]
    {
        let message = other.parse::<Normalization>().unwrap_err().to_string();
        let expected = "normalization must be tf, caffe, torch, unit, raw or mean r,g,b std r,g,b";
        assert_eq!(message, format!("{expected}, got '{other}'"));
    }
}

#[test]
fn float_levels_become_what_whole_ones_become() {
    let image = noise(5, 7, 3);
    let levels: Vec<f32> = image.pixels().iter().map(|level| f32::from(*level)).collect();
    for layout in [Layout::Nchw, Layout::Nhwc] {
        for order in [ColorOrder::Rgb, ColorOrder::Bgr] {
            for normalization in [Normalization::Caffe, Normalization::Torch] {
                let writer = TensorWriter::new(layout, order, normalization).unwrap();
                let [mut whole, mut floats] = [vec![f32::NAN; 105], vec![f32::NAN; 105]];
                writer.write(&image, &mut whole).unwrap();
                writer.write_floats(&levels, &mut floats).unwrap();
                assert_eq!(whole, floats);
            }
        }
    }
    let writer = TensorWriter::new(Layout::Nchw, ColorOrder::Rgb, Normalization::Unit).unwrap();
    let error = writer.write_floats(&levels, &mut [0.0; 3]).unwrap_err();
    assert_eq!(error.to_string(), "expected room for the 105 values of an image, got 3 values");
}

#[test]
fn words_are_read_as_they_are_shown() {
    for word in ["NCHW", "NHWC"] {
        assert_eq!(word.parse::<Layout>().unwrap().to_string(), word);
    }
    for word in ["RGB", "BGR"] {
        assert_eq!(word.parse::<ColorOrder>().unwrap().to_string(), word);
    }
    for word in ["tf", "caffe", "torch", "unit", "raw"] {
        assert_eq!(word.parse::<Normalization>().unwrap().to_string(), word);
    }
    let other = Layout::parse("layer_layout", "CHW").unwrap_err().to_string();
    assert_eq!(other, "layer_layout must be NCHW or NHWC, got 'CHW'");
    assert_eq!("nchw".parse::<Layout>().unwrap_err().to_string(), "layout must be NCHW or NHWC, got 'nchw'");
}

//! Resizing against Pillow 12.1 by checksums, and what holds for any image.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common {
    pub mod pixels;
}

use common::pixels::{noise, sha256, table};
use sparkcider::Error;
use sparkcider::image::MAX_SIDE;
use sparkcider::image::RgbImage;
use sparkcider::image::resize::{Filter, ResizeMode, Resizer};

const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];

const SIZES: [(u32, u32); 6] = [(1, 1), (1, 40), (40, 1), (17, 23), (100, 30), (224, 224)];

fn squash(image: &RgbImage, height: u32, width: u32, filter: Filter) -> RgbImage {
    Resizer::default().fit(image, height, width, ResizeMode::Squash, filter).unwrap()
}

fn constant(height: u32, width: u32, color: [u8; 3]) -> RgbImage {
    RgbImage::new(height, width, color.repeat((height * width) as usize)).unwrap()
}

#[test]
fn every_pixel_is_pillows() {
    // one resizer for all, so that its remembered weights are tried too
    let mut resizer = Resizer::default();
    let cases = table("resize.tsv");
    assert!(cases.len() > 400);
    for (seed, case) in (0..).zip(cases) {
        let [height, width, out_height, out_width] = [0, 1, 2, 3].map(|i| case[i].parse().unwrap());
        let mode = ResizeMode::parse(&case[5], None, Some([10, 200, 30])).unwrap();
        let image = noise(height, width, seed);
        let out = resizer.fit(&image, out_height, out_width, mode, case[4].parse().unwrap()).unwrap();
        assert_eq!((out.height(), out.width()), (out_height, out_width));
        assert_eq!(sha256(out.pixels()), case[6], "{case:?}");
    }
}

#[test]
fn the_same_size_is_the_same_image() {
    for (height, width) in SIZES {
        let image = noise(height, width, 1);
        for filter in FILTERS {
            assert_eq!(squash(&image, height, width, filter), image, "{filter}");
        }
    }
}

#[test]
fn one_colour_stays_that_colour() {
    for (height, width) in SIZES {
        for (out_height, out_width) in SIZES {
            for filter in FILTERS {
                let resized = squash(&constant(height, width, [255, 0, 93]), out_height, out_width, filter);
                assert_eq!(resized, constant(out_height, out_width, [255, 0, 93]), "{filter}");
            }
        }
    }
}

#[test]
fn a_resizer_has_no_memory_of_other_images() {
    let mut used = Resizer::default();
    for (seed, (height, width)) in (0..).zip(SIZES.into_iter().chain(SIZES)) {
        let image = noise(height, width, seed);
        for filter in FILTERS {
            let resized = used.fit(&image, 20, 33, ResizeMode::Squash, filter).unwrap();
            assert_eq!(resized, squash(&image, 20, 33, filter));
        }
    }
}

#[test]
fn a_crop_ratio_of_one_on_a_square_is_squash() {
    let image = noise(50, 50, 2);
    let crop = ResizeMode::CenterCrop { crop_ratio: 1.0 };
    let cropped = Resizer::default().fit(&image, 20, 20, crop, Filter::Bicubic).unwrap();
    assert_eq!(cropped, squash(&image, 20, 20, Filter::Bicubic));
}

#[test]
fn letterbox_keeps_a_side_that_rounds_down_to_nothing() {
    let mode = ResizeMode::Letterbox { background: [0, 0, 255] };
    let resized = Resizer::default().fit(&constant(1, 1000, [9, 9, 9]), 5, 5, mode, Filter::Box).unwrap();
    let rows: Vec<&[u8]> = resized.pixels().chunks(15).collect();
    assert_eq!(rows[2], [9; 15]);
    assert_eq!(rows[1], [0, 0, 255].repeat(5));
}

#[test]
fn a_strip_of_a_million_pixels_is_resized() {
    let strip = constant(MAX_SIDE, 1, [7, 8, 9]);
    for mode in ["squash", "center_crop", "letterbox"] {
        let mode = ResizeMode::parse(mode, None, Some([7, 8, 9])).unwrap();
        let resized = Resizer::default().fit(&strip, 32, 32, mode, Filter::Lanczos).unwrap();
        assert_eq!(resized, constant(32, 32, [7, 8, 9]));
    }
}

#[test]
fn bad_sizes_and_words_are_named() {
    let message = |image: &RgbImage, height, width, mode| {
        let error: Error = Resizer::default().fit(image, height, width, mode, Filter::Bicubic).unwrap_err();
        error.to_string()
    };
    let image = constant(2, 2, [0; 3]);
    assert_eq!(message(&image, 0, 9, ResizeMode::Squash), "input_size must be at least 1 x 1, got 0 x 9");
    assert_eq!(
        message(&constant(MAX_SIDE + 1, 1, [0; 3]), 9, 9, ResizeMode::Squash),
        "expected an image with sides of at most 1048576 pixels, got 1048577 x 1 pixels (height x width)"
    );
    for crop_ratio in [0.0, 1.5, f32::NAN] {
        let mode = ResizeMode::CenterCrop { crop_ratio };
        let expected = format!("crop_ratio must be over 0 and at most 1, got {crop_ratio}");
        assert_eq!(message(&image, 9, 9, mode), expected);
    }
    assert_eq!(
        "cubic".parse::<Filter>().unwrap_err().to_string(),
        "filter must be nearest, box, bilinear, hamming, bicubic or lanczos, got 'cubic'"
    );
    assert_eq!(
        ResizeMode::parse("crop", None, None).unwrap_err().to_string(),
        "resize_mode must be squash, center_crop or letterbox, got 'crop'"
    );
}

#[test]
fn words_are_read_as_they_are_shown() {
    for filter in FILTERS {
        assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
    }
}

//! Resizing against Pillow 12.1 by checksums, and what holds for any image.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common {
    pub mod pixels;
}

use common::pixels::{noise, sha256, table};
use proptest::prelude::*;
use sparkcider::image::resize::{
    Filter, MAX_TARGET_SIDE, MIN_CROP_RATIO, ResizeDtype, ResizeMode, ResizeOptions, Resizer, Rounding, Target,
};
use sparkcider::image::{MAX_SIDE, RgbImage};

const FILTERS: [Filter; 6] =
    [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];

const MODES: [ResizeMode; 3] = [ResizeMode::Squash, ResizeMode::CenterCrop, ResizeMode::Letterbox];

/// The background of the letterboxes in `resize.tsv`.
const BARS: [u8; 3] = [10, 200, 30];

const SIZES: [(u32, u32); 6] = [(1, 1), (1, 40), (40, 1), (17, 23), (100, 30), (224, 224)];

/// A target with another mode and filter; letterboxes are filled with `BARS`.
fn target(height: u32, width: u32, mode: ResizeMode, filter: Filter) -> Target {
    ResizeOptions { mode, filter, background: BARS, ..ResizeOptions::new(height, width) }.check().unwrap()
}

fn squash(image: &RgbImage, height: u32, width: u32, filter: Filter) -> RgbImage {
    Resizer::default().fit(image, &target(height, width, ResizeMode::Squash, filter)).unwrap()
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
        let target = target(out_height, out_width, case[5].parse().unwrap(), case[4].parse().unwrap());
        let image = noise(height, width, seed);
        let out = resizer.fit(&image, &target).unwrap();
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
            let resized = used.fit(&image, &target(20, 33, ResizeMode::Squash, filter)).unwrap();
            assert_eq!(resized, squash(&image, 20, 33, filter));
        }
    }
}

#[test]
fn a_crop_ratio_of_one_on_a_square_is_squash() {
    let image = noise(50, 50, 2);
    let crop = ResizeOptions { mode: ResizeMode::CenterCrop, crop_ratio: 1.0, ..ResizeOptions::new(20, 20) };
    let cropped = Resizer::default().fit(&image, &crop.check().unwrap()).unwrap();
    assert_eq!(cropped, squash(&image, 20, 20, Filter::Bicubic));
}

#[test]
fn letterbox_keeps_a_side_that_rounds_down_to_nothing() {
    let target = target(5, 5, ResizeMode::Letterbox, Filter::Box);
    let resized = Resizer::default().fit(&constant(1, 1000, [9, 9, 9]), &target).unwrap();
    let rows: Vec<&[u8]> = resized.pixels().chunks(15).collect();
    assert_eq!(rows[2], [9; 15]);
    assert_eq!(rows[1], BARS.repeat(5));
}

#[test]
fn a_strip_of_a_million_pixels_is_resized() {
    let strip = constant(MAX_SIDE, 1, BARS);
    for mode in MODES {
        let resized = Resizer::default().fit(&strip, &target(32, 32, mode, Filter::Lanczos)).unwrap();
        assert_eq!(resized, constant(32, 32, BARS));
    }
}

#[test]
fn the_smallest_crop_of_the_longest_strip_is_resized() {
    // scaled up to 409,600 x 429,496,729,600 pixels; adding up every position of the longer side would take minutes
    let side = MAX_TARGET_SIDE;
    let strip = constant(1, MAX_SIDE, BARS);
    for filter in FILTERS {
        let options = ResizeOptions { mode: ResizeMode::CenterCrop, filter, ..ResizeOptions::new(side, 1) };
        let target = ResizeOptions { crop_ratio: MIN_CROP_RATIO, ..options }.check().unwrap();
        assert_eq!(Resizer::default().fit(&strip, &target).unwrap(), constant(side, 1, BARS), "{filter}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_image_fits_any_target(
        input in (1..=40_u32, prop_oneof![1..=40_u32, 1..=20_000_u32]),
        turned: bool,
        output in (1..=70_u32, 1..=70_u32),
        (mode, filter) in (prop::sample::select(MODES.to_vec()), prop::sample::select(FILTERS.to_vec())),
        crop_ratio in MIN_CROP_RATIO..=1.0,
    ) {
        let (height, width) = if turned { (input.1, input.0) } else { input };
        let options = ResizeOptions { mode, filter, crop_ratio, background: BARS, ..ResizeOptions::new(output.0, output.1) };
        let resized = Resizer::default().fit(&constant(height, width, BARS), &options.check().unwrap()).unwrap();
        prop_assert_eq!(resized, constant(output.0, output.1, BARS));
    }
}

#[test]
fn bad_sizes_and_words_are_named() {
    let message = |options: ResizeOptions| options.check().unwrap_err().to_string();
    for (height, width) in [(0, 9), (9, 0), (MAX_TARGET_SIDE + 1, 9), (9, u32::MAX)] {
        let expected =
            format!("input_size must be a side or (height, width) of 1 to 4096 pixels, got ({height}, {width})");
        assert_eq!(message(ResizeOptions::new(height, width)), expected);
    }
    for crop_ratio in [0.0, 1e-18, 1.5, -0.5, f32::NAN, f32::INFINITY] {
        let expected = format!("crop_ratio must be a number from 0.01 to 1, got {crop_ratio}");
        assert_eq!(message(ResizeOptions { crop_ratio, ..ResizeOptions::new(9, 9) }), expected);
    }
    let long = constant(MAX_SIDE + 1, 1, [0; 3]);
    assert_eq!(
        Resizer::default().fit(&long, &target(9, 9, ResizeMode::Squash, Filter::Bicubic)).unwrap_err().to_string(),
        "expected an image with sides of at most 1048576 pixels, got 1048577 x 1 pixels (height x width)"
    );
    assert_eq!(
        "cubic".parse::<Filter>().unwrap_err().to_string(),
        "filter must be nearest, box, bilinear, hamming, bicubic or lanczos, got 'cubic'"
    );
    assert_eq!(
        "crop".parse::<ResizeMode>().unwrap_err().to_string(),
        "resize_mode must be squash, center_crop or letterbox, got 'crop'"
    );
}

#[test]
fn words_are_read_as_they_are_shown() {
    for filter in FILTERS {
        assert_eq!(filter.to_string().parse::<Filter>().unwrap(), filter);
    }
    for mode in MODES {
        assert_eq!(mode.to_string().parse::<ResizeMode>().unwrap(), mode);
    }
}

const ROUNDINGS: [Rounding; 3] = [Rounding::Torchvision, Rounding::Transformers, Rounding::Timm];

/// Rows and columns around an image of (`height`, `width`) in a target of 5 x 8, its size unchanged: above, below, left,
/// right; negative where it was cut.
fn margins(height: u32, width: u32, rounding: Rounding) -> [i64; 4] {
    let options =
        ResizeOptions { resize_size: Some((height, width)), rounding, filter: Filter::Box, ..ResizeOptions::new(5, 8) };
    // each pixel says where it is; 0 is left to the fill
    let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [1 + y as u8, 1 + x as u8, 255])).collect();
    let image = RgbImage::new(height, width, pixels).unwrap();
    let fitted = Resizer::default().fit(&image, &options.check().unwrap()).unwrap();
    let pixels = fitted.pixels().as_chunks::<3>().0;
    let first = pixels.iter().position(|pixel| pixel[2] > 0).unwrap();
    let last = pixels.iter().rposition(|pixel| pixel[2] > 0).unwrap();
    let at = |place: usize, channel: usize| i64::from(pixels[place][channel]) - 1;
    let [above, left] = [(first / 8) as i64 - at(first, 0), (first % 8) as i64 - at(first, 1)];
    let below = 4 - (last / 8) as i64 - (i64::from(height) - 1 - at(last, 0));
    let right = 7 - (last % 8) as i64 - (i64::from(width) - 1 - at(last, 1));
    [above, below, left, right]
}

#[test]
fn an_odd_rest_is_shared_as_each_library_shares_it() {
    // one row and three columns are cut off: Python rounds 0.5 to 0 and 1.5 to 2
    assert_eq!(ROUNDINGS.map(|rounding| margins(6, 11, rounding)), [[0, -1, -2, -1], [0, -1, -1, -2], [0, -1, -2, -1]]);
    // one row and three columns are missing
    assert_eq!(ROUNDINGS.map(|rounding| margins(4, 5, rounding)), [[0, 1, 1, 2], [1, 0, 2, 1], [0, 1, 1, 2]]);
    // rows are cut off, columns missing
    assert_eq!(ROUNDINGS.map(|rounding| margins(8, 5, rounding)), [[-2, -1, 1, 2], [-1, -2, 2, 1], [-2, -1, 1, 2]]);
}

#[test]
fn a_resize_size_takes_the_place_of_a_crop_ratio() {
    let image = noise(90, 131, 5);
    let crop = ResizeOptions { mode: ResizeMode::CenterCrop, ..ResizeOptions::new(56, 56) };
    let by_ratio = Resizer::default().fit(&image, &crop.check().unwrap()).unwrap();
    let by_size = ResizeOptions { resize_size: Some((64, 64)), crop_ratio: 0.1, ..crop };
    assert_eq!(Resizer::default().fit(&image, &by_size.check().unwrap()).unwrap(), by_ratio);
}

#[test]
fn a_letterbox_of_a_resize_size_is_cut_where_it_is_larger() {
    let options =
        ResizeOptions { mode: ResizeMode::Letterbox, resize_size: Some((20, 20)), ..ResizeOptions::new(10, 10) };
    let fitted = Resizer::default().fit(&constant(20, 8, BARS), &options.check().unwrap()).unwrap();
    let row: Vec<u8> = [&[0; 3][..], &BARS.repeat(8), &[0; 3]].concat();
    assert_eq!(fitted.pixels(), row.repeat(10));
}

fn floats(image: &RgbImage, size: (u32, u32), filter: Filter) -> Vec<f32> {
    let options = ResizeOptions { filter, dtype: ResizeDtype::Float32, ..ResizeOptions::new(size.0, size.1) };
    Resizer::fit_floats(image, &options.check().unwrap()).unwrap()
}

#[test]
fn floats_are_levels_before_they_are_rounded() {
    for (seed, (height, width)) in (0..).zip(SIZES) {
        let image = noise(height, width, seed);
        for size in SIZES {
            let levels = squash(&image, size.0, size.1, Filter::Bilinear);
            for (level, float) in levels.pixels().iter().zip(floats(&image, size, Filter::Bilinear)) {
                // each of two passes rounds by half a level
                assert!((f32::from(*level) - float).abs() <= 1.01, "{level} {float}");
            }
        }
    }
}

#[test]
fn floats_of_the_same_size_are_the_levels() {
    let image = noise(17, 23, 1);
    let levels: Vec<f32> = image.pixels().iter().map(|level| f32::from(*level)).collect();
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        assert_eq!(floats(&image, (17, 23), filter), levels);
    }
}

#[test]
fn bicubic_floats_leave_the_range_of_levels_and_bars_are_filled() {
    let edge = RgbImage::new(1, 4, [[0; 6], [255; 6]].concat()).unwrap();
    let floats = floats(&edge, (1, 16), Filter::Bicubic);
    assert!(floats.iter().any(|level| *level < -1.0) && floats.iter().any(|level| *level > 256.0));
    let options = ResizeOptions { mode: ResizeMode::Letterbox, background: BARS, ..ResizeOptions::new(4, 4) };
    let target = ResizeOptions { dtype: ResizeDtype::Float32, ..options }.check().unwrap();
    assert_eq!(Resizer::fit_floats(&edge, &target).unwrap()[..3], BARS.map(f32::from));
}

#[test]
fn floats_of_other_filters_and_sizes_out_of_range_are_refused() {
    let message = |options: ResizeOptions| options.check().unwrap_err().to_string();
    let lanczos = ResizeOptions { filter: Filter::Lanczos, dtype: ResizeDtype::Float32, ..ResizeOptions::new(4, 4) };
    assert_eq!(message(lanczos), "filter must be bilinear or bicubic, as resize_dtype is float32, got lanczos");
    let resized = ResizeOptions { resize_size: Some((4, 4097)), ..ResizeOptions::new(4, 4) };
    assert_eq!(message(resized), "resize_size must be a side or (height, width) of 1 to 4096 pixels, got (4, 4097)");
}

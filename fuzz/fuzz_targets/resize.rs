//! Any options of a resize, and any small image.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use sparkcider::image::RgbImage;
use sparkcider::image::resize::{Filter, ResizeMode, ResizeOptions, Resizer, Rounding};

#[derive(Arbitrary, Debug)]
struct Input {
    image: (u8, u16),
    target: (u32, u32),
    mode: u8,
    filter: u8,
    crop_ratio: f32,
    background: [u8; 3],
    resize_size: Option<(u16, u16)>,
    rounding: u8,
}

fuzz_target!(|input: Input| {
    let mode = [ResizeMode::Squash, ResizeMode::CenterCrop, ResizeMode::Letterbox][usize::from(input.mode) % 3];
    let filters = [Filter::Nearest, Filter::Box, Filter::Bilinear, Filter::Hamming, Filter::Bicubic, Filter::Lanczos];
    let filter = filters[usize::from(input.filter) % filters.len()];
    let (height, width) = input.target;
    let Input { crop_ratio, background, .. } = input;
    let rounding =
        [Rounding::Torchvision, Rounding::Transformers, Rounding::Timm][usize::from(input.rounding) % 3];
    let resize_size = input.resize_size.map(|(height, width)| (u32::from(height), u32::from(width)));
    let size = ResizeOptions::new(height, width);
    let options = ResizeOptions { mode, resize_size, crop_ratio, background, filter, rounding, ..size };
    let Ok(target) = options.check() else { return };
    if height.saturating_mul(width) > 1 << 18 {
        return; // allowed, but slow under AddressSanitizer
    }
    let (height, width) = (u32::from(input.image.0), u32::from(input.image.1));
    let Ok(image) = RgbImage::new(height, width, vec![7; (height * width * 3) as usize]) else { return };
    let resized = Resizer::default().fit(&image, &target).expect("a checked target");
    assert_eq!((resized.height(), resized.width()), input.target);
});

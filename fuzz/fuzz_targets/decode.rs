//! Any bytes as an image file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode};

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { max_pixels: 1 << 20 };
    let _ = decode(bytes, &DecodeOptions { limits, background: Some([1, 2, 3]), ..DecodeOptions::default() });
});

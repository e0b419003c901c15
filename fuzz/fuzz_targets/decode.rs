//! Any bytes as an image file.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sparkcider::image::decode::{DecodeLimits, DecodeOptions, decode, decode_scaled, header_size};
use sparkcider::image::resize::ResizeOptions;

fuzz_target!(|bytes: &[u8]| {
    let limits = DecodeLimits { max_pixels: 1 << 20 };
    let options = DecodeOptions { limits, background: Some([1, 2, 3]), ..DecodeOptions::default() };
    let whole = decode(bytes, &options);
    let size = header_size(bytes);
    assert!(size.is_ok() || whole.is_err());
    if bytes.starts_with(&[0xFF, 0xD8]) {
        let target = ResizeOptions::new(1, 1).check().expect("a pixel");
        let _ = decode_scaled(bytes, &options, &target);
    }
});

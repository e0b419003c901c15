//! Any bytes as the EXIF data of a JPEG.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sparkcider::image::decode::{DecodeOptions, decode};
use sparkcider::image::encode_jpeg;

/// Eight pixels, which decode in microseconds.
static JPEG: LazyLock<Vec<u8>> = LazyLock::new(|| encode_jpeg(&[90; 24], 2, 4, 90).expect("a small JPEG"));

fuzz_target!(|bytes: &[u8]| {
    let data = [b"Exif\0\0", bytes].concat();
    let Ok(length) = u16::try_from(data.len() + 2) else { return };
    let segment = [&[0xFF, 0xE1], &length.to_be_bytes()[..], &data].concat();
    let file = [&JPEG[..2], &segment, &JPEG[2..]].concat();
    let image = decode(&file, &DecodeOptions::default()).expect("EXIF data make no JPEG unreadable");
    assert_eq!(image.height() * image.width(), 8);
});

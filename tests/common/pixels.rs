//! What the tests of pixels share: the images and tables of `make_pixel_fixtures.py`.

use sha2::{Digest, Sha256};
use sparkcider::image::RgbImage;

/// The lines of a table of `tests/data`, without comments.
pub fn table(name: &str) -> Vec<Vec<String>> {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

/// Noise; black and white only where the seed is odd.
pub fn noise(height: u32, width: u32, seed: u32) -> RgbImage {
    let levels = (0..height * width * 3).map(|i| {
        let value = i.wrapping_mul(2_654_435_761).wrapping_add(seed.wrapping_mul(40503));
        let [.., level] = (value ^ (value >> 15)).wrapping_mul(2_246_822_519).to_le_bytes();
        match seed % 2 {
            0 => level,
            _ if level < 128 => 0,
            _ => 255,
        }
    });
    RgbImage::new(height, width, levels.collect()).unwrap()
}

/// SHA-256 in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    let digits = Sha256::digest(bytes).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

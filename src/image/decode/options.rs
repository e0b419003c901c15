//! What the user chooses about decoding.

use super::limits::DecodeLimits;

/// How bytes become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Turn the image upright as its EXIF orientation says. Default: true.
    pub apply_exif: bool,
    /// What a file may cost. Default: [`MAX_PIXELS`](super::MAX_PIXELS) pixels.
    pub limits: DecodeLimits,
    /// Lay transparent pixels over this RGB colour. Default: `None`, alpha is dropped.
    pub background: Option<[u8; 3]>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { apply_exif: true, limits: DecodeLimits::default(), background: None }
    }
}

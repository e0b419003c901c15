//! Encoded bytes to [`RgbImage`], as Pillow 12.1's `ImageOps.exif_transpose(Image.open(f)).convert("RGB")` decodes them.
//!
//! | step | file |
//! |---|---|
//! | the format by its first bytes | `decode/format.rs` |
//! | header, pixel limit, pixels | `decode/{jpeg,png,gif,bmp,tiff,tiff_jpeg,webp}.rs` |
//! | grey, palette, CMYK, alpha to RGB | `decode/colour.rs` |
//! | upright by EXIF or XMP | `decode/orientation.rs` |
//!
//! JPEG is decoded bit for bit as libjpeg-turbo does it, always at full size. docs/numerics.md lists every difference from Pillow.

mod bmp;
mod colour;
mod format;
mod gif;
mod jpeg;
mod orientation;
mod png;
mod tiff;
mod tiff_jpeg;
mod webp;

use std::panic::catch_unwind;

use super::RgbImage;
use crate::{Error, Result};
use format::Format;
use orientation::Orientation;

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

/// Decodes an image file in memory: JPEG, PNG, GIF, BMP, TIFF or WebP, found by its first bytes.
///
/// The first frame of an animation and the first page of a TIFF. Grey is repeated, palettes are looked up, 16 bits become 8 by
/// `>> 8`, CMYK becomes RGB by Pillow's formula `(255 - k) - c * (255 - k) / 255`, alpha is dropped or laid over
/// [`DecodeOptions::background`].
///
/// # Shapes
/// (H, W, 3) u8; H and W after the turn by EXIF.
///
/// # Errors
/// [`Error::Decode`] if the bytes are no whole image of these formats, [`Error::ImageTooLarge`] over the pixel limit, by
/// the header alone.
pub fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<RgbImage> {
    let format = Format::of(bytes)?;
    let codec = match format {
        Format::Bmp => bmp::decode,
        Format::Gif => gif::decode,
        Format::Jpeg => jpeg::decode,
        Format::Png => png::decode,
        Format::Tiff => tiff::decode,
        Format::WebP => webp::decode,
    };
    // A codec that panics on hostile bytes has spoilt this row, not the process. It owns all it touches.
    let decoded = catch_unwind(|| codec(bytes, options));
    let (image, orientation) = decoded.unwrap_or_else(|_| Err(format.fault("the decoder gave up on damaged data")))?;
    if options.apply_exif { orientation.apply(image) } else { Ok(image) }
}

/// What a codec yields: the pixels as stored, and how to turn them.
type Decoded = (RgbImage, Orientation);

/// Refuses by the header what must not be allocated, and what has no pixel.
fn check_size(format: Format, height: u64, width: u64, options: &DecodeOptions) -> Result<()> {
    if height == 0 || width == 0 {
        return Err(format.fault(format_args!("the image has no pixels ({width} x {height})")));
    }
    if width.saturating_mul(height) > options.max_pixels {
        return Err(Error::ImageTooLarge { width, height, limit: options.max_pixels });
    }
    Ok(())
}

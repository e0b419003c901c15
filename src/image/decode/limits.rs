//! What a file may cost: its pixels, and the memory that follows from them.

use super::format::Format;
use crate::image::MAX_SIDE;
use crate::{Error, Result};

/// Pillow's own error limit: twice its `MAX_IMAGE_PIXELS` of 89,478,485.
pub const MAX_PIXELS: u64 = 178_956_970;

/// Bytes that a codec may allocate per pixel, beside the 3 of the RGB image: three images more.
const BYTES_PER_PIXEL: usize = 9;

/// Bytes that a codec may allocate whatever the size: tables, windows, rows, metadata.
pub(super) const OVERHEAD: usize = 32 << 20;

/// Bounds that hold for every format. A codec gets them before it allocates anything that its file chooses.
///
/// Decoding takes at most the file's own bytes, four times the bytes of the RGB image and 64 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Refuse images over this many pixels by their header. Default: [`MAX_PIXELS`].
    pub max_pixels: u64,
}

impl Default for DecodeLimits {
    fn default() -> Self {
        Self { max_pixels: MAX_PIXELS }
    }
}

impl DecodeLimits {
    /// Checks the size that a header states and returns the bytes that the codec may allocate beside the RGB image.
    pub(super) fn memory_for(self, format: Format, height: u64, width: u64) -> Result<usize> {
        if height == 0 || width == 0 {
            return Err(format.damaged(format_args!("the image has no pixels ({width} x {height})")));
        }
        if width.saturating_mul(height) > self.max_pixels {
            return Err(Error::ImageTooLarge { width, height, limit: self.max_pixels });
        }
        if height.max(width) > u64::from(MAX_SIDE) {
            return Err(format.too_large(format_args!("a side of {width} x {height} pixels is over {MAX_SIDE}")));
        }
        Ok((height as usize * width as usize).saturating_mul(BYTES_PER_PIXEL).saturating_add(OVERHEAD))
    }
}

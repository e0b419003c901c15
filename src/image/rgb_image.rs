//! The pixels that every codec gives and every resize takes.

use crate::error::{Error, Result};

/// Longest side of an image in pixels: the weights of a resize take memory by the side, which a limit of pixels does not
/// bound. Pillow's own sizes are float32, exact up to 16 times as much.
pub const MAX_SIDE: u32 = 1 << 20;

/// An image: (H, W, 3) u8, row-major, RGB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RgbImage {
    height: u32,
    width: u32,
    pixels: Vec<u8>,
}

impl RgbImage {
    /// Wraps `pixels` of shape (`height`, `width`, 3).
    ///
    /// # Errors
    /// [`Error::Shape`] if the length is not `height * width * 3` or a side is 0.
    ///
    /// ```
    /// use sparkcider::image::RgbImage;
    ///
    /// assert!(RgbImage::new(1, 2, vec![255, 0, 0, 0, 0, 255]).is_ok());
    /// assert!(RgbImage::new(1, 2, vec![255]).is_err());
    /// ```
    pub fn new(height: u32, width: u32, pixels: Vec<u8>) -> Result<Self> {
        let expected = (height as usize).saturating_mul(width as usize).saturating_mul(3);
        if expected == 0 || pixels.len() != expected {
            return Err(Error::Shape {
                expected: format!("{expected} (> 0) bytes for an image ({height}, {width}, 3)"),
                found: format!("{} bytes", pixels.len()),
            });
        }
        Ok(Self { height, width, pixels })
    }

    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.height
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.width
    }

    /// The pixels, (H, W, 3) row-major.
    #[must_use]
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

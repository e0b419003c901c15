//! JPEG by libjpeg-turbo-rs, with the settings that Pillow gives libjpeg-turbo.

use std::fmt::Display;

use libjpeg_turbo_rs::{DecodeLimits, DecodeWarning, Decoder, JpegError, PixelFormat};

use super::format::Format;
use super::{DecodeOptions, Decoded, Orientation, check_size, colour};
use crate::image::RgbImage;
use crate::{Error, Result};

/// Scans that a file may hold. Encoders write up to about 20; every further one costs a hostile file nothing and us a pass.
const MAX_SCANS: usize = 100;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let decoder = open(bytes).map_err(fault)?;
    let frame = decoder.header();
    let (height, width, inks) = (frame.height, frame.width, frame.components.len() == 4);
    check_size(Format::Jpeg, height.into(), width.into(), options)?;
    if !has_end(bytes) {
        return Err(fault("unexpected end of data"));
    }
    let orientation = Orientation::of(decoder.exif_data(), decoder.xmp_data());
    let mut pixels = decode_pixels(decoder, if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb })?;
    if inks {
        // Pillow takes every CMYK JPEG for Adobe's, which stores the inks inverted.
        for ink in &mut pixels {
            *ink = 255 - *ink;
        }
        pixels = colour::from_cmyk(&pixels);
    }
    Ok((RgbImage::new(height.into(), width.into(), pixels)?, orientation))
}

/// Reads the header.
pub(super) fn open(bytes: &[u8]) -> std::result::Result<Decoder<'_>, JpegError> {
    Decoder::new_with_limits(bytes, DecodeLimits { max_scans: MAX_SCANS, ..DecodeLimits::default() })
}

/// Strictly, which is the codec's fast path; damaged data as libjpeg does, which warns of it and goes on.
pub(super) fn decode_pixels(mut decoder: Decoder, format: PixelFormat) -> Result<Vec<u8>> {
    decoder.set_block_smoothing(true); // libjpeg's default
    decoder.set_output_format(format);
    if let Ok(image) = decoder.decode_image() {
        return Ok(image.data);
    }
    decoder.set_lenient(true);
    let image = decoder.decode_image().map_err(fault)?;
    for warning in image.warnings {
        if let DecodeWarning::UnsupportedRecovered { detail } = warning {
            return Err(fault(detail)); // pixels that are made up
        }
    }
    Ok(image.data)
}

/// Whether an end marker follows the first scan header. Pillow refuses files without one: they were cut.
fn has_end(bytes: &[u8]) -> bool {
    let mut rest = bytes.get(2..).unwrap_or_default(); // behind the start marker
    while let [first, marker, tail @ ..] = rest {
        rest = match (*first, *marker) {
            (0xFF, 0xDA) => return tail.windows(2).rev().any(|pair| pair == [0xFF, 0xD9]),
            (0xFF, 0x01 | 0xD0..=0xD8) => tail, // markers without a segment
            (0xFF, 0x02..=0xFE) => {
                let [high, low, ..] = tail else { return false };
                tail.get(usize::from(u16::from_be_bytes([*high, *low]))..).unwrap_or_default()
            }
            _ => &rest[1..], // fill bytes, or garbage between segments
        };
    }
    false
}

fn fault(reason: impl Display) -> Error {
    Format::Jpeg.fault(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_marker_of_a_thumbnail_is_not_the_end() {
        let thumbnail = [0xFF, 0xE1, 0, 6, 0xFF, 0xD9, 1, 2];
        let scan = [0xFF, 0xDA, 0, 2, 9, 9, 9];
        let cut = [&[0xFF, 0xD8][..], &thumbnail, &scan].concat();
        assert!(!has_end(&cut));
        assert!(has_end(&[&cut[..], &[0xFF, 0xD9, 7]].concat()));
    }
}

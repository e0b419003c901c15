//! JPEG by libjpeg-turbo-rs, with the settings that Pillow gives libjpeg-turbo.

use std::fmt::Display;

use libjpeg_turbo_rs::{DecodeLimits, Decoder, PixelFormat};

use super::format::Format;
use super::{DecodeOptions, Decoded, Orientation, check_size, colour};
use crate::image::RgbImage;
use crate::{Error, Result};

/// Scans that a file may hold. Encoders write up to about 20; every further one costs a hostile file nothing and us a pass.
const MAX_SCANS: usize = 100;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let limits = DecodeLimits { max_scans: MAX_SCANS, ..DecodeLimits::default() };
    let mut decoder = Decoder::new_with_limits(bytes, limits).map_err(fault)?;
    let frame = decoder.header();
    let (height, width, inks) = (frame.height, frame.width, frame.components.len() == 4);
    check_size(Format::Jpeg, height.into(), width.into(), options)?;
    let orientation = Orientation::of(decoder.exif_data(), decoder.xmp_data());
    decoder.set_block_smoothing(true); // libjpeg's default
    decoder.set_output_format(if inks { PixelFormat::Cmyk } else { PixelFormat::Rgb });
    let mut pixels = decoder.decode_image().map_err(fault)?.data;
    if inks {
        // Pillow takes every CMYK JPEG for Adobe's, which stores the inks inverted.
        pixels.iter_mut().for_each(|ink| *ink = 255 - *ink);
        pixels = colour::from_cmyk(&pixels);
    }
    Ok((RgbImage::new(height.into(), width.into(), pixels)?, orientation))
}

fn fault(reason: impl Display) -> Error {
    Format::Jpeg.fault(reason)
}

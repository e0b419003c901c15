//! WebP; of an animation the first frame.

use std::fmt::Display;
use std::io::Cursor;

use image_webp::WebPDecoder;

use super::format::Format;
use super::{DecodeOptions, Decoded, Orientation, check_size, colour};
use crate::image::RgbImage;
use crate::{Error, Result};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    let (width, height) = decoder.dimensions();
    check_size(Format::WebP, height.into(), width.into(), options)?;
    let size = decoder.output_buffer_size().ok_or("the image does not fit into memory").map_err(fault)?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(fault)?;
    let pixels = if decoder.has_alpha() { colour::from_rgba(&samples, options.background) } else { samples };
    // Metadata that cannot be read is metadata that is not there.
    let (exif, xmp) = (decoder.exif_metadata().ok().flatten(), decoder.xmp_metadata().ok().flatten());
    Ok((RgbImage::new(height, width, pixels)?, Orientation::of(exif.as_deref(), xmp.as_deref())))
}

fn fault(reason: impl Display) -> Error {
    Format::WebP.fault(reason)
}

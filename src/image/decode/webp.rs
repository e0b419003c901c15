//! WebP; of an animation the first frame.

use std::fmt::Display;
use std::io::Cursor;

use image_webp::WebPDecoder;

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, Result};

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    decoder.set_memory_limit(bytes.len()); // metadata is copied as it is, so more is a false size
    let (width, height) = decoder.dimensions();
    options.limits.memory_for(Format::WebP, height.into(), width.into())?;
    check_frames(bytes.get(12..).unwrap_or_default(), width, height)?;
    let alpha = decoder.has_alpha();
    let size = decoder.output_buffer_size().ok_or("the image does not fit into memory").map_err(fault)?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(fault)?;
    // Metadata that cannot be read is metadata that is not there.
    let (exif, xmp) = (decoder.exif_metadata().ok().flatten(), decoder.xmp_metadata().ok().flatten());
    drop(decoder); // an animation's canvas with it
    let pixels = if alpha { colour::from_rgba(&samples, options.background) } else { samples };
    Ok((RgbImage::new(height, width, pixels)?, Orientation::of(exif.as_deref(), xmp.as_deref())))
}

/// Refuses a lossy frame that is larger than its canvas: the codec would allocate it before it compares the two.
fn check_frames(chunks: &[u8], width: u32, height: u32) -> Result<()> {
    let mut rest = chunks;
    while let [a, b, c, d, s0, s1, s2, s3, chunk @ ..] = rest {
        let length = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
        let data = &chunk[..length.min(chunk.len())];
        match &[*a, *b, *c, *d] {
            b"ANMF" => check_frames(data.get(16..).unwrap_or_default(), width, height)?,
            // three bytes of tag, three of start code, then 14 bits of width and of height (RFC 6386, section 9.1)
            b"VP8 " => {
                if let Some([w0, w1, h0, h1]) = data.get(6..10) {
                    let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
                    let (frame_width, frame_height) = (side(*w0, *w1), side(*h0, *h1));
                    if frame_width > width || frame_height > height {
                        let found = format_args!(
                            "a frame of {frame_width} x {frame_height} pixels on a canvas of {width} x {height}"
                        );
                        return Err(fault(found));
                    }
                }
            }
            _ => {}
        }
        rest = chunk.get(length.next_multiple_of(2)..).unwrap_or_default(); // chunks are padded to 16 bits
    }
    Ok(())
}

fn fault(reason: impl Display) -> Error {
    Format::WebP.fault(reason)
}

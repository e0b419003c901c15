//! WebP; of an animation the first frame.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use super::colour;
use super::format::{Format, kind_of_io};
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, ErrorKind, Result};

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    let decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(|error| fault(bytes, error))?;
    let (width, height) = decoder.dimensions();
    Ok((height.into(), width.into()))
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let fault = |error| fault(bytes, error);
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(fault)?;
    decoder.set_memory_limit(bytes.len()); // metadata is copied as it is, so more is a false size
    let (width, height) = decoder.dimensions();
    options.limits.memory_for(Format::WebP, height.into(), width.into())?;
    check_frames(bytes.get(12..).unwrap_or_default(), width, height)?;
    let alpha = decoder.has_alpha();
    let size =
        decoder.output_buffer_size().ok_or_else(|| Format::WebP.too_large("the image does not fit into memory"))?;
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
                        return Err(Format::WebP.damaged(found));
                    }
                }
            }
            _ => {}
        }
        rest = chunk.get(length.next_multiple_of(2)..).unwrap_or_default(); // chunks are padded to 16 bits
    }
    Ok(())
}

/// The error of a file. The codec finds what it lacks at the end damaged, so the size that the file states is compared, too.
fn fault(bytes: &[u8], error: DecodingError) -> Error {
    let kind = match &error {
        DecodingError::UnsupportedFeature(_) => ErrorKind::UnsupportedFormat,
        DecodingError::ImageTooLarge | DecodingError::MemoryLimitExceeded => ErrorKind::TooLarge,
        DecodingError::IoError(error) => kind_of_io(error),
        _ if is_cut(bytes) => ErrorKind::Truncated,
        _ => ErrorKind::Damaged,
    };
    Format::WebP.fault(kind, error)
}

/// Whether the RIFF header states more bytes than there are.
fn is_cut(bytes: &[u8]) -> bool {
    let size = bytes.get(4..8).and_then(|size| size.try_into().ok()).map_or(0, u32::from_le_bytes);
    size as usize > bytes.len().saturating_sub(8)
}

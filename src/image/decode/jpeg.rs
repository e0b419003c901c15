//! JPEG by libjpeg-turbo, with the settings that Pillow gives it.

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::Result;
use crate::image::RgbImage;
use crate::image::libjpeg::{self, Coded, Options, Pixels};

/// Scans that a file may hold. Encoders write up to about 20; each further one costs a hostile file few bytes and us a pass.
pub(super) const MAX_SCANS: u64 = 100;

/// What EXIF and XMP data in a JPEG begin with.
const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let fault = |reason| Format::Jpeg.fault(reason);
    let header = libjpeg::header(bytes).map_err(fault)?;
    let (height, width) = (header.height, header.width);
    let memory = options.limits.memory_for(Format::Jpeg, height.into(), width.into())?;
    let pixels = if header.components == 4 { Pixels::Cmyk } else { Pixels::Rgb };
    let how = Options { coded: Coded::AsMarked, pixels, max_scans: MAX_SCANS, max_memory: memory as u64 };
    let mut samples = libjpeg::decode(bytes, header, &how).map_err(fault)?;
    if pixels == Pixels::Cmyk {
        // Pillow takes every CMYK JPEG for Adobe's, which stores the inks inverted.
        for ink in &mut samples {
            *ink = 255 - *ink;
        }
        samples = colour::from_cmyk(&samples);
    }
    let orientation = Orientation::of(metadata(bytes, EXIF), metadata(bytes, XMP));
    Ok((RgbImage::new(height, width, samples)?, orientation))
}

/// The first application segment (APP1) before the pixels that begins with `name`.
fn metadata<'a>(bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = bytes.get(2..)?; // behind the start marker
    while let [first, marker, tail @ ..] = rest {
        rest = match (*first, *marker) {
            (0xFF, 0xDA) => return None,        // a scan: the pixels begin
            (0xFF, 0x01 | 0xD0..=0xD8) => tail, // markers without a segment
            (0xFF, 0x02..=0xFE) => {
                let [high, low, ..] = tail else { return None };
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let segment = tail.get(2..length).unwrap_or_default();
                if *marker == 0xE1 && segment.starts_with(name) {
                    return Some(segment);
                }
                tail.get(length..).unwrap_or_default()
            }
            _ => &rest[1..], // fill bytes, or garbage between segments
        };
    }
    None
}

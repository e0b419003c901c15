//! JPEG by libjpeg-turbo, with the settings that Pillow gives it.

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::image::libjpeg::{self, Coded, Fault, Header, Options, Pixels, Scale};
use crate::image::resize::{Target, resized};
use crate::{Error, Result};

/// Scans that a file may hold. Encoders write up to about 20; each further one costs a hostile file few bytes and us a pass.
pub(super) const MAX_SCANS: u64 = 100;

/// How many times as long as it will be a side of a scaled image is at least: the filter of the resize still has something to average.
const MARGIN: u64 = 2;

/// What EXIF and XMP data in a JPEG begin with.
const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    let header = libjpeg::header(bytes).map_err(fault)?;
    Ok((header.height.into(), header.width.into()))
}

/// Decodes at full size, or at the smallest scale that is good enough for a resize to `target`.
pub(super) fn decode(bytes: &[u8], options: &DecodeOptions, target: Option<&Target>) -> Result<Decoded> {
    let header = libjpeg::header(bytes).map_err(fault)?;
    let (height, width) = (header.height, header.width);
    let memory = options.limits.memory_for(Format::Jpeg, height.into(), width.into())?;
    let pixels = if header.components == 4 { Pixels::Cmyk } else { Pixels::Rgb };
    let orientation = Orientation::of(metadata(bytes, EXIF), metadata(bytes, XMP));
    let turned = options.apply_exif && orientation.swaps_sides();
    let scale = target.map_or(Scale::Whole, |target| scale_for(target, header, turned));
    let (coded, max_memory) = (Coded::AsMarked, memory as u64);
    let how = Options { coded, pixels, scale, max_scans: MAX_SCANS, max_memory };
    let mut samples = libjpeg::decode(bytes, header, &how).map_err(fault)?;
    if pixels == Pixels::Cmyk {
        // Pillow takes every CMYK JPEG for Adobe's, which stores the inks inverted.
        for ink in &mut samples {
            *ink = 255 - *ink;
        }
        samples = colour::from_cmyk(&samples);
    }
    Ok((RgbImage::new(scale.of(height), scale.of(width), samples)?, orientation))
}

/// The smallest scale at which both sides are at least [`MARGIN`] times those that the resize gives them; `turned` if it will see
/// the image on its side.
fn scale_for(target: &Target, header: Header, turned: bool) -> Scale {
    let large_enough = |scale: &Scale| {
        let [height, width] = [header.height, header.width].map(|side| u64::from(scale.of(side)));
        let sides = if turned { [width, height] } else { [height, width] };
        sides.iter().zip(resized(sides, target)).all(|(side, resized)| *side >= MARGIN * resized)
    };
    [Scale::Eighth, Scale::Quarter, Scale::Half].into_iter().find(large_enough).unwrap_or(Scale::Whole)
}

fn fault(fault: Fault) -> Error {
    Format::Jpeg.fault(fault.kind(), fault)
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

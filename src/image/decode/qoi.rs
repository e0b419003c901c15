//! QOI, as <https://qoiformat.org/qoi-specification.pdf> has it.
//!
//! Our own decoder, because it is short and takes what Pillow takes: the crate `qoi` refuses a file without an end marker, and reads
//! no pixel with alpha in a file of three channels.

use std::iter;

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::Result;
use crate::image::RgbImage;

/// The most pixels that a byte stands for.
const LONGEST_RUN: usize = 62;

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    sides(bytes).map(|(height, width)| (height.into(), width.into()))
}

fn sides(bytes: &[u8]) -> Result<(u32, u32)> {
    let [_, _, _, _, w0, w1, w2, w3, h0, h1, h2, h3, ..] = *bytes else { return Err(Format::Qoi.truncated()) };
    Ok((u32::from_be_bytes([h0, h1, h2, h3]), u32::from_be_bytes([w0, w1, w2, w3])))
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let (height, width) = sides(bytes)?;
    options.limits.memory_for(Format::Qoi, height.into(), width.into())?;
    // behind the sides: the number of channels, and the colour space, which changes nothing
    let [channels, _, data @ ..] = &bytes[12..] else { return Err(Format::Qoi.truncated()) };
    let count = height as usize * width as usize;
    if data.len().saturating_mul(LONGEST_RUN) < count {
        return Err(Format::Qoi.truncated()); // before the pixels are allocated
    }
    let mut pixels = Vec::with_capacity(count);
    let mut runs = Runs { data, seen: [[0; 4]; 64], pixel: [0, 0, 0, 255] };
    while pixels.len() < count {
        let ([r, g, b, alpha], run) = runs.next().ok_or_else(|| Format::Qoi.truncated())?;
        // As Pillow: any other number of channels than 3 is 4.
        let colour = colour::without_alpha([r, g, b], if *channels == 3 { 255 } else { alpha }, options.background);
        pixels.extend(iter::repeat_n(colour, run.min(count - pixels.len())));
    }
    Ok((RgbImage::new(height, width, pixels.into_flattened())?, Orientation::UPRIGHT))
}

/// The pixels, each with the number of times that it stands there; the end of the data ends them.
struct Runs<'a> {
    data: &'a [u8],
    /// The last pixel of each hash.
    seen: [[u8; 4]; 64],
    pixel: [u8; 4],
}

impl Iterator for Runs<'_> {
    type Item = ([u8; 4], usize);

    fn next(&mut self) -> Option<Self::Item> {
        let [r, g, b, a] = self.pixel;
        let (tag, rest) = self.data.split_first()?;
        let value = usize::from(tag & 0x3F);
        (self.pixel, self.data) = match (tag, rest) {
            (0x00..=0x3F, _) => (self.seen[value], rest),
            (0x40..=0x7F, _) => {
                let moved = |old: u8, shift: u8| old.wrapping_add(tag >> shift & 3).wrapping_sub(2);
                ([moved(r, 4), moved(g, 2), moved(b, 0), a], rest)
            }
            (0x80..=0xBF, [beside, rest @ ..]) => {
                let green = (tag & 0x3F).wrapping_sub(32);
                let moved = |old: u8, by: u8| old.wrapping_add(green).wrapping_add(by).wrapping_sub(8);
                ([moved(r, beside >> 4), g.wrapping_add(green), moved(b, beside & 15), a], rest)
            }
            (0xC0..=0xFD, _) => {
                self.data = rest;
                return Some((self.pixel, value + 1));
            }
            (0xFE, [r, g, b, rest @ ..]) => ([*r, *g, *b, a], rest),
            (0xFF, [r, g, b, a, rest @ ..]) => ([*r, *g, *b, *a], rest),
            _ => return None,
        };
        let [r, g, b, a] = self.pixel.map(usize::from);
        self.seen[(r * 3 + g * 5 + b * 7 + a * 11) % 64] = self.pixel;
        Some((self.pixel, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pixels of `count` in a file of four channels with this data.
    fn decoded(count: u8, data: &[u8]) -> Option<Vec<u8>> {
        let file = [&b"qoif\0\0\0\x01\0\0\0"[..], &[count, 4, 0], data].concat();
        decode(&file, &DecodeOptions::default()).ok().map(|(image, _)| image.pixels().to_vec())
    }

    #[test]
    fn a_run_may_be_longer_than_the_image_and_needs_no_end_marker() {
        assert_eq!(decoded(2, &[0xFD]), Some(vec![0; 6]));
        assert_eq!(decoded(62, &[0xFD]), Some(vec![0; 62 * 3]));
        assert_eq!(decoded(63, &[0xFD]), None);
    }

    #[test]
    fn differences_wrap_around() {
        assert_eq!(decoded(1, &[0x40]), Some(vec![254; 3])); // 0 - 2
        assert_eq!(decoded(1, &[0x80, 0]), Some(vec![216, 224, 216])); // 0 - 32, and 8 less beside it
        assert_eq!(decoded(2, &[0xFE, 9, 8, 7, 0x7F]), Some(vec![9, 8, 7, 10, 9, 8]));
    }
}

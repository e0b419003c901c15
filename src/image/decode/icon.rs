//! ICO and CUR: the largest image of the file, which is a PNG, or a bitmap with a mask of its transparent pixels behind it.
//!
//! The directory is read here, because no crate chooses among its images as Pillow does; the images are decoded as PNG and BMP are.

use std::cmp::Reverse;

use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use super::{bmp, png};
use crate::image::RgbImage;
use crate::{Error, Result};

/// Bytes before the directory, and of each of its entries.
const HEADER: usize = 6;
const ENTRY: usize = 16;

/// What a PNG begins with, and no bitmap does: its header would have more than a gigabyte.
const PNG: &[u8] = b"\x89PNG";

/// What the directory says of the image that is decoded.
struct Entry<'a> {
    /// The file from the image on: Pillow decodes past the size that the directory states.
    image: &'a [u8],
    /// Where the image ends, in the whole file.
    end: usize,
    has_alpha: bool,
}

/// (height, width) as the header of the image states them; the directory may contradict it.
pub(super) fn size(bytes: &[u8], format: Format) -> Result<(u64, u64)> {
    let Entry { image, .. } = Entry::of(bytes, format)?;
    let size = if image.starts_with(PNG) { png::size(image) } else { bmp::icon_size(image) };
    size.map_err(|error| within(format, error))
}

pub(super) fn decode(bytes: &[u8], format: Format, options: &DecodeOptions) -> Result<Decoded> {
    let Entry { image, end, has_alpha } = Entry::of(bytes, format)?;
    let decoded = if image.starts_with(PNG) {
        png::decode(image, options).map(|(image, _)| image) // EXIF within an icon turns nothing in Pillow
    } else {
        bmp::decode_icon(image, has_alpha, options)
    };
    let mut decoded = decoded.map_err(|error| within(format, error))?;
    if !image.starts_with(PNG) && !has_alpha {
        let mask = mask(bytes, end, &decoded, format)?;
        if let Some(background) = options.background {
            decoded = lay_over(&decoded, mask, background)?;
        }
    }
    Ok((decoded, Orientation::UPRIGHT))
}

impl<'a> Entry<'a> {
    fn of(bytes: &'a [u8], format: Format) -> Result<Self> {
        let truncated = || format.truncated();
        let count: [u8; 2] = bytes.get(4..HEADER).and_then(|count| count.try_into().ok()).ok_or_else(truncated)?;
        let directory = HEADER..HEADER + usize::from(u16::from_le_bytes(count)) * ENTRY;
        let entries = bytes.get(directory).ok_or_else(truncated)?.as_chunks::<ENTRY>().0.iter();
        let chosen = if format == Format::Cur {
            entries.reduce(|largest, entry| if larger(*entry, *largest) { entry } else { largest })
        } else {
            entries.min_by_key(|entry| (Reverse(square(**entry)), colour_depth(**entry)))
        };
        let chosen = chosen.ok_or_else(|| format.damaged("the directory has no entry"))?;
        let [.., s0, s1, s2, s3, o0, o1, o2, o3] = *chosen;
        let offset = u32::from_le_bytes([o0, o1, o2, o3]) as usize;
        let end = offset + u32::from_le_bytes([s0, s1, s2, s3]) as usize;
        // Pillow uses no mask of a cursor, whose entries have the hotspot where those of icons have the depth.
        let has_alpha = format == Format::Cur || bits(*chosen) == 32;
        Ok(Self { image: bytes.get(offset..).ok_or_else(truncated)?, end, has_alpha })
    }
}

/// Pillow's order of cursors: larger in both sides, where 0 is not read as 256.
fn larger(entry: [u8; ENTRY], than: [u8; ENTRY]) -> bool {
    entry[0] > than[0] && entry[1] > than[1]
}

/// Pixels of an entry; a side of 0 is 256.
fn square(entry: [u8; ENTRY]) -> u32 {
    let side = |side: u8| if side == 0 { 256 } else { u32::from(side) };
    side(entry[0]) * side(entry[1])
}

/// Bits per pixel as an icon's entry states them, or 0.
fn bits(entry: [u8; ENTRY]) -> u16 {
    u16::from_le_bytes([entry[6], entry[7]])
}

/// By which Pillow orders images of one size: bits per pixel, else those that the number of colours needs, else 256.
fn colour_depth(entry: [u8; ENTRY]) -> u32 {
    match (bits(entry), u32::from(entry[2])) {
        (0, 0 | 1) => 256,
        (0, colours) => colours.next_power_of_two().trailing_zeros(),
        (bits, _) => bits.into(),
    }
}

/// The mask of a bitmap, whose rows of 32-bit words are the last bytes of the image. The padding of the last row may be missing.
fn mask<'a>(bytes: &'a [u8], end: usize, image: &RgbImage, format: Format) -> Result<&'a [u8]> {
    let row = mask_row(image.width());
    let length = row * image.height() as usize;
    let start = end.checked_sub(length).ok_or_else(|| format.damaged("the mask is larger than the image"))?;
    let mask = bytes.get(start..end.min(bytes.len())).unwrap_or_default();
    let padding = row - image.width().div_ceil(8) as usize;
    if mask.len() + padding < length { Err(format.truncated()) } else { Ok(mask) }
}

/// Bytes of a row of a mask.
fn mask_row(width: u32) -> usize {
    width.div_ceil(32) as usize * 4
}

/// The image with the background where its mask is 1; the mask's rows go up.
fn lay_over(image: &RgbImage, mask: &[u8], background: [u8; 3]) -> Result<RgbImage> {
    let mut pixels = image.pixels().to_vec();
    let rows = pixels.chunks_exact_mut(image.width() as usize * 3);
    for (row, mask) in rows.zip(mask.chunks(mask_row(image.width())).rev()) {
        for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
            if mask[x / 8] >> (7 - x % 8) & 1 == 1 {
                *pixel = background;
            }
        }
    }
    RgbImage::new(image.height(), image.width(), pixels)
}

/// An error of the image within, as one of the whole file.
fn within(format: Format, error: Error) -> Error {
    match error {
        Error::Decode { format: inner, kind, reason } => format.fault(kind, format_args!("{reason} (in its {inner})")),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry of these sides, number of colours and bits per pixel.
    fn entry(width: u8, height: u8, colours: u8, bits: u8) -> [u8; ENTRY] {
        let mut entry = [0; ENTRY];
        (entry[0], entry[1], entry[2], entry[6]) = (width, height, colours, bits);
        entry
    }

    #[test]
    fn a_side_of_0_is_256_and_a_depth_may_follow_from_the_colours() {
        assert_eq!(square(entry(0, 16, 0, 32)), 256 * 16);
        let depths =
            [(0, 32), (16, 4), (16, 0), (17, 0), (1, 0), (0, 0)].map(|(n, bits)| colour_depth(entry(1, 1, n, bits)));
        assert_eq!(depths, [32, 4, 4, 5, 256, 256]);
    }

    #[test]
    fn a_mask_goes_up_in_rows_of_32_bits() {
        let image = RgbImage::new(2, 9, vec![7; 2 * 9 * 3]).unwrap();
        // the last pixel of the lower row, the first of the upper one
        let over = lay_over(&image, &[0, 0x80, 0, 0, 0x80, 0, 0, 0], [1, 2, 3]).unwrap();
        let changed: Vec<usize> = (0..18).filter(|at| over.pixels()[at * 3..][..3] == [1, 2, 3]).collect();
        assert_eq!(changed, [0, 17]);
    }
}

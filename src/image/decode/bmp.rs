//! BMP: Windows and OS/2 headers, 1 to 32 bits, palettes, bit fields, RLE4 and RLE8; as a file, or within an icon.
//!
//! Our own decoder, because Pillow scales 5 and 6 bits as `v * 255 / 31` and `/ 63`, rounded down, and no crate does.

use super::colour;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, Result};

/// The file header, before the information header.
const FILE_HEADER: usize = 14;

/// Bytes of the information header of OS/2 1.x: 16-bit sides, palette entries of 3 bytes.
const CORE_HEADER: u32 = 12;

/// How the pixels are packed: the values of `biCompression`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Packing {
    Raw,
    Rle8,
    Rle4,
    BitFields,
}

/// What the headers say.
struct Header {
    height: usize,
    width: usize,
    top_down: bool,
    bits: usize,
    packing: Packing,
    /// Red, green, blue, alpha; alpha 0 if there is none.
    masks: [u32; 4],
    palette: Vec<[u8; 3]>,
    pixels_at: usize,
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let stated = number::<4>(bytes, 10)? as usize;
    let header = read_header(bytes, FILE_HEADER, stated, &read_sides(bytes, FILE_HEADER)?, options)?;
    Ok((pixels_of(bytes, &header, options)?, Orientation::UPRIGHT))
}

/// (height, width) of the bitmap of an icon or cursor: it has no file header, and states twice its height, for the mask behind it.
pub(super) fn icon_size(bytes: &[u8]) -> Result<(u64, u64)> {
    read_sides(bytes, 0).map(|sides| ((sides.height / 2).into(), sides.width.into()))
}

/// Decodes the bitmap of an icon or cursor. The fourth byte of 32-bit pixels is their alpha if `has_alpha`.
pub(super) fn decode_icon(bytes: &[u8], has_alpha: bool, options: &DecodeOptions) -> Result<RgbImage> {
    let sides = read_sides(bytes, 0)?;
    let mut header = read_header(bytes, 0, 0, &Sides { height: sides.height / 2, ..sides }, options)?;
    header.masks[3] = if has_alpha && header.bits == 32 { 0xFF00_0000 } else { 0 };
    pixels_of(bytes, &header, options)
}

fn pixels_of(bytes: &[u8], header: &Header, options: &DecodeOptions) -> Result<RgbImage> {
    let data = bytes.get(header.pixels_at..).ok_or_else(cut)?;
    let mut pixels = match header.packing {
        Packing::Rle8 | Packing::Rle4 => colour::from_palette(&run_lengths(data, header)?, &header.palette),
        Packing::Raw | Packing::BitFields => raw_pixels(data, header, options)?,
    };
    if !header.top_down {
        turn_over(&mut pixels, header.width * 3);
    }
    RgbImage::new(header.height as u32, header.width as u32, pixels)
}

/// Puts the last row first, in place.
fn turn_over(pixels: &mut [u8], row: usize) {
    let (mut top, mut bottom) = (0, pixels.len() - row);
    while top < bottom {
        let (above, below) = pixels.split_at_mut(bottom);
        above[top..top + row].swap_with_slice(&mut below[..row]);
        (top, bottom) = (top + row, bottom - row);
    }
}

/// The file ends too early.
fn cut() -> Error {
    Format::Bmp.truncated()
}

/// The little-endian number of 2 or 4 bytes at `at`.
pub(super) fn number<const N: usize>(bytes: &[u8], at: usize) -> Result<u32> {
    let field = bytes.get(at..at + N).ok_or_else(cut)?;
    Ok(field.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

/// What the first fields say.
struct Sides {
    /// Bytes of the information header.
    header: u32,
    height: u32,
    width: u32,
    top_down: bool,
}

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    read_sides(bytes, FILE_HEADER).map(|sides| (sides.height.into(), sides.width.into()))
}

/// The sides in the information header at `at`.
fn read_sides(bytes: &[u8], at: usize) -> Result<Sides> {
    let info = bytes.get(at..).ok_or_else(cut)?;
    let size = number::<4>(info, 0)?;
    let core = size == CORE_HEADER;
    if !core && !(16..=124).contains(&size) {
        return Err(Format::Bmp.damaged(format_args!("a header of {size} bytes is not supported")));
    }
    let (width, signed_height) = if core {
        (number::<2>(info, 4)?, number::<2>(info, 6)?)
    } else {
        (number::<4>(info, 4)?, number::<4>(info, 8)?)
    };
    let top_down = !core && signed_height.cast_signed() < 0;
    let height = if top_down { signed_height.cast_signed().unsigned_abs() } else { signed_height };
    Ok(Sides { header: size, height, width, top_down })
}

/// The information header at `at`, with the `sides` that it has; `stated` is where the pixels are said to begin, or 0.
fn read_header(bytes: &[u8], at: usize, stated: usize, sides: &Sides, options: &DecodeOptions) -> Result<Header> {
    let Sides { header: size, height, width, top_down } = *sides;
    options.limits.memory_for(Format::Bmp, height.into(), width.into())?;
    let info = bytes.get(at..).ok_or_else(cut)?;
    let core = size == CORE_HEADER;
    // OS/2 2.x headers may end after any field; what is cut off is 0.
    let field = |at: usize| if at + 4 <= size as usize { number::<4>(info, at) } else { Ok(0) };
    let bits = number::<2>(info, if core { 10 } else { 14 })? as usize;
    let packing = packing_of(if core { 0 } else { field(16)? }, bits)?;
    let after_header = at + size as usize;
    // A 40-byte header is followed by three masks, a longer one holds them in the same place.
    let masks = if packing == Packing::BitFields { read_masks(info, size)? } else { default_masks(bits) };
    let palette_at = if packing == Packing::BitFields && size == 40 { after_header + 12 } else { after_header };
    let (entry, colours) = if core { (3, 0) } else { (4, field(32)? as usize) };
    let colours = if bits > 8 {
        0
    } else if colours == 0 {
        1 << bits
    } else {
        colours
    };
    // As Pillow: pixels that would begin inside the palette begin after it.
    let after_palette = palette_at.saturating_add(colours.saturating_mul(entry));
    let pixels_at = if stated == 0 || (stated == after_header && bits <= 8) { after_palette } else { stated };
    let entries = bytes.get(palette_at..).unwrap_or_default().chunks_exact(entry).take(colours.min(256));
    let palette = entries.map(|entry| [entry[2], entry[1], entry[0]]).collect();
    Ok(Header { height: height as usize, width: width as usize, top_down, bits, packing, masks, palette, pixels_at })
}

fn packing_of(compression: u32, bits: usize) -> Result<Packing> {
    match (compression, bits) {
        (0, 1 | 2 | 4 | 8 | 16 | 24 | 32) => Ok(Packing::Raw),
        (1, 8) => Ok(Packing::Rle8),
        (2, 4) => Ok(Packing::Rle4),
        (3, 16 | 24 | 32) => Ok(Packing::BitFields),
        _ => Err(Format::Bmp
            .unsupported(format_args!("compression {compression} of {bits} bits per pixel is not supported"))),
    }
}

/// The masks of pixels without bit fields.
fn default_masks(bits: usize) -> [u32; 4] {
    if bits == 16 { [0x7C00, 0x3E0, 0x1F, 0] } else { [0xFF_0000, 0xFF00, 0xFF, 0] }
}

/// The masks behind a 40-byte header or within a longer one; alpha from 56 bytes on.
fn read_masks(info: &[u8], size: u32) -> Result<[u32; 4]> {
    let alpha = if size >= 56 { number::<4>(info, 52)? } else { 0 };
    let masks = [number::<4>(info, 40)?, number::<4>(info, 44)?, number::<4>(info, 48)?, alpha];
    // As Pillow: masks that are all 0 mean BGRA.
    Ok(if masks == [0; 4] { [0xFF_0000, 0xFF00, 0xFF, 0xFF00_0000] } else { masks })
}

/// The rows in the order of the file, uncompressed, as RGB.
fn raw_pixels(data: &[u8], header: &Header, options: &DecodeOptions) -> Result<Vec<u8>> {
    let row_bytes = (header.width * header.bits).div_ceil(8);
    let stride = row_bytes.next_multiple_of(4);
    if data.len() < (header.height - 1) * stride + row_bytes {
        return Err(cut()); // the last row's padding may be missing
    }
    let rows = (0..header.height).map(|row| &data[row * stride..row * stride + row_bytes]);
    if header.bits <= 8 {
        let mut indices = Vec::with_capacity(header.height * header.width);
        rows.for_each(|row| indices.extend(unpack(row, header.bits).take(header.width)));
        return Ok(colour::from_palette(&indices, &header.palette));
    }
    let channels = header.masks.map(Channel::new);
    let read = |pixel: &[u8]| {
        let packed = pixel.iter().rev().fold(0, |packed, byte| packed << 8 | u32::from(*byte));
        let [r, g, b, alpha] = channels.map(|channel| channel.of(packed));
        colour::without_alpha([r, g, b], if header.masks[3] == 0 { 255 } else { alpha }, options.background)
    };
    let mut pixels = Vec::with_capacity(header.height * header.width);
    rows.for_each(|row| pixels.extend(row.chunks_exact(header.bits / 8).map(read)));
    Ok(pixels.into_flattened())
}

/// The 1-, 2-, 4- or 8-bit values of a row, the high bits first.
fn unpack(row: &[u8], bits: usize) -> impl Iterator<Item = u8> + '_ {
    let mask = u8::MAX >> (8 - bits);
    row.iter().flat_map(move |byte| (0..8 / bits).map(move |at| byte >> (8 - bits * (at + 1)) & mask))
}

/// One colour within a packed pixel.
#[derive(Clone, Copy)]
struct Channel {
    shift: u32,
    max: u32,
}

impl Channel {
    fn new(mask: u32) -> Self {
        let shift = mask.trailing_zeros().min(31);
        Self { shift, max: mask >> shift }
    }

    /// The value scaled to 0..=255, rounded down as Pillow does; 0 of an empty mask.
    #[allow(clippy::cast_possible_truncation)] // masked to `max`, so at most 255
    fn of(self, packed: u32) -> u8 {
        (u64::from(packed >> self.shift & self.max) * 255).checked_div(u64::from(self.max)).unwrap_or(0) as u8
    }
}

/// The indices of RLE data, rows in the order of the file. What the data skips is index 0.
fn run_lengths(data: &[u8], header: &Header) -> Result<Vec<u8>> {
    let (height, width, four) = (header.height, header.width, header.packing == Packing::Rle4);
    let mut indices = vec![0; height * width];
    let (mut y, mut x) = (0, 0);
    let mut data = data;
    while y < height {
        let [count, value, rest @ ..] = data else { return Err(cut()) };
        data = rest;
        let (run, length) = match (*count, *value) {
            (0, 0) => {
                (y, x) = (y + 1, 0);
                continue;
            }
            (0, 1) => break, // end of bitmap
            (0, 2) => {
                let [right, up, rest @ ..] = data else { return Err(cut()) };
                (y, x, data) = (y + usize::from(*up), x + usize::from(*right), rest);
                continue;
            }
            (0, length) => {
                let length = usize::from(length);
                let size = if four { length.div_ceil(2) } else { length };
                let run = data.get(..size).ok_or_else(cut)?;
                data = data.get(size.next_multiple_of(2)..).unwrap_or_default(); // runs are padded to 16 bits
                (run, length)
            }
            (length, _) => (std::slice::from_ref(value), usize::from(length)),
        };
        // Whatever a run has beyond its row is dropped.
        let end = width.min(x + length);
        if x < end {
            let bits = if four { 4 } else { 8 };
            let values = (0..).flat_map(|_| unpack(run, bits));
            indices[y * width + x..y * width + end].iter_mut().zip(values).for_each(|(index, value)| *index = value);
        }
        x = end;
    }
    Ok(indices)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_any_width_are_scaled_and_rounded_down() {
        let five = Channel::new(0x7C00);
        assert_eq!((five.of(0x7C00), five.of(15 << 10), five.of(0)), (255, 123, 0));
        assert_eq!(Channel::new(0xFFFF_0000).of(0x8000_0000), 127);
        assert_eq!(Channel::new(0).of(0xFFFF_FFFF), 0);
    }

    #[test]
    fn packed_values_come_high_bits_first() {
        assert_eq!(unpack(&[0b1011_0001], 1).collect::<Vec<_>>(), [1, 0, 1, 1, 0, 0, 0, 1]);
        assert_eq!(unpack(&[0xA5], 4).collect::<Vec<_>>(), [10, 5]);
    }
}

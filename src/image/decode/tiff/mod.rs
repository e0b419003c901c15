//! TIFF and BigTIFF: the first page.

mod jpeg;
mod reader;

use tiff::decoder::{ChunkType, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, PhotometricInterpretation as Photometric, Tag};

use super::colour;
use super::directory::Directory;
use super::format::Format;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, ErrorKind, Result};
use jpeg::JpegPage;
use reader::{Patched, Reader, fault, number};

/// The tag of XMP data, of Adobe's XMP specification part 3.
const XMP: u16 = 700;

/// Values that an entry may hold: strips and tiles, above all. The codec takes 32 bytes for each, and each tile is work.
const MAX_VALUES: u64 = 1 << 18;

/// Bytes of a pixel before it becomes RGB: CMYKA of f64.
const MAX_PIXEL_BYTES: usize = 5 * 8;

/// Pixels that a tile may have in an image of fewer.
const SMALL_TILE: u64 = 1 << 20;

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    let (width, height) = open(bytes, &directory(bytes)?)?.dimensions().map_err(fault)?;
    Ok((height.into(), width.into()))
}

/// The first directory, none of whose entries the codec would allocate too much for.
fn directory(bytes: &[u8]) -> Result<Directory<'_>> {
    let directory = Directory::of(bytes).ok_or_else(|| Format::Tiff.truncated())?;
    check_counts(&directory)?;
    Ok(directory)
}

fn open<'a>(bytes: &'a [u8], directory: &Directory) -> Result<Reader<'a>> {
    Reader::new(Patched::of(bytes, directory)).map_err(fault)
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    decode_page(bytes, options).map_err(|error| match &error {
        // the codec reads no strip that is longer than the file
        Error::Decode { kind: ErrorKind::Damaged | ErrorKind::TooLarge, .. } if is_cut(bytes) => {
            Format::Tiff.truncated()
        }
        _ => error,
    })
}

/// Whether a strip or tile ends behind the file.
fn is_cut(bytes: &[u8]) -> bool {
    let ends = || {
        let (offsets, counts) = reader::chunk_ranges(&mut open(bytes, &directory(bytes)?)?)?;
        Ok::<_, Error>(offsets.into_iter().zip(counts).map(|(offset, count)| offset.saturating_add(count)).max())
    };
    ends().is_ok_and(|end| end > Some(bytes.len()))
}

fn decode_page(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let directory = directory(bytes)?;
    let is_palette = Patched::of(bytes, &directory).is_patched();
    let mut reader = open(bytes, &directory)?;
    let (width, height) = reader.dimensions().map_err(fault)?;
    let memory = options.limits.memory_for(Format::Tiff, height.into(), width.into())?;
    check_chunks(&mut reader)?;
    let orientation = orientation(&mut reader, &directory, bytes);
    let photometric = number(&mut reader, Tag::PhotometricInterpretation)?;
    let mut limits = Limits::default();
    limits.decoding_buffer_size = memory;
    limits.intermediate_buffer_size = bytes.len();
    let pixels = if is_palette {
        let palette = palette(&mut reader)?;
        let samples = Samples::read(reader.with_limits(limits))?;
        let indices: Vec<u8> = samples.values.into_iter().step_by(samples.per_pixel).collect();
        colour::from_palette(&indices, &palette)
    } else if number(&mut reader, Tag::Compression)? == Some(CompressionMethod::ModernJPEG.to_u16()) {
        JpegPage::of(&mut reader, photometric)?.read(&mut reader, bytes, memory)?
    } else {
        let extra = number(&mut reader, Tag::ExtraSamples)?;
        Samples::read(reader.with_limits(limits))?.into_rgb(photometric, extra, options)?
    };
    Ok((RgbImage::new(height, width, pixels)?, orientation))
}

/// Refuses entries that the codec would allocate too much for, before it reads any.
fn check_counts(directory: &Directory) -> Result<()> {
    // The tags of TIFF 6.0, less its texts, which are not read here.
    let texts = [269, 270, 271, 272, 285, 305, 306, 315, 316, 333, 337];
    let read = directory.entries().filter(|entry| (254..=532).contains(&entry.tag) && !texts.contains(&entry.tag));
    match read.map(|entry| (entry.count, entry.tag)).max() {
        Some((count, tag)) if count > MAX_VALUES => {
            Err(Format::Tiff.too_large(format_args!("tag {tag} has {count} values, over the limit of {MAX_VALUES}")))
        }
        _ => Ok(()),
    }
}

/// Refuses pixels and tiles that are larger than any picture needs: the codec allocates a row of them.
fn check_chunks(reader: &mut Reader) -> Result<()> {
    let (width, height) = reader.dimensions().map_err(fault)?;
    let samples = usize::from(number(reader, Tag::SamplesPerPixel)?.unwrap_or(1));
    let bits = usize::from(number(reader, Tag::BitsPerSample)?.unwrap_or(1));
    if samples * bits > MAX_PIXEL_BYTES * 8 {
        return Err(
            Format::Tiff.unsupported(format_args!("{samples} samples of {bits} bits per pixel are not supported"))
        );
    }
    let (tile_width, tile_height) = reader.chunk_dimensions();
    let tile = u64::from(tile_width) * u64::from(tile_height);
    let is_tiled = matches!(reader.get_chunk_type(), ChunkType::Tile);
    if is_tiled && tile > SMALL_TILE.max(u64::from(width) * u64::from(height)) {
        let found = format_args!("tiles of {tile_width} x {tile_height} pixels in an image of {width} x {height}");
        return Err(Format::Tiff.damaged(found));
    }
    Ok(())
}

/// Tag 0x0112, else XMP.
fn orientation(reader: &mut Reader, directory: &Directory, bytes: &[u8]) -> Orientation {
    if let Ok(Some(number)) = reader.find_tag_unsigned(Tag::Orientation) {
        return Orientation::from_number(number);
    }
    let entry = directory.entries().find(|entry| entry.tag == u64::from(XMP));
    let xmp = entry.and_then(|entry| directory.values(&entry, 1)).and_then(|values| bytes.get(values));
    Orientation::of(None, xmp)
}

/// The colour map: all reds, all greens, all blues, of 16 bits each.
fn palette(reader: &mut Reader) -> Result<Vec<[u8; 3]>> {
    let map = reader.get_tag_u16_vec(Tag::ColorMap).map_err(fault)?;
    let colours = map.len() / 3;
    let high = |at: usize| map[at].to_be_bytes()[0];
    Ok((0..colours).map(|index| [high(index), high(colours + index), high(2 * colours + index)]).collect())
}

/// The samples of a page, interleaved, of 8 bits; fewer bits are not scaled.
struct Samples {
    values: Vec<u8>,
    per_pixel: usize,
    bits: u8,
}

impl Samples {
    fn read(mut reader: Reader) -> Result<Self> {
        let (width, height) = reader.dimensions().map_err(fault)?;
        let colour = reader.colortype().map_err(fault)?;
        let (per_pixel, bits) = (usize::from(colour.num_samples()), colour.bit_depth());
        let pixels = height as usize * width as usize;
        let mut read = DecodingResult::U8(Vec::new());
        let planes = reader.read_image_to_buffer(&mut read).map_err(fault)?.planes;
        let mut values = to_bytes(read);
        if number(&mut reader, Tag::FillOrder)? == Some(2) {
            if bits > 8 || number(&mut reader, Tag::Compression)? != Some(CompressionMethod::None.to_u16()) {
                return Err(Format::Tiff.unsupported("compressed or 16-bit samples of FillOrder 2 are not supported"));
            }
            for byte in &mut values {
                *byte = byte.reverse_bits();
            }
        }
        if bits < 8 {
            let row = width as usize * per_pixel / planes;
            let mut unpacked = Vec::with_capacity(pixels * per_pixel);
            for bytes in values.chunks_exact((row * usize::from(bits)).div_ceil(8)) {
                unpacked.extend(unpack(bytes, bits).take(row));
            }
            values = unpacked;
        }
        if values.len() < pixels * per_pixel {
            return Err(Format::Tiff.truncated());
        }
        if planes > 1 {
            let mut interleaved = Vec::with_capacity(pixels * planes);
            for pixel in 0..pixels {
                interleaved.extend((0..planes).map(|plane| values[plane * pixels + pixel]));
            }
            values = interleaved;
        }
        Ok(Self { values, per_pixel, bits })
    }

    /// `extra` is the first of `ExtraSamples`: 0 unspecified, 1 associated alpha, 2 alpha; RGB with none has alpha too.
    fn into_rgb(self, photometric: Option<u16>, extra: Option<u16>, options: &DecodeOptions) -> Result<Vec<u8>> {
        let Self { mut values, per_pixel, bits } = self;
        let scale = if bits < 8 { 255 / (u8::MAX >> (8 - bits)) } else { 1 };
        let background = options.background.filter(|_| extra != Some(0));
        match (photometric.and_then(Photometric::from_u16), per_pixel) {
            (Some(Photometric::WhiteIsZero | Photometric::BlackIsZero), 2) if bits == 8 => {
                Ok(colour::from_grey_alpha(&values, background))
            }
            (Some(Photometric::WhiteIsZero | Photometric::BlackIsZero), 1) => {
                for grey in &mut values {
                    *grey *= scale;
                }
                Ok(colour::from_grey(&values))
            }
            (Some(Photometric::RGB), 3) => Ok(values),
            (Some(Photometric::RGB), 4) => {
                if extra == Some(1) {
                    colour::divide_by_alpha(&mut values);
                }
                Ok(colour::from_rgba(&values, background))
            }
            (Some(Photometric::CMYK), 4) => Ok(colour::from_cmyk(&values)),
            (Some(Photometric::YCbCr), 3) => Ok(colour::from_ycbcr(&values)),
            (photometric, _) => Err(Format::Tiff.unsupported(format_args!(
                "{per_pixel} samples per pixel of photometric interpretation {photometric:?} are not supported"
            ))),
        }
    }
}

/// The 1-, 2- or 4-bit values of a row, the high bits first.
fn unpack(row: &[u8], bits: u8) -> impl Iterator<Item = u8> + '_ {
    let mask = u8::MAX >> (8 - bits);
    row.iter().flat_map(move |byte| (0..8 / bits).map(move |at| byte >> (8 - bits * (at + 1)) & mask))
}

/// 16 bits by `>> 8`; wider numbers are cut to 0..=255, as Pillow's modes I and F are.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // cut to 0..=255 first
fn to_bytes(samples: DecodingResult) -> Vec<u8> {
    match samples {
        DecodingResult::U8(values) => values,
        DecodingResult::I8(values) => values.into_iter().map(i8::cast_unsigned).collect(),
        DecodingResult::U16(values) => values.into_iter().map(|value| value.to_be_bytes()[0]).collect(),
        DecodingResult::I16(values) => values.into_iter().map(|value| value.clamp(0, 255) as u8).collect(),
        DecodingResult::U32(values) => {
            values.into_iter().map(|value| value.cast_signed().clamp(0, 255) as u8).collect()
        }
        DecodingResult::I32(values) => values.into_iter().map(|value| value.clamp(0, 255) as u8).collect(),
        DecodingResult::U64(values) => values.into_iter().map(|value| value.min(255) as u8).collect(),
        DecodingResult::I64(values) => values.into_iter().map(|value| value.clamp(0, 255) as u8).collect(),
        DecodingResult::F16(values) => values.into_iter().map(|value| value.to_f32() as u8).collect(),
        DecodingResult::F32(values) => values.into_iter().map(|value| value as u8).collect(),
        DecodingResult::F64(values) => values.into_iter().map(|value| value as u8).collect(),
    }
}

//! TIFF and BigTIFF: the first page.

use std::fmt::Display;
use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::{CompressionMethod, PhotometricInterpretation as Photometric, Tag};

use super::format::Format;
use super::tiff_jpeg::JpegPage;
use super::{DecodeOptions, Decoded, Orientation, check_size, colour};
use crate::image::RgbImage;
use crate::{Error, Result};

pub(super) type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// The tag of XMP data, of Adobe's XMP specification part 3.
const XMP: u16 = 700;

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut reader = Reader::new(Cursor::new(bytes)).map_err(fault)?;
    let (width, height) = reader.dimensions().map_err(fault)?;
    check_size(Format::Tiff, height.into(), width.into(), options)?;
    let orientation = orientation(&mut reader);
    let photometric = number(&mut reader, Tag::PhotometricInterpretation)?;
    let pixels = if photometric == Some(Photometric::RGBPalette.to_u16()) {
        let palette = palette(&mut reader)?;
        let as_grey = as_grey(bytes, &mut reader)?;
        let samples = Samples::read(Reader::new(Cursor::new(&as_grey)).map_err(fault)?, bytes.len())?;
        let indices: Vec<u8> = samples.values.into_iter().step_by(samples.per_pixel).collect();
        colour::from_palette(&indices, &palette)
    } else if let Some(page) = JpegPage::of(&mut reader, photometric)? {
        page.read(&mut reader, bytes)?
    } else {
        let extra = number(&mut reader, Tag::ExtraSamples)?;
        Samples::read(reader, bytes.len())?.into_rgb(photometric, extra, options)?
    };
    Ok((RgbImage::new(height, width, pixels)?, orientation))
}

/// Tag 0x0112, else XMP.
fn orientation(reader: &mut Reader) -> Orientation {
    if let Ok(Some(number)) = reader.find_tag_unsigned(Tag::Orientation) {
        return Orientation::from_number(number);
    }
    let xmp = reader.find_tag(Tag::Unknown(XMP)).ok().flatten();
    Orientation::of(None, xmp.and_then(|value| value.into_u8_vec().ok()).as_deref())
}

/// The first number of a tag.
pub(super) fn number(reader: &mut Reader, tag: Tag) -> Result<Option<u16>> {
    let numbers = reader.find_tag_unsigned_vec(tag).map_err(fault)?;
    Ok(numbers.and_then(|numbers| numbers.first().copied()))
}

/// The colour map: all reds, all greens, all blues, of 16 bits each.
fn palette(reader: &mut Reader) -> Result<Vec<[u8; 3]>> {
    let map = reader.get_tag_u16_vec(Tag::ColorMap).map_err(fault)?;
    let colours = map.len() / 3;
    let high = |at: usize| map[at].to_be_bytes()[0];
    Ok((0..colours).map(|index| [high(index), high(colours + index), high(2 * colours + index)]).collect())
}

/// The file with its palette image declared grey: the codec reads the very same samples, but knows no palettes.
fn as_grey(bytes: &[u8], reader: &mut Reader) -> Result<Vec<u8>> {
    let lost = || fault("the directory cannot be read");
    let big = bytes.get(2..4).is_some_and(|version| version.contains(&43));
    let (count, entry_size, value) = if big { (8, 20, 12) } else { (2, 12, 8) };
    let start = reader.ifd_pointer().and_then(|pointer| usize::try_from(pointer.0).ok()).ok_or_else(lost)?;
    let mut bytes = bytes.to_vec();
    let entries = bytes.get_mut(start + count..).ok_or_else(lost)?.chunks_exact_mut(entry_size);
    let tag = Tag::PhotometricInterpretation.to_u16();
    let mut tagged =
        entries.into_iter().filter(|entry| entry[..2] == tag.to_le_bytes() || entry[..2] == tag.to_be_bytes());
    let entry = tagged.next().ok_or_else(lost)?;
    entry[value..].iter_mut().filter(|byte| **byte == 3).for_each(|byte| *byte = 1);
    Ok(bytes)
}

/// The samples of a page, interleaved, of 8 bits; fewer bits are not scaled.
struct Samples {
    values: Vec<u8>,
    per_pixel: usize,
    bits: u8,
}

impl Samples {
    fn read(mut reader: Reader, file_size: usize) -> Result<Self> {
        let (width, height) = reader.dimensions().map_err(fault)?;
        let colour = reader.colortype().map_err(fault)?;
        let (per_pixel, bits) = (usize::from(colour.num_samples()), colour.bit_depth());
        let pixels = height as usize * width as usize;
        let mut limits = Limits::default();
        limits.decoding_buffer_size = pixels.saturating_mul(5 * 8); // CMYKA of f64
        limits.intermediate_buffer_size = file_size;
        reader = reader.with_limits(limits);
        let mut read = DecodingResult::U8(Vec::new());
        let planes = reader.read_image_to_buffer(&mut read).map_err(fault)?.planes;
        let mut values = to_bytes(read);
        if number(&mut reader, Tag::FillOrder)? == Some(2) {
            if bits > 8 || number(&mut reader, Tag::Compression)? != Some(CompressionMethod::None.to_u16()) {
                return Err(fault("compressed or 16-bit samples of FillOrder 2 are not supported"));
            }
            for byte in &mut values {
                *byte = byte.reverse_bits();
            }
        }
        if bits < 8 {
            let row = width as usize * per_pixel / planes;
            values = values
                .chunks_exact((row * usize::from(bits)).div_ceil(8))
                .flat_map(|bytes| unpack(bytes, bits).take(row))
                .collect();
        }
        if planes > 1 {
            values = (0..pixels)
                .flat_map(|pixel| (0..planes).map(move |plane| plane * pixels + pixel))
                .map(|at| values[at])
                .collect();
        }
        if values.len() < pixels * per_pixel {
            Err(fault("unexpected end of data"))
        } else {
            Ok(Self { values, per_pixel, bits })
        }
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
            (photometric, _) => Err(fault(format_args!(
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

pub(super) fn fault(reason: impl Display) -> Error {
    Format::Tiff.fault(reason)
}

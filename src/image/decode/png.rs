//! PNG; of an APNG the default image.

use std::io::Cursor;

use png::{ColorType, Decoder, DecodingError, Info, Limits, Transformations};

use super::colour;
use super::format::{Format, kind_of_io};
use super::limits::OVERHEAD;
use super::options::DecodeOptions;
use super::orientation::{Decoded, Orientation};
use crate::image::RgbImage;
use crate::{Error, ErrorKind, Result};

/// (height, width) as the header states them.
pub(super) fn size(bytes: &[u8]) -> Result<(u64, u64)> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    decoder.read_header_info().map(|info| (info.height.into(), info.width.into())).map_err(fault)
}

pub(super) fn decode(bytes: &[u8], options: &DecodeOptions) -> Result<Decoded> {
    let mut decoder = Decoder::new(Cursor::new(bytes));
    let (height, width) = decoder.read_header_info().map(|info| (info.height, info.width)).map_err(fault)?;
    options.limits.memory_for(Format::Png, height.into(), width.into())?;
    decoder.set_limits(Limits { bytes: OVERHEAD }); // of what the codec counts: text, EXIF and other metadata
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16); // STRIP_16 is >> 8
    let mut reader = decoder.read_info().map_err(fault)?;
    let size =
        reader.output_buffer_size().ok_or_else(|| Format::Png.too_large("the image does not fit into memory"))?;
    let mut samples = vec![0; size];
    let output = reader.next_frame(&mut samples).map_err(fault)?;
    let pixels = match output.color_type {
        ColorType::Rgb => samples,
        ColorType::Rgba => colour::from_rgba(&samples, options.background),
        ColorType::GrayscaleAlpha => colour::from_grey_alpha(&samples, options.background),
        ColorType::Grayscale => colour::from_grey(&samples),
        ColorType::Indexed => return Err(Format::Png.damaged("the palette is missing")),
    };
    if options.apply_exif && reader.info().exif_metadata.is_none() {
        // eXIf may follow the pixels, which are whole: what is broken behind them does not matter.
        let _ = reader.finish();
    }
    Ok((RgbImage::new(height, width, pixels)?, orientation(reader.info())))
}

/// Bytes that compressed text may unfold to: EXIF of 64 kB in hexadecimal, and more XMP than editors write.
const TEXT_LIMIT: usize = 1 << 20;

/// From eXIf, from the hexadecimal text that ImageMagick writes, or from XMP, as Pillow looks for it.
fn orientation(info: &Info) -> Orientation {
    let raw = info.compressed_latin1_text.iter().find(|chunk| chunk.keyword == "Raw profile type exif").cloned();
    let raw = raw.and_then(|mut chunk| {
        chunk.decompress_text_with_limit(TEXT_LIMIT).ok()?;
        raw_profile(&chunk.get_text().ok()?)
    });
    let xmp = info.utf8_text.iter().find(|chunk| chunk.keyword == "XML:com.adobe.xmp").cloned();
    let xmp = xmp.and_then(|mut chunk| {
        chunk.decompress_text_with_limit(TEXT_LIMIT).ok()?;
        chunk.get_text().ok()
    });
    Orientation::of(info.exif_metadata.as_deref().or(raw.as_deref()), xmp.as_deref().map(str::as_bytes))
}

/// The bytes behind the three heading lines of a raw profile.
fn raw_profile(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.split('\n').skip(3).flat_map(str::bytes).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[allow(clippy::needless_pass_by_value)] // `map_err` hands it over
fn fault(error: DecodingError) -> Error {
    let kind = match &error {
        DecodingError::IoError(error) => kind_of_io(error),
        DecodingError::LimitsExceeded => ErrorKind::TooLarge,
        DecodingError::Format(_) | DecodingError::Parameter(_) => ErrorKind::Damaged,
    };
    Format::Png.fault(kind, plain(&error.to_string()))
}

/// The codec's words; it writes a chunk as `ChunkType { type: IDAT, critical: true, ... }`, of which the name stays.
fn plain(words: &str) -> String {
    let mut parts = words.split("ChunkType { type: ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |plain, part| {
        let (fields, behind) = part.split_once(" }").unwrap_or((part, ""));
        plain + fields.split(',').next().unwrap_or_default() + behind
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_called_by_its_name() {
        let chunk = "ChunkType { type: IDAT, critical: true, private: false, reserved: false, safecopy: false }";
        let words = format!("expected 0x1 have 0x2 while decoding {chunk} chunk.");
        assert_eq!(plain(&words), "expected 0x1 have 0x2 while decoding IDAT chunk.");
        assert_eq!(plain("unexpected end of file"), "unexpected end of file");
    }

    #[test]
    fn a_raw_profile_is_hexadecimal_after_three_lines() {
        assert_eq!(raw_profile("\nexif\n 3\n4949\n2a\n").as_deref(), Some(&b"II*"[..]));
        assert_eq!(raw_profile("\nexif\n 3\n49zz").as_deref(), None);
    }
}

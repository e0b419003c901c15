//! The pages of a TIFF whose strips or tiles are JPEGs, by the codec of JPEG files: the tiff crate's own is 3 levels off.

use libjpeg_turbo_rs::PixelFormat;
use tiff::tags::{CompressionMethod, PhotometricInterpretation as Photometric, Tag};

use super::tiff::{Reader, fault, number};
use super::{colour, jpeg};
use crate::Result;

/// How the JPEGs of one page are read.
pub(super) struct JpegPage {
    /// Adobe's APP14 segment: 0 leaves the components alone, 1 is YCbCr.
    transform: u8,
    format: PixelFormat,
}

impl JpegPage {
    /// The page, if it is of interleaved JPEGs of grey, RGB, YCbCr or CMYK.
    pub(super) fn of(reader: &mut Reader, photometric: Option<u16>) -> Result<Option<Self>> {
        let jpeg = number(reader, Tag::Compression)? == Some(CompressionMethod::ModernJPEG.to_u16());
        if !jpeg || number(reader, Tag::PlanarConfiguration)? == Some(2) {
            return Ok(None);
        }
        let samples = number(reader, Tag::SamplesPerPixel)?.unwrap_or(1);
        let (transform, format) = match (photometric.and_then(Photometric::from_u16), samples) {
            (Some(Photometric::BlackIsZero), 1) | (Some(Photometric::RGB), 3) => (0, PixelFormat::Rgb),
            (Some(Photometric::YCbCr), 3) => (1, PixelFormat::Rgb),
            (Some(Photometric::CMYK), 4) => (0, PixelFormat::Cmyk),
            _ => return Ok(None),
        };
        Ok(Some(Self { transform, format }))
    }

    /// The pixels of the page, RGB.
    pub(super) fn read(&self, reader: &mut Reader, bytes: &[u8]) -> Result<Vec<u8>> {
        let (width, height) = reader.dimensions().map_err(fault)?;
        let (width, height) = (width as usize, height as usize);
        let (chunk_width, chunk_height) = reader.chunk_dimensions();
        let (chunk_width, chunk_height) =
            (chunk_width as usize, (chunk_height as usize).min(height.next_multiple_of(16)));
        let channels = self.format.bytes_per_pixel();
        let tables = reader.find_tag(Tag::JPEGTables).map_err(fault)?.map(tiff::decoder::ifd::Value::into_u8_vec);
        let tables = tables.transpose().map_err(fault)?.unwrap_or_default();
        let mut pixels = vec![0; height * width * channels];
        let mut chunks = chunks(reader, bytes)?.into_iter();
        for top in (0..height).step_by(chunk_height.max(1)) {
            for left in (0..width).step_by(chunk_width.max(1)) {
                let chunk = chunks.next().ok_or_else(|| fault("a strip or tile is missing"))?;
                let (rows, columns) = (chunk_height.min(height - top), chunk_width.min(width - left));
                let samples = self.decode_chunk(&tables, chunk, rows, chunk_width)?;
                for (row, samples) in samples.chunks_exact(chunk_width * channels).take(rows).enumerate() {
                    let start = ((top + row) * width + left) * channels;
                    pixels[start..start + columns * channels].copy_from_slice(&samples[..columns * channels]);
                }
            }
        }
        Ok(if self.format == PixelFormat::Cmyk { colour::from_cmyk(&pixels) } else { pixels })
    }

    /// The samples of one strip or tile of `width` columns and at least `rows` rows.
    fn decode_chunk(&self, tables: &[u8], chunk: &[u8], rows: usize, width: usize) -> Result<Vec<u8>> {
        // One file of the shared tables without their end marker, and the chunk without its start marker.
        let mut file = vec![0xFF, 0xD8, 0xFF, 0xEE, 0, 14];
        file.extend(b"Adobe\0\x64\0\0\0\0");
        file.push(self.transform);
        file.extend(tables.get(2..tables.len().saturating_sub(2)).unwrap_or_default());
        file.extend(chunk.get(2..).unwrap_or_default());
        let decoder = jpeg::open(&file).map_err(fault)?;
        let (found_rows, found_width) = (usize::from(decoder.header().height), usize::from(decoder.header().width));
        // More than one row of blocks too many is no padding but a bomb.
        if found_width != width || found_rows < rows || found_rows > rows.next_multiple_of(16).max(width) {
            let found = format_args!("a JPEG of {found_width} x {found_rows} in a strip or tile of {width} x {rows}");
            return Err(fault(found));
        }
        jpeg::decode_pixels(decoder, self.format)
    }
}

/// The bytes of the strips or tiles, row by row.
fn chunks<'a>(reader: &mut Reader, bytes: &'a [u8]) -> Result<Vec<&'a [u8]>> {
    let mut numbers = |strips, tiles| {
        let found = reader.find_tag_unsigned_vec::<usize>(strips).map_err(fault)?;
        let found = if found.is_some() { found } else { reader.find_tag_unsigned_vec(tiles).map_err(fault)? };
        found.ok_or_else(|| fault("no strips and no tiles"))
    };
    let offsets = numbers(Tag::StripOffsets, Tag::TileOffsets)?;
    let counts = numbers(Tag::StripByteCounts, Tag::TileByteCounts)?;
    let chunk = |(offset, count): (usize, usize)| bytes.get(offset..offset.saturating_add(count));
    let chunks =
        offsets.into_iter().zip(counts).map(|range| chunk(range).ok_or_else(|| fault("unexpected end of data")));
    chunks.collect()
}

//! The pages of a TIFF whose strips or tiles are JPEGs, by the codec of JPEG files: the tiff crate's is up to 3 levels off.

use tiff::decoder::ChunkType;
use tiff::decoder::ifd::Value;
use tiff::tags::{PhotometricInterpretation as Photometric, Tag};

use super::reader::{Reader, chunk_ranges, fault, number};
use crate::image::decode::format::Format;
use crate::image::decode::{colour, jpeg};
use crate::image::libjpeg::{self, Coded, Fault, Options, Pixels, Scale};
use crate::{Error, Result};

/// How the JPEGs of one page are read.
pub(super) struct JpegPage {
    coded: Coded,
    pixels: Pixels,
}

impl JpegPage {
    /// The page: interleaved JPEGs of grey, RGB, YCbCr or CMYK.
    pub(super) fn of(reader: &mut Reader, photometric: Option<u16>) -> Result<Self> {
        let samples = number(reader, Tag::SamplesPerPixel)?.unwrap_or(1);
        if samples > 1 && number(reader, Tag::PlanarConfiguration)? == Some(2) {
            return Err(Format::Tiff.unsupported("JPEG data with one plane per sample is not supported"));
        }
        let (coded, pixels) = match (photometric.and_then(Photometric::from_u16), samples) {
            (Some(Photometric::BlackIsZero), 1) => (Coded::Grey, Pixels::Rgb),
            (Some(Photometric::RGB), 3) => (Coded::Rgb, Pixels::Rgb),
            (Some(Photometric::YCbCr), 3) => (Coded::YCbCr, Pixels::Rgb),
            (Some(Photometric::CMYK), 4) => (Coded::Cmyk, Pixels::Cmyk),
            (photometric, _) => {
                let found = format_args!("{samples} samples of photometric interpretation {photometric:?}");
                return Err(Format::Tiff.unsupported(format_args!("JPEG data of {found} is not supported")));
            }
        };
        Ok(Self { coded, pixels })
    }

    /// The pixels of the page, RGB. Decoding a strip or tile takes at most `memory` bytes beside them.
    pub(super) fn read(&self, reader: &mut Reader, bytes: &[u8], memory: usize) -> Result<Vec<u8>> {
        let (width, height) = reader.dimensions().map_err(fault)?;
        let (width, height) = (width as usize, height as usize);
        let (chunk_width, chunk_height) = reader.chunk_dimensions();
        // a strip may state more rows than the image has: up to all that fit a number
        let most = if matches!(reader.get_chunk_type(), ChunkType::Strip) { height } else { usize::MAX };
        let size = [(chunk_height as usize).min(most), chunk_width as usize];
        let channels = self.pixels as usize;
        let tables = reader.find_tag(Tag::JPEGTables).map_err(fault)?.map(Value::into_u8_vec);
        let tables = tables.transpose().map_err(fault)?.unwrap_or_default();
        let mut pixels = vec![0; height * width * channels];
        let mut chunks = chunks(reader, bytes, tables.len(), memory)?.into_iter();
        for top in (0..height).step_by(size[0].max(1)) {
            for left in (0..width).step_by(size[1].max(1)) {
                let chunk = chunks.next().ok_or_else(|| Format::Tiff.damaged("a strip or tile is missing"))?;
                let (rows, columns) = (size[0].min(height - top), size[1].min(width - left));
                let samples = self.decode_chunk(&tables, chunk, rows, size, memory)?;
                for (row, samples) in samples.chunks_exact(size[1] * channels).take(rows).enumerate() {
                    let start = ((top + row) * width + left) * channels;
                    pixels[start..start + columns * channels].copy_from_slice(&samples[..columns * channels]);
                }
            }
        }
        Ok(if self.pixels == Pixels::Cmyk { colour::from_cmyk(&pixels) } else { pixels })
    }

    /// The samples of one strip or tile of `size` (rows, columns), of which the image shows the first `rows` rows.
    fn decode_chunk(
        &self,
        tables: &[u8],
        chunk: &[u8],
        rows: usize,
        size: [usize; 2],
        memory: usize,
    ) -> Result<Vec<u8>> {
        let file = [tables, chunk].concat();
        let header = libjpeg::header(&file).map_err(jpeg_fault)?;
        let (found_rows, found_width) = (header.height as usize, header.width as usize);
        // The last strip may have the rows of the others, and rows may be padded to a row of blocks.
        if found_width != size[1] || found_rows < rows || found_rows > size[0].next_multiple_of(16) {
            let [height, width] = size;
            let found = format_args!("a JPEG of {found_width} x {found_rows} in a strip or tile of {width} x {height}");
            return Err(Format::Tiff.damaged(found));
        }
        let Self { coded, pixels } = *self;
        let (scale, max_memory) = (Scale::Whole, memory as u64);
        let options = Options { coded, pixels, scale, max_scans: jpeg::MAX_SCANS, max_memory };
        libjpeg::decode(&file, header, &options).map_err(jpeg_fault)
    }
}

/// The bytes of the strips or tiles, row by row. They may share bytes, and each is read with `tables` bytes of tables, but
/// not so much that a small file is much work.
fn chunks<'a>(reader: &mut Reader, bytes: &'a [u8], tables: usize, memory: usize) -> Result<Vec<&'a [u8]>> {
    let (offsets, counts) = chunk_ranges(reader)?;
    let all = counts.iter().fold(0, |all: usize, count| all.saturating_add(*count).saturating_add(tables));
    if all > bytes.len().saturating_add(memory) {
        let found = format_args!("strips or tiles of {all} bytes in a file of {} bytes", bytes.len());
        return Err(Format::Tiff.too_large(found));
    }
    let chunk = |(offset, count): (usize, usize)| bytes.get(offset..offset.saturating_add(count));
    offsets.into_iter().zip(counts).map(|range| chunk(range).ok_or_else(|| Format::Tiff.truncated())).collect()
}

fn jpeg_fault(fault: Fault) -> Error {
    Format::Tiff.fault(fault.kind(), fault)
}

//! The codec of the tiff crate over a file in memory.

use std::io::{self, Cursor, Read, Seek, SeekFrom};

use tiff::TiffError;
use tiff::decoder::Decoder;
use tiff::tags::{PhotometricInterpretation as Photometric, Tag};

use crate::error::{Error, ErrorKind, Result};
use crate::image::decode::directory::Directory;
use crate::image::decode::format::{Format, kind_of_io};

/// The codec, over a file in memory.
pub(super) type Reader<'a> = Decoder<Patched<'a>>;

/// A file in memory of which one byte reads as 1. The codec has no palettes: it reads their indices as grey.
pub(super) struct Patched<'a> {
    file: Cursor<&'a [u8]>,
    patch: Option<u64>,
}

impl<'a> Patched<'a> {
    /// The file with a palette declared grey, if it has one.
    pub(super) fn of(bytes: &'a [u8], directory: &Directory) -> Self {
        let tag = u64::from(Tag::PhotometricInterpretation.to_u16());
        let mut fields = directory.entries().filter(|entry| entry.tag == tag).map(|entry| entry.field);
        let palette = u8::try_from(Photometric::RGBPalette.to_u16()).ok();
        let patch = fields.find_map(|mut field| field.find(|at| bytes.get(*at).copied() == palette));
        Self { file: Cursor::new(bytes), patch: patch.map(|at| at as u64) }
    }

    /// Whether the file has a palette.
    pub(super) fn is_patched(&self) -> bool {
        self.patch.is_some()
    }
}

impl Read for Patched<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let start = self.file.position();
        let length = self.file.read(to)?;
        let offset = self.patch.and_then(|at| at.checked_sub(start)).and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = offset.filter(|at| *at < length).and_then(|at| to.get_mut(at)) {
            *byte = 1; // the number of BlackIsZero
        }
        Ok(length)
    }
}

impl Seek for Patched<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

/// The first number of a tag.
pub(super) fn number(reader: &mut Reader, tag: Tag) -> Result<Option<u16>> {
    let numbers = reader.find_tag_unsigned_vec(tag).map_err(fault)?;
    Ok(numbers.and_then(|numbers| numbers.first().copied()))
}

/// Where the strips or tiles begin, and their lengths.
pub(super) fn chunk_ranges(reader: &mut Reader) -> Result<(Vec<usize>, Vec<usize>)> {
    let mut numbers = |strips, tiles| {
        let found = reader.find_tag_unsigned_vec(strips).map_err(fault)?;
        let found = if found.is_some() { found } else { reader.find_tag_unsigned_vec(tiles).map_err(fault)? };
        found.ok_or_else(|| Format::Tiff.damaged("no strips and no tiles"))
    };
    Ok((numbers(Tag::StripOffsets, Tag::TileOffsets)?, numbers(Tag::StripByteCounts, Tag::TileByteCounts)?))
}

pub(super) fn fault(error: TiffError) -> Error {
    let kind = match &error {
        TiffError::IoError(error) => kind_of_io(error),
        TiffError::UnsupportedError(_) => ErrorKind::UnsupportedFormat,
        TiffError::LimitsExceeded | TiffError::IntSizeError => ErrorKind::TooLarge,
        TiffError::FormatError(_) | TiffError::UsageError(_) => ErrorKind::Damaged,
    };
    Format::Tiff.fault(kind, error)
}

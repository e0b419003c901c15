//! The first directory of a TIFF structure: TIFF and BigTIFF files begin with one, and so does EXIF data.

use std::ops::Range;

/// A directory of entries that are in `bytes`.
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    big_endian: bool,
    big_tiff: bool,
    /// Where the first entry begins.
    start: usize,
    /// The number of entries that the directory states.
    count: usize,
}

/// One entry: `count` values of the type `kind`.
pub(super) struct Entry {
    pub(super) tag: u64,
    pub(super) kind: u64,
    pub(super) count: u64,
    /// The field that holds the values, or their offset where they are too long for it.
    pub(super) field: Range<usize>,
}

impl<'a> Directory<'a> {
    /// The directory that the header points to; `None` without a header.
    pub(super) fn of(bytes: &'a [u8]) -> Option<Self> {
        let big_endian = match bytes.get(..2)? {
            b"II" => false,
            b"MM" => true,
            _ => return None,
        };
        let mut directory = Self { bytes, big_endian, big_tiff: false, start: 0, count: 0 };
        directory.big_tiff = directory.number(2..4)? == 43;
        let (offset, size) = if directory.big_tiff { (8..16, 8) } else { (4..8, 2) };
        let at = usize::try_from(directory.number(offset)?).ok()?;
        directory.start = at.checked_add(size)?;
        directory.count = usize::try_from(directory.number(at..directory.start)?).unwrap_or(usize::MAX);
        Some(directory)
    }

    /// The entries that are in the file whole.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let (size, field) = if self.big_tiff { (20, 12..20) } else { (12, 8..12) };
        let starts = (0..self.count).map_while(move |entry| self.start.checked_add(entry.checked_mul(size)?));
        starts.map_while(move |start| {
            self.bytes.get(start..start.checked_add(size)?)?;
            Some(Entry {
                tag: self.number(start..start + 2)?,
                kind: self.number(start + 2..start + 4)?,
                count: self.number(start + 4..start + field.start)?,
                field: start + field.start..start + field.end,
            })
        })
    }

    /// The bytes of an entry's values, of `size` bytes each, in the field or where it points.
    pub(super) fn values(&self, entry: &Entry, size: usize) -> Option<Range<usize>> {
        let length = usize::try_from(entry.count).ok()?.checked_mul(size)?;
        let inline = length <= entry.field.len();
        let at = if inline { entry.field.start } else { usize::try_from(self.number(entry.field.clone())?).ok()? };
        let values = at..at.checked_add(length)?;
        self.bytes.get(values.clone()).map(|_| values)
    }

    /// The whole number in `range`, in the byte order of the file.
    pub(super) fn number(&self, range: Range<usize>) -> Option<u64> {
        let bytes = self.bytes.get(range)?.iter();
        let join = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
        Some(if self.big_endian { bytes.fold(0, join) } else { bytes.rev().fold(0, join) })
    }
}

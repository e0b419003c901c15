//! Which way up: the orientation of EXIF or XMP, and the turn.
//!
//! As tolerant as Pillow: what cannot be read is upright. The eight orientations and tag 0x0112 are of the EXIF 2.3 standard.

use super::directory::Directory;
use crate::Result;
use crate::image::RgbImage;

/// An EXIF orientation, 1 (upright) to 8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Orientation(u8);

/// What a codec gives: the pixels as stored, and how to turn them.
pub(super) type Decoded = (RgbImage, Orientation);

/// Pixels per block side of the turn, so that reads across rows stay in cache.
const BLOCK: usize = 64;

impl Orientation {
    /// As stored.
    pub(super) const UPRIGHT: Self = Self(1);

    /// An orientation by its number; anything out of 1 to 8 is upright.
    pub(super) fn from_number(number: u64) -> Self {
        u8::try_from(number).ok().filter(|number| (1..=8).contains(number)).map_or(Self::UPRIGHT, Self)
    }

    /// The orientation in EXIF data, else in XMP data, else upright: the order in which Pillow looks.
    pub(super) fn of(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Self {
        let number = exif.and_then(exif_number).or_else(|| xmp.and_then(xmp_number));
        number.map_or(Self::UPRIGHT, Self::from_number)
    }

    /// Whether the image is on its side.
    pub(super) fn swaps_sides(self) -> bool {
        self.0 >= 5
    }

    /// Turns the image upright, as `ImageOps.exif_transpose` does.
    pub(super) fn apply(self, image: RgbImage) -> Result<RgbImage> {
        let (height, width) = (image.height() as usize, image.width() as usize);
        let (w, last_row, last) = (width.cast_signed(), (height - 1) * width, height * width - 1);
        // The pixel (y, x) of the result is the stored pixel `origin + y * per_row + x * per_column`.
        let (origin, per_row, per_column) = match self.0 {
            2 => (width - 1, w, -1),
            3 => (last, -w, -1),
            4 => (last_row, -w, 1),
            5 => (0, 1, w),
            6 => (last_row, 1, -w),
            7 => (last, -1, -w),
            8 => (width - 1, -1, w),
            _ => return Ok(image),
        };
        let turned = self.swaps_sides();
        let (rows, columns) = if turned { (width, height) } else { (height, width) };
        let stored = image.pixels().as_chunks::<3>().0;
        let mut upright = vec![[0; 3]; rows * columns];
        for y0 in (0..rows).step_by(BLOCK) {
            for x0 in (0..columns).step_by(BLOCK) {
                let x1 = columns.min(x0 + BLOCK);
                for y in y0..rows.min(y0 + BLOCK) {
                    let mut from = origin.cast_signed() + y.cast_signed() * per_row + x0.cast_signed() * per_column;
                    for pixel in &mut upright[y * columns + x0..y * columns + x1] {
                        *pixel = stored[from.cast_unsigned()];
                        from += per_column;
                    }
                }
            }
        }
        let (height, width) = if turned { (image.width(), image.height()) } else { (image.height(), image.width()) };
        RgbImage::new(height, width, upright.into_flattened())
    }
}

/// The number of tag 0x0112 in the first directory of EXIF data; the last entry wins, as in Pillow.
fn exif_number(exif: &[u8]) -> Option<u64> {
    let mut exif = exif;
    while let Some(rest) = exif.strip_prefix(b"Exif\0\0") {
        exif = rest;
    }
    let directory = Directory::of(exif)?;
    let tag = directory.entries().filter(|entry| entry.tag == 0x0112 && entry.count > 0);
    tag.filter_map(|entry| {
        let size = match entry.kind {
            3 | 8 => 2, // SHORT, SSHORT
            4 | 9 => 4, // LONG, SLONG
            _ => return None,
        };
        let first = directory.values(&entry, size)?.start;
        directory.number(first..first + size)
    })
    .last()
}

/// The number after `tiff:Orientation="` or `tiff:Orientation>`.
fn xmp_number(xmp: &[u8]) -> Option<u64> {
    const NAME: &[u8] = b"tiff:Orientation";
    let digit = |at: usize| match xmp.get(at + NAME.len()..)? {
        [b'=', b'"', digit @ b'0'..=b'9', ..] | [b'>', digit @ b'0'..=b'9', ..] => Some(u64::from(digit - b'0')),
        _ => None,
    };
    xmp.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME).find_map(|(at, _)| digit(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory of one entry: orientation `value` of TIFF type `kind`.
    fn exif(kind: u8, value: u8) -> Vec<u8> {
        let mut bytes = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01".to_vec();
        bytes.extend([kind, 0, 1, 0, 0, 0, value, 0, 0, 0]);
        bytes
    }

    #[test]
    fn exif_is_read_before_xmp_and_damage_means_upright() {
        let xmp = br#"<x tiff:Orientation="8">"#;
        assert_eq!(Orientation::of(Some(&exif(3, 6)), Some(xmp)), Orientation(6));
        assert_eq!(Orientation::of(Some(b"II*"), Some(xmp)), Orientation(8));
        assert_eq!(Orientation::of(None, Some(b"<tiff:Orientation>3</tiff:Orientation>")), Orientation(3));
        assert_eq!(Orientation::of(Some(&exif(2, 6)), None), Orientation::UPRIGHT);
        assert_eq!(Orientation::of(Some(&exif(3, 9)), None), Orientation::UPRIGHT);
        for length in 0..exif(3, 6).len() {
            assert_eq!(Orientation::of(Some(&exif(3, 6)[..length]), None), Orientation::UPRIGHT, "cut at {length}");
        }
    }

    #[test]
    fn every_turn_moves_the_corners_where_exif_says() {
        // Stored rows: 1 2 3 / 4 5 6
        let stored = RgbImage::new(2, 3, (1..=6).flat_map(|grey| [grey; 3]).collect()).unwrap();
        for (number, rows) in [
            (1, vec![[1, 2, 3].to_vec(), [4, 5, 6].to_vec()]),
            (2, vec![[3, 2, 1].to_vec(), [6, 5, 4].to_vec()]),
            (3, vec![[6, 5, 4].to_vec(), [3, 2, 1].to_vec()]),
            (4, vec![[4, 5, 6].to_vec(), [1, 2, 3].to_vec()]),
            (5, vec![[1, 4].to_vec(), [2, 5].to_vec(), [3, 6].to_vec()]),
            (6, vec![[4, 1].to_vec(), [5, 2].to_vec(), [6, 3].to_vec()]),
            (7, vec![[6, 3].to_vec(), [5, 2].to_vec(), [4, 1].to_vec()]),
            (8, vec![[3, 6].to_vec(), [2, 5].to_vec(), [1, 4].to_vec()]),
        ] {
            let upright = Orientation(number).apply(stored.clone()).unwrap();
            assert_eq!(upright.height() as usize, rows.len(), "orientation {number}");
            let greys: Vec<u8> = upright.pixels().chunks(3).map(|pixel| pixel[0]).collect();
            assert_eq!(greys, rows.concat(), "orientation {number}");
        }
    }
}

//! A thumbnail and a fingerprint of an image, made in the pass that decodes it.

use std::f64::consts::PI;

use super::resize::{Filter, ResizeOptions, Resizer};
use super::{RgbImage, encode_jpeg};
use crate::Result;

/// Longer side of a thumbnail in pixels.
pub const THUMBNAIL_SIDE: u32 = 48;

/// JPEG quality of a thumbnail: about 1.2 kB, of which half is the header.
const THUMBNAIL_QUALITY: u8 = 75;

/// Longer side of what both are made of: a large image is read once, and this in place of it.
const REDUCED_SIDE: u32 = 128;

/// Side of the grey image that a fingerprint is made of.
const GREY_SIDE: u32 = 32;

/// Frequencies of a fingerprint in each direction.
const FREQUENCIES: usize = 16;

/// Below this a coefficient is 0: rounding would decide its sign otherwise. Coefficients of images are above 1.
const NO_COEFFICIENT: f64 = 1e-6;

/// 256 bits that stay nearly the same when an image is re-encoded or resized.
///
/// Bit `16 v + u` is the sign of the coefficient of a two-dimensional DCT-II of the 32 x 32 grey image (luma of ITU-R BT.601), with
/// u the horizontal and v the vertical frequency: 1 if it is positive. Bit 0, the mean, is 0. Bits go from the lowest of the first
/// byte upwards. A mirrored image has the other sign in each coefficient of odd u.
pub type Fingerprint = [u8; FREQUENCIES * FREQUENCIES / 8];

/// Makes thumbnails and fingerprints; keeps the weights of its resizes for the next image of the same size.
#[derive(Debug)]
pub struct Previewer {
    reducing: Resizer,
    shrinking: Resizer,
    squashing: Resizer,
    cosines: Vec<[f64; GREY_SIDE as usize]>,
}

impl Default for Previewer {
    fn default() -> Self {
        let cosine = |u: usize, x: usize| (PI * u as f64 * (x as f64 + 0.5) / f64::from(GREY_SIDE)).cos();
        Self {
            reducing: Resizer::default(),
            shrinking: Resizer::default(),
            squashing: Resizer::default(),
            cosines: (0..FREQUENCIES).map(|u| std::array::from_fn(|x| cosine(u, x))).collect(),
        }
    }
}

impl Previewer {
    /// `image` within 128 x 128 pixels, which the others are made of.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) if a side is over [`MAX_SIDE`](super::MAX_SIDE).
    pub fn reduce(&mut self, image: &RgbImage) -> Result<RgbImage> {
        within(REDUCED_SIDE, image, &mut self.reducing)
    }

    /// A JPEG file of a reduced image, its longer side 48 pixels or as it is.
    ///
    /// # Errors
    /// None that a reduced image could cause.
    pub fn thumbnail(&mut self, reduced: &RgbImage) -> Result<Vec<u8>> {
        let small = within(THUMBNAIL_SIDE, reduced, &mut self.shrinking)?;
        encode_jpeg(small.pixels(), small.height() as usize, small.width() as usize, THUMBNAIL_QUALITY)
    }

    /// The fingerprint of a reduced image.
    ///
    /// # Errors
    /// None that a reduced image could cause.
    ///
    /// ```
    /// use sparkcider::image::{Previewer, RgbImage};
    ///
    /// let dark_to_light: Vec<u8> = (0..64u8).flat_map(|x| [4 * x; 3]).collect();
    /// let fingerprint = Previewer::default().fingerprint(&RgbImage::new(1, 64, dark_to_light)?)?;
    /// assert_eq!(fingerprint[0] & 0b11, 0); // the mean is left out, and the lowest frequency is negative
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn fingerprint(&mut self, reduced: &RgbImage) -> Result<Fingerprint> {
        let target = ResizeOptions { filter: Filter::Bilinear, ..ResizeOptions::new(GREY_SIDE, GREY_SIDE) }.check()?;
        let squashed = self.squashing.fit(reduced, &target)?;
        let grey: Vec<f64> = squashed.pixels().chunks_exact(3).map(luma).collect();
        let rows: Vec<[f64; FREQUENCIES]> = grey
            .chunks_exact(GREY_SIDE as usize)
            .map(|row| std::array::from_fn(|u| row.iter().zip(&self.cosines[u]).map(|(a, b)| a * b).sum()))
            .collect();
        let mut bits = Fingerprint::default();
        for v in 0..FREQUENCIES {
            for u in 0..FREQUENCIES {
                let coefficient: f64 = rows.iter().zip(&self.cosines[v]).map(|(row, cosine)| row[u] * cosine).sum();
                let bit = FREQUENCIES * v + u;
                if bit > 0 && coefficient > NO_COEFFICIENT {
                    bits[bit / 8] |= 1 << (bit % 8);
                }
            }
        }
        Ok(bits)
    }
}

/// `image` with its longer side at most `side`, its ratio kept.
fn within(side: u32, image: &RgbImage, resizer: &mut Resizer) -> Result<RgbImage> {
    let longer = image.height().max(image.width());
    if longer <= side {
        return Ok(image.clone());
    }
    let scaled = |other: u32| ((u64::from(other) * u64::from(side) / u64::from(longer)) as u32).max(1);
    let sides = ResizeOptions::new(scaled(image.height()), scaled(image.width()));
    resizer.fit(image, &ResizeOptions { filter: Filter::Bilinear, ..sides }.check()?)
}

/// Luma of ITU-R BT.601, in levels.
fn luma(pixel: &[u8]) -> f64 {
    0.299 * f64::from(pixel[0]) + 0.587 * f64::from(pixel[1]) + 0.114 * f64::from(pixel[2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::decode::{DecodeOptions, decode};

    /// An image with something in every frequency: discs of several sizes at scattered places.
    fn scene(height: u32, width: u32) -> RgbImage {
        let scattered = |n: u32, step: f64| (f64::from(n) * step).fract();
        let level = |y: u32, x: u32, c: u32| {
            let (y, x) = (f64::from(y) / f64::from(height), f64::from(x) / f64::from(width));
            let inside = |n: &u32| {
                let (dy, dx) = (y - scattered(*n, 0.618_034), x - scattered(*n, 0.414_214));
                dy.hypot(dx) < 0.05 + 0.2 * scattered(*n, 0.732_051)
            };
            (40 * (1 + c)).wrapping_add((1..40).filter(inside).map(|n| 37 * n).sum::<u32>()) as u8
        };
        let pixels = (0..height).flat_map(|y| (0..width).flat_map(move |x| [0, 1, 2].map(|c| level(y, x, c))));
        RgbImage::new(height, width, pixels.collect()).unwrap()
    }

    fn fingerprint(image: &RgbImage) -> Fingerprint {
        let mut previewer = Previewer::default();
        let reduced = previewer.reduce(image).unwrap();
        previewer.fingerprint(&reduced).unwrap()
    }

    fn distance(a: &Fingerprint, b: &Fingerprint) -> u32 {
        a.iter().zip(b).map(|(a, b)| (a ^ b).count_ones()).sum()
    }

    #[test]
    fn an_image_of_another_size_or_quality_has_nearly_the_same_fingerprint() {
        let image = scene(300, 400);
        let jpeg = encode_jpeg(image.pixels(), 300, 400, 40).unwrap();
        let again = decode(&jpeg, &DecodeOptions::default()).unwrap();
        assert!(distance(&fingerprint(&image), &fingerprint(&again)) <= 12);
        assert!(distance(&fingerprint(&image), &fingerprint(&scene(150, 200))) <= 12);
        let transposed = scene(400, 300);
        assert!(
            distance(&fingerprint(&image), &fingerprint(&transposed)) <= 12,
            "the ratio of the sides does not matter"
        );
    }

    #[test]
    fn a_mirrored_image_has_the_other_signs_in_odd_columns() {
        let image = scene(120, 120);
        let mirrored =
            image.pixels().chunks_exact(120 * 3).flat_map(|row| row.chunks_exact(3).rev().flatten().copied());
        let mirrored = RgbImage::new(120, 120, mirrored.collect()).unwrap();
        let odd: Fingerprint = [0b1010_1010; 32];
        let expected: Fingerprint = std::array::from_fn(|at| fingerprint(&image)[at] ^ odd[at]);
        assert!(distance(&expected, &fingerprint(&mirrored)) <= 4);
    }

    #[test]
    fn a_flat_image_has_no_bits() {
        let flat = RgbImage::new(50, 70, vec![90; 50 * 70 * 3]).unwrap();
        assert_eq!(fingerprint(&flat), Fingerprint::default());
    }

    #[test]
    fn thumbnails_keep_the_ratio_and_small_images_their_size() {
        let mut previewer = Previewer::default();
        let mut size = |height, width| {
            let reduced = previewer.reduce(&scene(height, width)).unwrap();
            let thumbnail = decode(&previewer.thumbnail(&reduced).unwrap(), &DecodeOptions::default()).unwrap();
            (thumbnail.height(), thumbnail.width())
        };
        assert_eq!(size(300, 400), (36, 48));
        assert_eq!(size(20, 30), (20, 30));
        assert_eq!(size(1, 4000), (1, 48));
    }
}

//! [`RgbImage`] to another height and width, bit for bit as Pillow 9.5 to 12.1 resizes.
//!
//! A horizontal pass, then a vertical one, u8 between them; each output level is a sum of input levels times weights
//! of 22 bits behind the point in i32, rounded once. Pillow 13 chooses the order of the passes by size and so differs;
//! `docs/numerics.md` has the definitions. `fast_image_resize` 6.1 gives these bits in no filter (its weights have 16 bits,
//! and its nearest multiplies where Pillow adds), so the passes are our own.

mod filter;
mod floats;
mod lanes;
mod options;
mod passes;
mod placement;
mod taps;

use std::ops::Range;

pub use filter::Filter;
#[cfg(feature = "python")]
pub(crate) use options::no_sides_of;
pub use options::{
    CROP_RATIO, MAX_TARGET_SIDE, MIN_CROP_RATIO, ResizeDtype, ResizeMode, ResizeOptions, Rounding, Target,
};
pub(crate) use options::{check_crop_ratio, check_sides, no_crop_ratio, no_sides, parse_sides};
use passes::{Column, RGB};
use placement::Placement;
use taps::{Axis, Taps};

use super::{MAX_SIDE, RgbImage};
use crate::{Error, Result};

/// Rows of the first pass kept beyond those that one output row needs.
const ROWS_AHEAD: usize = 16;

/// (height, width) to which a whole image of `input`, (height, width), is resized for `target`: more than the target where it is
/// cut, less where it has bars.
pub(super) fn resized(input: [u64; 2], target: &Target) -> [u64; 2] {
    Placement::new(target, input).scaled
}

/// Resizes images; keeps its weights for the next image of the same size, and its scratch memory.
#[derive(Debug, Default)]
pub struct Resizer {
    horizontal: Option<(Axis, Taps)>,
    vertical: Option<(Axis, Taps)>,
    columns: Vec<Column>,
    rows: Vec<u8>,
}

impl Resizer {
    /// Fits `image` to `target`.
    ///
    /// # Shapes
    /// (H, W, 3) u8 to (height, width, 3) u8 of the target.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side of the image is over [`MAX_SIDE`].
    ///
    /// ```
    /// use sparkcider::image::RgbImage;
    /// use sparkcider::image::resize::{ResizeMode, ResizeOptions, Resizer};
    ///
    /// let white = RgbImage::new(2, 4, vec![255; 24])?;
    /// let target = ResizeOptions { mode: ResizeMode::Letterbox, ..ResizeOptions::new(4, 4) }.check()?;
    /// let fitted = Resizer::default().fit(&white, &target)?;
    /// assert_eq!(fitted.pixels()[..3], [0; 3]); // a black bar above the image
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn fit(&mut self, image: &RgbImage, target: &Target) -> Result<RgbImage> {
        check_image(image)?;
        let (placement, [vertical, horizontal]) = placed(image, target);
        let pixels = self.scale(image.pixels(), horizontal, vertical);
        RgbImage::new(target.height(), target.width(), framed(pixels, &placement, target))
    }

    /// Fits `image` to `target` in float32: nothing is rounded to levels, so bicubic can leave 0..=255.
    ///
    /// # Shapes
    /// (H, W, 3) u8 to (height, width, 3) f32 of the target, in levels.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side of the image is over [`MAX_SIDE`].
    ///
    /// ```
    /// use sparkcider::image::RgbImage;
    /// use sparkcider::image::resize::{Filter, ResizeDtype, ResizeOptions, Resizer};
    ///
    /// let image = RgbImage::new(1, 2, vec![0, 0, 0, 1, 1, 1])?;
    /// let options = ResizeOptions { filter: Filter::Bilinear, dtype: ResizeDtype::Float32, ..ResizeOptions::new(1, 1) };
    /// assert_eq!(Resizer::fit_floats(&image, &options.check()?)?, [0.5; 3]);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn fit_floats(image: &RgbImage, target: &Target) -> Result<Vec<f32>> {
        check_image(image)?;
        let (placement, [vertical, horizontal]) = placed(image, target);
        Ok(framed(floats::scale(image.pixels(), &horizontal, &vertical), &placement, target))
    }

    fn scale(&mut self, pixels: &[u8], horizontal: Axis, vertical: Axis) -> Vec<u8> {
        if horizontal.is_identity() && vertical.is_identity() {
            return pixels.to_vec();
        }
        if horizontal.filter == Filter::Nearest {
            return nearest(pixels, &horizontal, &vertical);
        }
        let width = horizontal.input;
        let vertical_taps = (!vertical.is_identity()).then(|| remembered(&mut self.vertical, vertical));
        let horizontal_taps = (!horizontal.is_identity()).then(|| remembered(&mut self.horizontal, horizontal));
        let columns = &mut self.columns;
        match (horizontal_taps, vertical_taps) {
            (None, None) => pixels.to_vec(),
            (Some(taps), None) => {
                let mut out = vec![0; pixels.len() / width * taps.len()];
                passes::horizontal(pixels, width, taps, columns, &mut out);
                out
            }
            (None, Some(taps)) => {
                let mut out = vec![0; taps.len() * width * RGB];
                for (row, (start, weights)) in out.chunks_exact_mut(width * RGB).zip(taps.iter()) {
                    passes::vertical(&pixels[start * width * RGB..], weights, row);
                }
                out
            }
            (Some(horizontal), Some(vertical)) => both(pixels, width, horizontal, vertical, columns, &mut self.rows),
        }
    }
}

/// Both passes, the first one just ahead of the second: between them is no more than one output row is made of.
fn both(
    pixels: &[u8],
    width: usize,
    horizontal: &Taps,
    vertical: &Taps,
    columns: &mut Vec<Column>,
    rows: &mut Vec<u8>,
) -> Vec<u8> {
    let (row_in, row_out) = (width * RGB, horizontal.len() * RGB);
    let height = pixels.len() / row_in;
    rows.resize((2 * vertical.count + ROWS_AHEAD) * row_out, 0);
    let mut kept: Range<usize> = 0..0;
    let mut out = vec![0; vertical.len() * row_out];
    for (out, (start, weights)) in out.chunks_exact_mut(row_out).zip(vertical.iter()) {
        if kept.end < start + vertical.count {
            let first = start.max(kept.start);
            if first < kept.end {
                rows.copy_within((first - kept.start) * row_out..kept.len() * row_out, 0);
            }
            kept = first..kept.end.max(first);
            let end = (kept.start + rows.len() / row_out).min(height);
            let place = &mut rows[kept.len() * row_out..][..(end - kept.end) * row_out];
            passes::horizontal(&pixels[kept.end * row_in..end * row_in], width, horizontal, columns, place);
            kept.end = end;
        }
        passes::vertical(&rows[(start - kept.start) * row_out..], weights, out);
    }
    out
}

/// The weights of `axis`, computed only if it is another one than the last.
fn remembered(last: &mut Option<(Axis, Taps)>, axis: Axis) -> &Taps {
    let fresh = last.take().filter(|(known, _)| *known == axis);
    let (_, taps) = last.insert(fresh.unwrap_or_else(|| {
        let taps = Taps::new(&axis);
        (axis, taps)
    }));
    taps
}

fn nearest(pixels: &[u8], horizontal: &Axis, vertical: &Axis) -> Vec<u8> {
    let columns = horizontal.nearest();
    let rows = vertical.nearest();
    let mut out = Vec::with_capacity(rows.len() * columns.len() * RGB);
    for row in rows {
        let row = &pixels[row * horizontal.input * RGB..][..horizontal.input * RGB];
        for column in &columns {
            out.extend_from_slice(&row[column * RGB..][..RGB]);
        }
    }
    out
}

/// Where the pixels of `image` go, and the axes of the resize: (vertical, horizontal).
fn placed(image: &RgbImage, target: &Target) -> (Placement, [Axis; 2]) {
    let input = [image.height(), image.width()].map(u64::from);
    let placement = Placement::new(target, input);
    let axes = [0, 1].map(|axis| Axis {
        input: input[axis] as usize,
        scaled: placement.scaled[axis],
        window: placement.window[axis].clone(),
        filter: target.filter(),
    });
    (placement, axes)
}

/// The pixels of the placement's window on a canvas of the target's size and background; as they are if they fill it.
fn framed<T: Copy + From<u8>>(pixels: Vec<T>, placement: &Placement, target: &Target) -> Vec<T> {
    let Placement { window, offset, .. } = placement;
    let [rows, width] = window.clone().map(|range| range.end - range.start);
    if [rows, width] == target.sides() {
        return pixels;
    }
    let [height, out_width] = target.sides().map(|side| side as usize);
    let [above, before, width] = [offset[0], offset[1], width].map(|side| side as usize);
    let mut canvas = target.background().map(T::from).repeat(height * out_width);
    for (row, pixels) in canvas.chunks_exact_mut(out_width * RGB).skip(above).zip(pixels.chunks_exact(width * RGB)) {
        row[before * RGB..][..width * RGB].copy_from_slice(pixels);
    }
    canvas
}

fn check_image(image: &RgbImage) -> Result<()> {
    if image.height().max(image.width()) > MAX_SIDE {
        return Err(Error::Shape {
            expected: format!("an image with sides of at most {MAX_SIDE} pixels"),
            found: format!("{} x {} pixels (height x width)", image.height(), image.width()),
        });
    }
    Ok(())
}

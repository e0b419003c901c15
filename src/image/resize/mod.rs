//! [`RgbImage`] to another height and width, bit for bit as Pillow 9.5 to 12.1 resizes.
//!
//! A horizontal pass, then a vertical one, u8 between them; each output level is a sum of input levels times weights
//! of 22 bits behind the point in i32, rounded once. Pillow 13 chooses the order of the passes by size and so differs;
//! `docs/numerics.md` has the definitions. `fast_image_resize` 6.1 gives these bits in no filter (its weights have 16 bits,
//! and its nearest multiplies where Pillow adds), so the passes are our own.

mod filter;
mod lanes;
mod options;
mod passes;
mod placement;
mod taps;

use std::ops::Range;

pub use filter::Filter;
pub use options::{CROP_RATIO, MAX_TARGET_SIDE, MIN_CROP_RATIO, ResizeMode, ResizeOptions, Target};
pub(crate) use options::{check_crop_ratio, check_sides, no_crop_ratio, no_sides};
use passes::{Column, RGB};
use placement::Placement;
use taps::{Axis, Taps};

use super::{MAX_SIDE, RgbImage};
use crate::{Error, Result};

/// Rows of the first pass kept beyond those that one output row needs.
const ROWS_AHEAD: usize = 16;

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
        let input = [image.height(), image.width()].map(u64::from);
        let Placement { scaled, window, offset } = Placement::new(target, input);
        let [vertical, horizontal] = [0, 1].map(|axis| Axis {
            input: input[axis] as usize,
            scaled: scaled[axis],
            window: window[axis].clone(),
            filter: target.filter(),
        });
        let mut pixels = self.scale(image.pixels(), horizontal, vertical);
        let output = target.sides();
        if target.mode() == ResizeMode::Letterbox && scaled != output {
            let [offset, output] = [offset, output].map(|sides| sides.map(|side| side as usize));
            pixels = pad(&pixels, scaled[1] as usize, offset, output, target.background());
        }
        RgbImage::new(target.height(), target.width(), pixels)
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

/// Both passes, the first one just ahead of the second: between them lies no more than one output row is made of.
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

/// Lays rows of `width` pixels at `offset` on a canvas of `size`, both (height, width).
fn pad(pixels: &[u8], width: usize, offset: [usize; 2], size: [usize; 2], background: [u8; 3]) -> Vec<u8> {
    let mut canvas = background.repeat(size[0] * size[1]);
    let rows = canvas.chunks_exact_mut(size[1] * RGB).skip(offset[0]);
    for (row, pixels) in rows.zip(pixels.chunks_exact(width * RGB)) {
        row[offset[1] * RGB..][..width * RGB].copy_from_slice(pixels);
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

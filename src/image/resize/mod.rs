//! [`RgbImage`] to another height and width, bit for bit as Pillow 9.5 to 12.1 resizes.
//!
//! A horizontal pass, then a vertical one, u8 between them; each output level is a sum of input levels times weights
//! of 22 bits behind the point in i32, rounded once. Pillow 13 chooses the order of the passes by size and so differs;
//! `docs/numerics.md` has the definitions. `fast_image_resize` 6.1 gives these bits in no filter (its weights have 16 bits,
//! and its nearest multiplies where Pillow adds), so the passes are our own.

mod filter;
mod lanes;
mod passes;
mod placement;
mod taps;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

pub use filter::Filter;
use passes::{Column, RGB};
use placement::Placement;
use taps::{Axis, Taps};

use super::{MAX_SIDE, RgbImage};
use crate::{Error, Result, words};

/// `crop_ratio` where none is said: 224 of 256 pixels, as torchvision's ImageNet presets cut.
pub const CROP_RATIO: f32 = 0.875;

/// Smallest `crop_ratio`: a hundredth of a side is less than any recipe cuts out, and an image is scaled up no further.
pub const MIN_CROP_RATIO: f32 = 0.01;

/// Longest side of what an image is resized to: a tensor of 4,096 x 4,096 RGB pixels takes 201 MB.
pub const MAX_TARGET_SIDE: u32 = 4096;

/// Rows of the first pass kept beyond those that one output row needs.
const ROWS_AHEAD: usize = 16;

/// How an image of another shape is fitted to the input size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeMode {
    /// Both sides scaled to the target on their own.
    #[default]
    Squash,
    /// Scaled with its ratio kept until it covers the target divided by `crop_ratio`, then the centre cut out. For a
    /// square target that is torchvision's `Resize(round(side / crop_ratio))` and `CenterCrop(side)`.
    CenterCrop,
    /// Scaled with its ratio kept until it just fits, centred, the rest filled: Pillow's `ImageOps.pad`.
    Letterbox,
}

const MODES: [(&str, ResizeMode); 3] =
    [("squash", ResizeMode::Squash), ("center_crop", ResizeMode::CenterCrop), ("letterbox", ResizeMode::Letterbox)];

impl FromStr for ResizeMode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        words::parse("resize_mode", &MODES, text)
    }
}

impl fmt::Display for ResizeMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(words::word(&MODES, self).unwrap_or_default())
    }
}

/// What images are resized to, as it was given; [`ResizeOptions::check`] makes a [`Target`] of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeOptions {
    /// Height in pixels, 1 to [`MAX_TARGET_SIDE`].
    pub height: u32,
    /// Width in pixels, likewise.
    pub width: u32,
    /// How the shape is fitted.
    pub mode: ResizeMode,
    /// For [`ResizeMode::CenterCrop`]: [`MIN_CROP_RATIO`] to 1.
    pub crop_ratio: f32,
    /// For [`ResizeMode::Letterbox`]: the filling colour, RGB.
    pub background: [u8; 3],
    /// Resampling filter.
    pub filter: Filter,
}

impl ResizeOptions {
    /// The defaults for a size: squash, a crop ratio of [`CROP_RATIO`], black, bicubic.
    #[must_use]
    pub fn new(height: u32, width: u32) -> Self {
        Self {
            height,
            width,
            mode: ResizeMode::default(),
            crop_ratio: CROP_RATIO,
            background: [0; 3],
            filter: Filter::default(),
        }
    }

    /// The checked target.
    ///
    /// # Errors
    /// [`Error::Option`] if a side or the crop ratio is out of its range.
    pub fn check(self) -> Result<Target> {
        check_sides((self.height, self.width))?;
        check_crop_ratio(self.crop_ratio)?;
        Ok(Target(self))
    }
}

/// What images are resized to, with every value in its range: no image can fail because of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Target(ResizeOptions);

impl Target {
    /// Height in pixels.
    #[must_use]
    pub fn height(&self) -> u32 {
        self.0.height
    }

    /// Width in pixels.
    #[must_use]
    pub fn width(&self) -> u32 {
        self.0.width
    }

    fn sides(&self) -> [u64; 2] {
        [self.0.height, self.0.width].map(u64::from)
    }

    fn mode(&self) -> ResizeMode {
        self.0.mode
    }

    fn crop_ratio(&self) -> f32 {
        self.0.crop_ratio
    }
}

/// Passes on (height, width) if images can be resized to it.
pub(crate) fn check_sides(sides: (u32, u32)) -> Result<(u32, u32)> {
    let possible = 1..=MAX_TARGET_SIDE;
    let (height, width) = sides;
    if possible.contains(&height) && possible.contains(&width) {
        return Ok(sides);
    }
    Err(no_sides(format!("({height}, {width})")))
}

/// `found` is not a size that images can be resized to.
pub(crate) fn no_sides(found: String) -> Error {
    Error::Option {
        name: "input_size",
        expected: format!("a side or (height, width) of 1 to {MAX_TARGET_SIDE} pixels"),
        found,
    }
}

/// Passes on a crop ratio that is in its range.
pub(crate) fn check_crop_ratio(ratio: f32) -> Result<f32> {
    if (MIN_CROP_RATIO..=1.0).contains(&ratio) {
        return Ok(ratio);
    }
    Err(no_crop_ratio(ratio.to_string()))
}

/// `found` is not a crop ratio.
pub(crate) fn no_crop_ratio(found: String) -> Error {
    Error::Option { name: "crop_ratio", expected: format!("a number from {MIN_CROP_RATIO} to 1"), found }
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
    /// [`Error::Shape`] if a side of the image is over [`MAX_SIDE`](super::MAX_SIDE).
    pub fn fit(&mut self, image: &RgbImage, target: &Target) -> Result<RgbImage> {
        check_image(image)?;
        let input = [image.height(), image.width()].map(u64::from);
        let Placement { scaled, window, offset } = Placement::new(target, input);
        let [vertical, horizontal] = [0, 1].map(|axis| Axis {
            input: input[axis] as usize,
            scaled: scaled[axis],
            window: window[axis].clone(),
            filter: target.0.filter,
        });
        let mut pixels = self.scale(image.pixels(), horizontal, vertical);
        let output = target.sides();
        if target.mode() == ResizeMode::Letterbox && scaled != output {
            let [offset, output] = [offset, output].map(|sides| sides.map(|side| side as usize));
            pixels = pad(&pixels, scaled[1] as usize, offset, output, target.0.background);
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

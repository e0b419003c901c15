//! What images are resized to, as it was given and checked.

use std::fmt;
use std::str::FromStr;

use super::filter::Filter;
use crate::{Error, Result, parse};

/// `crop_ratio` where none is said: 224 of 256 pixels, as torchvision's ImageNet presets cut.
pub const CROP_RATIO: f32 = 0.875;

/// Smallest `crop_ratio`: a hundredth of a side is less than any recipe cuts out, and an image is scaled up no further.
pub const MIN_CROP_RATIO: f32 = 0.01;

/// Longest side of what an image is resized to: a tensor of 4,096 x 4,096 RGB pixels takes 201 MB.
pub const MAX_TARGET_SIDE: u32 = 4096;

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
        parse::choice("resize_mode", &MODES, text)
    }
}

impl fmt::Display for ResizeMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&MODES, self).unwrap_or_default())
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

    pub(super) fn sides(&self) -> [u64; 2] {
        [self.0.height, self.0.width].map(u64::from)
    }

    pub(super) fn mode(&self) -> ResizeMode {
        self.0.mode
    }

    pub(super) fn crop_ratio(&self) -> f32 {
        self.0.crop_ratio
    }

    pub(super) fn filter(&self) -> Filter {
        self.0.filter
    }

    pub(super) fn background(&self) -> [u8; 3] {
        self.0.background
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

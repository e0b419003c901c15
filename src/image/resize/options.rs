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

/// Whose rules decide the fractions of a pixel: `docs/numerics.md` has them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// torchvision's `Resize` and `CenterCrop`; for [`ResizeMode::Letterbox`] Pillow's `ImageOps.pad`.
    #[default]
    Torchvision,
    /// The image processors of transformers.
    Transformers,
    /// timm's and `open_clip`'s `ResizeKeepRatio` and `CenterCropOrPad`.
    Timm,
}

const ROUNDINGS: [(&str, Rounding); 3] =
    [("torchvision", Rounding::Torchvision), ("transformers", Rounding::Transformers), ("timm", Rounding::Timm)];

impl FromStr for Rounding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("rounding", &ROUNDINGS, text)
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&ROUNDINGS, self).unwrap_or_default())
    }
}

/// What a resize computes in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResizeDtype {
    /// Levels, rounded after each pass, bit for bit as Pillow.
    #[default]
    Uint8,
    /// float32, never rounded: torchvision's antialiased resize of float tensors.
    Float32,
}

const DTYPES: [(&str, ResizeDtype); 2] = [("uint8", ResizeDtype::Uint8), ("float32", ResizeDtype::Float32)];

impl FromStr for ResizeDtype {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("resize_dtype", &DTYPES, text)
    }
}

impl fmt::Display for ResizeDtype {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&DTYPES, self).unwrap_or_default())
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
    /// (height, width) that the whole image is resized to as the mode says, before its middle is cut out or it is laid into
    /// the middle; 1 to [`MAX_TARGET_SIDE`] each. `None`: the target, for [`ResizeMode::CenterCrop`] over `crop_ratio`.
    pub resize_size: Option<(u32, u32)>,
    /// For [`ResizeMode::CenterCrop`] without a `resize_size`: [`MIN_CROP_RATIO`] to 1.
    pub crop_ratio: f32,
    /// Colour of what the image leaves free, RGB.
    pub background: [u8; 3],
    /// Resampling filter.
    pub filter: Filter,
    /// Whose rules decide the fractions of a pixel.
    pub rounding: Rounding,
    /// What is computed in.
    pub dtype: ResizeDtype,
}

impl ResizeOptions {
    /// The defaults for a size: squash, a crop ratio of [`CROP_RATIO`], black, bicubic.
    #[must_use]
    pub fn new(height: u32, width: u32) -> Self {
        Self {
            height,
            width,
            mode: ResizeMode::default(),
            resize_size: None,
            crop_ratio: CROP_RATIO,
            background: [0; 3],
            filter: Filter::default(),
            rounding: Rounding::default(),
            dtype: ResizeDtype::default(),
        }
    }

    /// The checked target.
    ///
    /// # Errors
    /// [`Error::Option`] if a side or the crop ratio is out of its range, or the filter has no float32.
    pub fn check(self) -> Result<Target> {
        check_sides((self.height, self.width))?;
        self.resize_size.map(|sides| check_sides_of("resize_size", sides)).transpose()?;
        check_crop_ratio(self.crop_ratio)?;
        if self.dtype == ResizeDtype::Float32 && !matches!(self.filter, Filter::Bilinear | Filter::Bicubic) {
            return Err(Error::Option {
                name: "filter",
                expected: "bilinear or bicubic, as resize_dtype is float32".to_owned(),
                found: self.filter.to_string(),
            });
        }
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

    /// (height, width) that the image is resized to as the mode says.
    pub(super) fn resized_sides(&self) -> [u64; 2] {
        match (self.0.resize_size, self.0.mode) {
            (Some((height, width)), _) => [height, width].map(u64::from),
            (None, ResizeMode::CenterCrop) => {
                self.sides().map(|side| (side as f64 / f64::from(self.0.crop_ratio)).round_ties_even() as u64)
            }
            (None, _) => self.sides(),
        }
    }

    /// How the shape is fitted.
    #[must_use]
    pub fn mode(&self) -> ResizeMode {
        self.0.mode
    }

    /// (height, width) that the image is resized to as the mode says, if it was given.
    #[must_use]
    pub fn resize_size(&self) -> Option<(u32, u32)> {
        self.0.resize_size
    }

    /// Whose rules decide the fractions of a pixel.
    #[must_use]
    pub fn rounding(&self) -> Rounding {
        self.0.rounding
    }

    /// What is computed in.
    #[must_use]
    pub fn dtype(&self) -> ResizeDtype {
        self.0.dtype
    }

    /// For [`ResizeMode::CenterCrop`]: the target over the short side before the cut.
    #[must_use]
    pub fn crop_ratio(&self) -> f32 {
        self.0.crop_ratio
    }

    /// Resampling filter.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.0.filter
    }

    pub(super) fn background(&self) -> [u8; 3] {
        self.0.background
    }
}

/// Passes on (height, width) if images can be resized to it.
pub(crate) fn check_sides(sides: (u32, u32)) -> Result<(u32, u32)> {
    check_sides_of("input_size", sides)
}

/// `found` is not a size that images can be resized to.
pub(crate) fn no_sides(found: String) -> Error {
    no_sides_of("input_size", found)
}

/// `N` or `HxW`, the value of `option`, as (height, width).
pub(crate) fn parse_sides(option: &'static str, text: &str) -> Result<(u32, u32)> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => check_sides_of(option, (height, width)),
        _ => Err(no_sides_of(option, text.to_owned())),
    }
}

/// Passes on (height, width), the value of `option`, if images can be resized to it.
fn check_sides_of(option: &'static str, sides: (u32, u32)) -> Result<(u32, u32)> {
    let possible = 1..=MAX_TARGET_SIDE;
    let (height, width) = sides;
    if possible.contains(&height) && possible.contains(&width) {
        return Ok(sides);
    }
    Err(no_sides_of(option, format!("({height}, {width})")))
}

/// `found`, the value of `option`, is not a size that images can be resized to.
pub(crate) fn no_sides_of(option: &'static str, found: String) -> Error {
    Error::Option {
        name: option,
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

//! The options of an extraction as the user gives them; nothing here is decided.

use std::ops::RangeInclusive;

use crate::image::decode::{DecodeLimits, DecodeOptions, MAX_PIXELS};
use crate::image::resize::{Filter, ResizeMode};
use crate::pooling::Pooling;
use crate::tensor::{ColorOrder, Layout, Normalization};
use crate::{Result, parse};

/// Threads inside one operator: more than any processor has would only take memory.
pub const INTRA_THREADS: RangeInclusive<u64> = 1..=1024;

/// What `max_pixels` takes.
pub const PIXEL_LIMITS: RangeInclusive<u64> = 1..=u64::MAX;

/// The options as the user gives them. `None` leaves one to the model file, then its graph, then the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// (height, width), each 1 to [`crate::image::resize::MAX_TARGET_SIDE`].
    pub input_size: Option<(u32, u32)>,
    /// Default [`ResizeMode::Squash`].
    pub resize_mode: Option<ResizeMode>,
    /// For [`ResizeMode::CenterCrop`] only. Default [`crate::image::resize::CROP_RATIO`].
    pub crop_ratio: Option<f32>,
    /// Default [`Filter::Bicubic`]; `pixels`: [`Filter::Nearest`].
    pub filter: Option<Filter>,
    /// No default: a network fed on the wrong scale gives features that look right and are not.
    pub normalization: Option<Normalization>,
    /// Default: where the graph has its 3 channels.
    pub layout: Option<Layout>,
    /// Default: the normalisation's own order.
    pub color_order: Option<ColorOrder>,
    /// Output tensor to take; default: the first output.
    pub layer: Option<String>,
    /// Where a 4-D output has its channels, if the graph does not tell.
    pub layer_layout: Option<Layout>,
    /// How a 4-D output becomes a vector; default: the mean.
    pub pooling: Option<Pooling>,
    /// Threads inside one operator, in [`INTRA_THREADS`]. Default 1: a Spark task is one core.
    pub intra_threads: u64,
    /// Turn images upright as their EXIF orientation says. Default: true.
    pub apply_exif: bool,
    /// Refuse images over this many pixels by their header, in [`PIXEL_LIMITS`]. Default: [`MAX_PIXELS`].
    pub max_pixels: u64,
    /// RGB colour under transparent pixels and letterbox bars. Default: alpha is dropped, bars are black.
    pub background: Option<[u8; 3]>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input_size: None,
            resize_mode: None,
            crop_ratio: None,
            filter: None,
            normalization: None,
            layout: None,
            color_order: None,
            layer: None,
            layer_layout: None,
            pooling: None,
            intra_threads: 1,
            apply_exif: true,
            max_pixels: MAX_PIXELS,
            background: None,
        }
    }
}

impl Options {
    /// How bytes become pixels.
    ///
    /// # Errors
    /// [`crate::Error::Option`] if `max_pixels` is out of its range.
    pub fn decode(&self) -> Result<DecodeOptions> {
        let max_pixels =
            parse::whole_number("max_pixels", &PIXEL_LIMITS, Some(self.max_pixels), &self.max_pixels.to_string())?;
        let limits = DecodeLimits { max_pixels };
        Ok(DecodeOptions { apply_exif: self.apply_exif, limits, background: self.background })
    }

    /// Threads inside one operator.
    ///
    /// # Errors
    /// [`crate::Error::Option`] if they are out of their range.
    pub fn threads(&self) -> Result<usize> {
        let found = self.intra_threads;
        parse::whole_number("intra_threads", &INTRA_THREADS, Some(found), &found.to_string())
            .map(|threads| threads as usize)
    }
}

//! The options of an extraction as the user gives them; nothing here is decided.

use std::fmt;
use std::ops::RangeInclusive;

use crate::image::decode::{DecodeLimits, DecodeOptions, Decoding, MAX_PIXELS};
use crate::image::resize::{Filter, ResizeDtype, ResizeMode, Rounding};
use crate::pooling::Pooling;
use crate::tensor::{ColorOrder, Layout, Normalization};
use crate::{Result, parse};

/// Threads inside one operator: more than any processor has would only take memory.
pub const INTRA_THREADS: RangeInclusive<u64> = 1..=1024;

/// What `max_pixels` takes.
pub const PIXEL_LIMITS: RangeInclusive<u64> = 1..=u64::MAX;

/// What `prefix_tokens` takes.
pub const PREFIX_TOKENS: RangeInclusive<u64> = 0..=1024;

/// What `layer` takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Layers {
    /// The name of a tensor.
    One(String),
    /// Names of tensors that one pass gives side by side.
    Several(Vec<String>),
}

impl From<&str> for Layers {
    fn from(name: &str) -> Self {
        Self::One(name.to_owned())
    }
}

impl fmt::Display for Layers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => formatter.write_str(name),
            Self::Several(names) => formatter.write_str(&names.join(", ")),
        }
    }
}

/// The options as the user gives them. `None` leaves one to the model file, then its graph, then the default.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// (height, width), each 1 to [`crate::image::resize::MAX_TARGET_SIDE`].
    pub input_size: Option<(u32, u32)>,
    /// Default [`ResizeMode::Squash`].
    pub resize_mode: Option<ResizeMode>,
    /// (height, width) that the whole image is resized to as the mode says, before its middle is cut out or it is laid into the
    /// middle of `input_size`. Default: `input_size`, for [`ResizeMode::CenterCrop`] over `crop_ratio`.
    pub resize_size: Option<(u32, u32)>,
    /// For [`ResizeMode::CenterCrop`] without a `resize_size` only. Default [`crate::image::resize::CROP_RATIO`].
    pub crop_ratio: Option<f32>,
    /// Default [`Filter::Bicubic`]; `pixels`: [`Filter::Nearest`].
    pub filter: Option<Filter>,
    /// Whose rules decide the fractions of a pixel. Default [`Rounding::Torchvision`].
    pub rounding: Option<Rounding>,
    /// What the resize computes in. Default [`ResizeDtype::Uint8`].
    pub resize_dtype: Option<ResizeDtype>,
    /// RGB colour of what the image leaves free. Default: `background`, else black.
    pub fill_color: Option<[u8; 3]>,
    /// No default: a network fed on the wrong scale gives features that look right and are not.
    pub normalization: Option<Normalization>,
    /// Default: where the graph has its 3 channels.
    pub layout: Option<Layout>,
    /// Default: the normalisation's own order.
    pub color_order: Option<ColorOrder>,
    /// Output tensor to take, or several; default: `image_embeds`, `pooler_output`, `last_hidden_state`, else the first output, unless that is
    /// one of several maps or tensors of tokens.
    pub layer: Option<Layers>,
    /// Where a 4-D output has its channels, if the graph does not tell.
    pub layer_layout: Option<Layout>,
    /// How an output that is not a vector becomes one. Default: the mean of a 4-D output; of `last_hidden_state` what the description
    /// says of its library, else the class token where the graph shows one.
    pub pooling: Option<Pooling>,
    /// Tokens before those of the patches, which [`Pooling::MeanTokens`] leaves out, in [`PREFIX_TOKENS`]; default: as the graph
    /// tells.
    pub prefix_tokens: Option<u64>,
    /// Divide each vector by its Euclidean norm. Default: false.
    pub l2_normalize: Option<bool>,
    /// Threads inside one operator, in [`INTRA_THREADS`]. Default 1: a Spark task is one core.
    pub intra_threads: u64,
    /// Whether JPEGs are decoded whole or at the scale that the resize needs. Default: [`Decoding::Exact`].
    pub decode: Decoding,
    /// Turn images upright as their EXIF orientation says. Default: true.
    pub apply_exif: bool,
    /// Refuse images over this many pixels by their header, in [`PIXEL_LIMITS`]. Default: [`MAX_PIXELS`].
    pub max_pixels: u64,
    /// RGB colour under transparent pixels and, without a `fill_color`, of bars. Default: alpha is dropped, bars are black.
    pub background: Option<[u8; 3]>,
    /// What a file beside the model says of the preparation, under the names and in the spelling of the metadata. It
    /// overrides the model's own metadata. `source` is the file, for messages. `pooling` is that of the model's library for
    /// `last_hidden_state`, and does not override the metadata; in its place `library` is a sentence for the message that asks for one.
    pub description: Vec<(String, String)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            input_size: None,
            resize_mode: None,
            resize_size: None,
            crop_ratio: None,
            filter: None,
            rounding: None,
            resize_dtype: None,
            fill_color: None,
            normalization: None,
            layout: None,
            color_order: None,
            layer: None,
            layer_layout: None,
            pooling: None,
            prefix_tokens: None,
            l2_normalize: None,
            intra_threads: 1,
            decode: Decoding::default(),
            apply_exif: true,
            max_pixels: MAX_PIXELS,
            background: None,
            description: Vec::new(),
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

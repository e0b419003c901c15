//! The keyword arguments of `FeatureExtractor` as [`Options`]: what Python can give and Rust cannot hold is refused by name.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::image::resize::{no_crop_ratio, no_sides_of};
use crate::options::{INTRA_THREADS, Layers, Options, PIXEL_LIMITS, PREFIX_TOKENS};
use crate::tensor::Normalization;
use crate::{Error, Result, parse};

/// A value as Python gives it.
pub(super) type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// The keyword arguments that are more than a word.
pub(super) struct Numbers<'a, 'py> {
    pub input_size: Given<'a, 'py>,
    pub resize_size: Given<'a, 'py>,
    pub crop_ratio: Given<'a, 'py>,
    pub fill_color: Given<'a, 'py>,
    pub normalization: Given<'a, 'py>,
    pub prefix_tokens: Given<'a, 'py>,
    pub intra_threads: Given<'a, 'py>,
    pub max_pixels: Given<'a, 'py>,
    pub background: Given<'a, 'py>,
}

impl Numbers<'_, '_> {
    /// The numbers in their types; the other options have their defaults.
    ///
    /// # Errors
    /// [`Error::Option`] for a value of another type, or one that its type cannot hold.
    pub(super) fn options(&self) -> Result<Options> {
        let defaults = Options::default();
        Ok(Options {
            input_size: self.input_size.map(sides).transpose()?,
            resize_size: self.resize_size.map(|given| sides_of("resize_size", given)).transpose()?,
            fill_color: self.fill_color.map(|given| color("fill_color", given)).transpose()?,
            crop_ratio: self.crop_ratio.map(crop_ratio).transpose()?,
            normalization: self.normalization.map(normalization).transpose()?,
            prefix_tokens: self
                .prefix_tokens
                .map(|given| {
                    parse::whole_number("prefix_tokens", &PREFIX_TOKENS, given.extract().ok(), &repr_of(given))
                })
                .transpose()?,
            intra_threads: match self.intra_threads {
                Some(given) => {
                    parse::whole_number("intra_threads", &INTRA_THREADS, given.extract().ok(), &repr_of(given))?
                }
                None => defaults.intra_threads,
            },
            max_pixels: match self.max_pixels {
                Some(given) => parse::whole_number("max_pixels", &PIXEL_LIMITS, given.extract().ok(), &repr_of(given))?,
                None => defaults.max_pixels,
            },
            background: self.background.map(|given| color("background", given)).transpose()?,
            ..defaults
        })
    }
}

/// The value as Python shows it; a text with its type, because it may look like a number.
fn repr_of(given: &Bound<'_, PyAny>) -> String {
    let kind = if given.is_instance_of::<PyString>() { " (str)" } else { "" };
    given.repr().map_or_else(|_| "a value that has no text".to_owned(), |text| format!("{text}{kind}"))
}

/// A side for a square, or (height, width).
pub(super) fn sides(given: &Bound<'_, PyAny>) -> Result<(u32, u32)> {
    sides_of("input_size", given)
}

fn sides_of(option: &'static str, given: &Bound<'_, PyAny>) -> Result<(u32, u32)> {
    let square = given.extract::<u32>().map(|side| (side, side));
    square
        .or_else(|_| given.extract::<[u32; 2]>().map(|[height, width]| (height, width)))
        .map_err(|_| no_sides_of(option, repr_of(given)))
}

fn crop_ratio(given: &Bound<'_, PyAny>) -> Result<f32> {
    given.extract().map_err(|_| no_crop_ratio(repr_of(given)))
}

/// A preset's name, or (mean, std) per RGB channel in [0, 1].
fn normalization(given: &Bound<'_, PyAny>) -> Result<Normalization> {
    if let Ok(name) = given.extract::<String>() {
        return name.parse();
    }
    let [mean, std] = given.extract::<[[f32; 3]; 2]>().map_err(|_| Error::Option {
        name: "normalization",
        expected: "tf, caffe, torch, unit, raw or (mean, std) of three numbers each".to_owned(),
        found: repr_of(given),
    })?;
    Ok(Normalization::MeanStd { mean, std })
}

/// The name of a tensor, or several.
pub(super) fn layers(given: &Bound<'_, PyAny>) -> Result<Layers> {
    if let Ok(name) = given.extract::<String>() {
        return Ok(Layers::One(name));
    }
    given.extract::<Vec<String>>().map(Layers::Several).map_err(|_| Error::Option {
        name: "layer",
        expected: "the name of a tensor or a list of names".to_owned(),
        found: repr_of(given),
    })
}

fn color(name: &'static str, given: &Bound<'_, PyAny>) -> Result<[u8; 3]> {
    given.extract().map_err(|_| Error::Option {
        name,
        expected: "three levels (R, G, B) from 0 to 255".to_owned(),
        found: repr_of(given),
    })
}

/// The decided options that say how images are prepared, as keyword arguments; `None` for one that has no effect.
pub(super) fn preparation<'py>(py: Python<'py>, decided: &Options) -> PyResult<Bound<'py, PyDict>> {
    let word = |word: Option<String>| word.map(|word| PyString::new(py, &word));
    let words = PyDict::new(py);
    words.set_item("input_size", decided.input_size)?;
    words.set_item("resize_mode", word(decided.resize_mode.map(|mode| mode.to_string())))?;
    words.set_item("resize_size", decided.resize_size)?;
    words.set_item("crop_ratio", decided.crop_ratio.map(shortest))?;
    words.set_item("filter", word(decided.filter.map(|filter| filter.to_string())))?;
    words.set_item("rounding", word(decided.rounding.map(|rounding| rounding.to_string())))?;
    words.set_item("resize_dtype", word(decided.resize_dtype.map(|dtype| dtype.to_string())))?;
    words.set_item("fill_color", decided.fill_color.map(<(u8, u8, u8)>::from))?;
    match decided.normalization {
        Some(Normalization::MeanStd { mean, std }) => {
            words.set_item("normalization", (mean.map(shortest), std.map(shortest)))?;
        }
        preset => words.set_item("normalization", word(preset.map(|preset| preset.to_string())))?,
    }
    words.set_item("layout", word(decided.layout.map(|layout| layout.to_string())))?;
    words.set_item("color_order", word(decided.color_order.map(|order| order.to_string())))?;
    words.set_item("decode", decided.decode.to_string())?;
    words.set_item("apply_exif", decided.apply_exif)?;
    words.set_item("background", decided.background.map(<(u8, u8, u8)>::from))?;
    Ok(words)
}

/// The number with the fewest digits that is this one in f32: Python shows 0.9, not 0.8999999761581421.
fn shortest(number: f32) -> f64 {
    number.to_string().parse().unwrap_or_else(|_| f64::from(number))
}

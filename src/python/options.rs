//! The keyword arguments of `FeatureExtractor` as [`Options`]: what Python can give and Rust cannot hold is refused by name.

use pyo3::prelude::*;

use crate::image::resize::{no_crop_ratio, no_sides};
use crate::options::{INTRA_THREADS, Options, PIXEL_LIMITS};
use crate::tensor::Normalization;
use crate::{Error, Result, parse};

/// A value as Python gives it.
pub(super) type Given<'a, 'py> = Option<&'a Bound<'py, PyAny>>;

/// The keyword arguments that are more than a word.
pub(super) struct Numbers<'a, 'py> {
    pub input_size: Given<'a, 'py>,
    pub crop_ratio: Given<'a, 'py>,
    pub normalization: Given<'a, 'py>,
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
            crop_ratio: self.crop_ratio.map(crop_ratio).transpose()?,
            normalization: self.normalization.map(normalization).transpose()?,
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
            background: self.background.map(background).transpose()?,
            ..defaults
        })
    }
}

fn repr_of(given: &Bound<'_, PyAny>) -> String {
    given.repr().map_or_else(|_| "a value that has no text".to_owned(), |text| text.to_string())
}

/// A side for a square, or (height, width).
pub(super) fn sides(given: &Bound<'_, PyAny>) -> Result<(u32, u32)> {
    let square = given.extract::<u32>().map(|side| (side, side));
    square
        .or_else(|_| given.extract::<[u32; 2]>().map(|[height, width]| (height, width)))
        .map_err(|_| no_sides(repr_of(given)))
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

fn background(given: &Bound<'_, PyAny>) -> Result<[u8; 3]> {
    given.extract().map_err(|_| Error::Option {
        name: "background",
        expected: "three levels (R, G, B) from 0 to 255".to_owned(),
        found: repr_of(given),
    })
}

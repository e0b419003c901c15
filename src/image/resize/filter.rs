//! Pillow's filters as functions of the distance.

use std::f64::consts::PI;
use std::fmt;
use std::str::FromStr;

use crate::{Error, Result, parse};

/// Pillow's resampling filters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// Nearest neighbour.
    Nearest,
    /// Box: the mean of the covered pixels.
    Box,
    /// Bilinear (triangle).
    Bilinear,
    /// Hamming-windowed sinc of one lobe.
    Hamming,
    /// Bicubic, a = -0.5. The default, as in Pillow.
    #[default]
    Bicubic,
    /// Lanczos, 3 lobes.
    Lanczos,
}

const NAMES: [(&str, Filter); 6] = [
    ("nearest", Filter::Nearest),
    ("box", Filter::Box),
    ("bilinear", Filter::Bilinear),
    ("hamming", Filter::Hamming),
    ("bicubic", Filter::Bicubic),
    ("lanczos", Filter::Lanczos),
];

impl FromStr for Filter {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("filter", &NAMES, text)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&NAMES, self).unwrap_or_default())
    }
}

impl Filter {
    /// Half the filter's width in input pixels where nothing is scaled (Pillow's Resample.c).
    pub(super) fn support(self) -> f64 {
        match self {
            Self::Nearest | Self::Box => 0.5,
            Self::Bilinear | Self::Hamming => 1.0,
            Self::Bicubic => 2.0,
            Self::Lanczos => 3.0,
        }
    }

    /// The weight at distance `x`, in Pillow's order of operations, so that every bit is the same.
    pub(super) fn weight(self, x: f64) -> f64 {
        let distance = x.abs();
        match self {
            // not symmetric: of two pixels at exactly half a pixel the left one counts
            Self::Nearest | Self::Box => f64::from(u8::from(x > -0.5 && x <= 0.5)),
            Self::Bilinear => (1.0 - distance).max(0.0),
            Self::Hamming => match distance {
                0.0 => 1.0,
                // Pillow writes the two constants of the window as float32
                d if d < 1.0 => sinc(d) * (f64::from(0.54_f32) + f64::from(0.46_f32) * (d * PI).cos()),
                _ => 0.0,
            },
            Self::Bicubic => match distance {
                d if d < 1.0 => ((-0.5 + 2.0) * d - (-0.5 + 3.0)) * d * d + 1.0,
                d if d < 2.0 => (((d - 5.0) * d + 8.0) * d - 4.0) * -0.5,
                _ => 0.0,
            },
            Self::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
            Self::Lanczos => 0.0,
        }
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    x.sin() / x
}

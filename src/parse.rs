//! Temporary home of the option words until `resize` and `tensor` bring their own `FromStr`: delete this file then.
use std::str::FromStr;

use crate::image::resize::{Filter, ResizeMode};
use crate::tensor::{ColorOrder, Layout, Normalization};
use crate::{Error, Result};

macro_rules! words {
    ($type:ty, $name:literal, $($word:literal => $value:expr),*) => {
        impl FromStr for $type {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                match text {
                    $($word => Ok($value),)*
                    _ => Err(Error::Option { name: $name, expected: [$($word),*].join(", "), found: format!("'{text}'") }),
                }
            }
        }
    };
}

words!(Layout, "layout", "NCHW" => Self::Nchw, "NHWC" => Self::Nhwc);
words!(ColorOrder, "color_order", "RGB" => Self::Rgb, "BGR" => Self::Bgr);
words!(Normalization, "normalization", "tf" => Self::Tf, "caffe" => Self::Caffe, "torch" => Self::Torch, "unit" => Self::Unit, "raw" => Self::Raw);
words!(Filter, "filter", "nearest" => Self::Nearest, "box" => Self::Box, "bilinear" => Self::Bilinear, "hamming" => Self::Hamming, "bicubic" => Self::Bicubic, "lanczos" => Self::Lanczos);

impl ResizeMode {
    /// The mode of that name; `crop_ratio` belongs to `center_crop`, `background` to `letterbox`.
    ///
    /// # Errors
    /// [`Error::Option`] for another word.
    pub fn parse(text: &str, crop_ratio: Option<f32>, background: Option<[u8; 3]>) -> Result<Self> {
        match text {
            "squash" => Ok(Self::Squash),
            "center_crop" => Ok(Self::CenterCrop { crop_ratio: crop_ratio.unwrap_or(0.875) }),
            "letterbox" => Ok(Self::Letterbox { background: background.unwrap_or_default() }),
            _ => Err(Error::Option {
                name: "resize_mode",
                expected: "squash, center_crop or letterbox".to_owned(),
                found: format!("'{text}'"),
            }),
        }
    }
}

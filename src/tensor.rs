//! RGB images to a network's input tensor.

use std::fmt;
use std::str::FromStr;

use crate::image::RgbImage;
use crate::{Error, Result, parse};

/// Mean of ImageNet's training images, BGR, in levels: Caffe's VGG models, `keras.applications` mode `caffe`.
const CAFFE_MEAN_BGR: [f32; 3] = [103.939, 116.779, 123.68];

/// Mean of ImageNet's training images, RGB, in [0, 1]: torchvision's classification presets, `keras.applications` mode
/// `torch`.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];

/// Standard deviation that goes with [`IMAGENET_MEAN`].
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Order of the tensor's axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// (N, 3, H, W)
    Nchw,
    /// (N, H, W, 3)
    Nhwc,
}

const LAYOUTS: [(&str, Layout); 2] = [("NCHW", Layout::Nchw), ("NHWC", Layout::Nhwc)];

impl Layout {
    /// The value of `option`, which is `layout` or `layer_layout`.
    ///
    /// # Errors
    /// [`Error::Option`] for another word.
    pub fn parse(option: &'static str, text: &str) -> Result<Self> {
        parse::choice(option, &LAYOUTS, text)
    }
}

impl FromStr for Layout {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::parse("layout", text)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&LAYOUTS, self).unwrap_or_default())
    }
}

/// Order of the colour channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColorOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

const COLOR_ORDERS: [(&str, ColorOrder); 2] = [("RGB", ColorOrder::Rgb), ("BGR", ColorOrder::Bgr)];

impl FromStr for ColorOrder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("color_order", &COLOR_ORDERS, text)
    }
}

impl fmt::Display for ColorOrder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&COLOR_ORDERS, self).unwrap_or_default())
    }
}

/// How a u8 level x becomes an f32. Every operation is f32 and in the order written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Normalization {
    /// x / 127.5 - 1: `keras.applications` mode `tf`.
    Tf,
    /// x minus the channel's ImageNet mean in levels: `keras.applications` mode `caffe`.
    Caffe,
    /// (x / 255 - mean) / std of ImageNet: torchvision's presets, `keras.applications` mode `torch`.
    Torch,
    /// x / 255
    Unit,
    /// x
    Raw,
    /// (x / 255 - mean) / std, per RGB channel: torchvision's `ToTensor` and `Normalize`.
    MeanStd {
        /// Mean in [0, 1], RGB.
        mean: [f32; 3],
        /// Standard deviation in [0, 1], RGB.
        std: [f32; 3],
    },
}

const PRESETS: [(&str, Normalization); 5] = [
    ("tf", Normalization::Tf),
    ("caffe", Normalization::Caffe),
    ("torch", Normalization::Torch),
    ("unit", Normalization::Unit),
    ("raw", Normalization::Raw),
];

impl FromStr for Normalization {
    type Err = Error;

    /// A preset's name, or `mean r,g,b std r,g,b`.
    fn from_str(text: &str) -> Result<Self> {
        if let ["mean", mean, "std", std] = text.split(' ').collect::<Vec<_>>()[..]
            && let (Some(mean), Some(std)) = (parse::three(mean), parse::three(std))
        {
            return Ok(Self::MeanStd { mean, std });
        }
        parse::choice("normalization", &PRESETS, text).map_err(|error| match error {
            Error::Option { name, found, .. } => Error::Option {
                name,
                expected: "tf, caffe, torch, unit, raw or mean r,g,b std r,g,b".to_owned(),
                found,
            },
            other => other,
        })
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MeanStd { mean: [r, g, b], std: [s, t, u] } => {
                write!(formatter, "mean {r},{g},{b} std {s},{t},{u}")
            }
            preset => formatter.write_str(parse::name_of(&PRESETS, preset).unwrap_or_default()),
        }
    }
}

impl Normalization {
    /// The colour order of the networks that this normalisation comes from: BGR for `caffe`, else RGB. An explicit
    /// `color_order` overrides it; each colour keeps its own mean and std in either order.
    #[must_use]
    pub fn color_order(self) -> ColorOrder {
        if self == Self::Caffe { ColorOrder::Bgr } else { ColorOrder::Rgb }
    }

    /// The value of the level `x` in RGB channel `channel`.
    fn value(self, x: f32, channel: usize) -> f32 {
        let standardized = |mean: [f32; 3], std: [f32; 3]| (x / 255.0 - mean[channel]) / std[channel];
        match self {
            Self::Tf => x / 127.5 - 1.0,
            Self::Caffe => x - CAFFE_MEAN_BGR[2 - channel],
            Self::Torch => standardized(IMAGENET_MEAN, IMAGENET_STD),
            Self::Unit => x / 255.0,
            Self::Raw => x,
            Self::MeanStd { mean, std } => standardized(mean, std),
        }
    }
}

/// Writes images as f32 of one layout.
#[derive(Clone, Debug)]
pub struct TensorWriter {
    layout: Layout,
    normalization: Normalization,
    /// The RGB channel of each output channel.
    channels: [usize; 3],
    /// The value of each level, per output channel.
    values: [[f32; 256]; 3],
}

impl TensorWriter {
    /// A writer for one layout, colour order and normalisation.
    ///
    /// # Errors
    /// [`Error::Option`] if a std is not finite, or the value of a level is not.
    pub fn new(layout: Layout, color_order: ColorOrder, normalization: Normalization) -> Result<Self> {
        let channels = match color_order {
            ColorOrder::Rgb => [0, 1, 2],
            ColorOrder::Bgr => [2, 1, 0],
        };
        let mut values = [[0.0; 256]; 3];
        for (values, channel) in values.iter_mut().zip(channels) {
            for (value, level) in values.iter_mut().zip(0..=u8::MAX) {
                *value = normalization.value(f32::from(level), channel);
            }
        }
        // an infinite std gives zeros, a tiny one infinities
        let std = if let Normalization::MeanStd { std, .. } = normalization { std } else { IMAGENET_STD };
        if !values.iter().flatten().chain(&std).all(|value| value.is_finite()) {
            return Err(Error::Option {
                name: "normalization",
                expected: "a finite mean and a finite std other than 0 for each of R, G, B".to_owned(),
                found: normalization.to_string(),
            });
        }
        Ok(Self { layout, normalization, channels, values })
    }

    /// Writes one image into its part of the tensor.
    ///
    /// # Shapes
    /// (H, W, 3) u8 to (3, H, W) or (H, W, 3) f32.
    ///
    /// # Errors
    /// [`Error::Shape`] if `out` is not 3 x H x W long.
    ///
    /// ```
    /// use sparkcider::image::RgbImage;
    /// use sparkcider::tensor::{ColorOrder, Layout, Normalization, TensorWriter};
    ///
    /// let pixel = RgbImage::new(1, 1, vec![255, 0, 51])?;
    /// let mut tensor = [0.0; 3];
    /// TensorWriter::new(Layout::Nchw, ColorOrder::Bgr, Normalization::Unit)?.write(&pixel, &mut tensor)?;
    /// assert_eq!(tensor, [0.2, 0.0, 1.0]);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn write(&self, image: &RgbImage, out: &mut [f32]) -> Result<()> {
        let pixels = image.pixels();
        if out.len() != pixels.len() {
            return Err(Error::Shape {
                expected: format!(
                    "room for {} values of an image ({}, {}, 3)",
                    pixels.len(),
                    image.height(),
                    image.width()
                ),
                found: format!("{} values", out.len()),
            });
        }
        let pixels = pixels.as_chunks::<3>().0;
        match self.layout {
            Layout::Nhwc => {
                for (out, pixel) in out.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                    // written out: as a loop over the channels it takes seven times as long
                    let [first, second, third] = self.channels.map(|channel| usize::from(pixel[channel]));
                    *out = [self.values[0][first], self.values[1][second], self.values[2][third]];
                }
            }
            Layout::Nchw => {
                let planes = out.chunks_exact_mut(pixels.len());
                for ((plane, values), channel) in planes.zip(&self.values).zip(self.channels) {
                    for (out, pixel) in plane.iter_mut().zip(pixels) {
                        *out = values[usize::from(pixel[channel])];
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes one image of float levels into its part of the tensor.
    ///
    /// # Shapes
    /// (H, W, 3) f32 to (3, H, W) or (H, W, 3) f32.
    ///
    /// # Errors
    /// [`Error::Shape`] if `out` is not as long as `levels`.
    pub fn write_floats(&self, levels: &[f32], out: &mut [f32]) -> Result<()> {
        if out.len() != levels.len() {
            return Err(Error::Shape {
                expected: format!("room for the {} values of an image", levels.len()),
                found: format!("{} values", out.len()),
            });
        }
        let area = levels.len() / 3;
        for (at, pixel) in levels.as_chunks::<3>().0.iter().enumerate() {
            for (place, channel) in self.channels.into_iter().enumerate() {
                let at = if self.layout == Layout::Nhwc { at * 3 + place } else { place * area + at };
                out[at] = self.normalization.value(pixel[channel], channel);
            }
        }
        Ok(())
    }
}

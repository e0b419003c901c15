//! How an image becomes a model's input: options, file metadata and graph to checked values.
//!
//! Each option is decided on its own: the user's value, else the file's, else the graph's, else the default. This is
//! the only constructor of what the rows of a batch go through, so a bad option never reaches a row.

use crate::image::RgbImage;
use crate::image::resize::{
    CROP_RATIO, Filter, ResizeMode, ResizeOptions, Resizer, Target, check_crop_ratio, no_crop_ratio,
};
use crate::onnx::{InputSpec, Metadata, Said, image_len, input_size};
use crate::options::Options;
use crate::tensor::{Layout, Normalization, TensorWriter};
use crate::{Error, Result};

/// Side of the `pixels` model's image where no `input_size` is given (study E's alternative to a network).
const PIXELS_SIDE: u32 = 20;

/// How an image becomes the model's input: everything decided and checked.
#[derive(Clone, Debug)]
pub struct Preprocessing {
    target: Target,
    writer: TensorWriter,
}

impl Preprocessing {
    /// Without a network: 20 x 20, nearest, (H, W, 3) in [0, 1] unless `options` say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] if a value is out of its range, or is about the output of a network.
    pub fn pixels(options: &Options) -> Result<Self> {
        let outputs = [
            ("layer", options.layer.clone()),
            ("layer_layout", options.layer_layout.map(|layout| layout.to_string())),
            ("pooling", options.pooling.map(|pooling| pooling.to_string())),
        ];
        for (name, found) in outputs {
            if let Some(found) = found {
                let expected = "left out, as pixels has no layers".to_owned();
                return Err(Error::Option { name, expected, found });
            }
        }
        let metadata = Metadata::none("pixels");
        let size = options.input_size.unwrap_or((PIXELS_SIDE, PIXELS_SIDE));
        let normalization = options.normalization.unwrap_or(Normalization::Unit);
        Ok(Self {
            target: target(&metadata, options, size, Filter::Nearest)?,
            writer: writer(&metadata, options, options.layout.unwrap_or(Layout::Nhwc), normalization)?,
        })
    }

    /// That of a network: what the user says, what its file's metadata says, and what its graph says of its `input`.
    ///
    /// # Errors
    /// [`Error::Option`] if the user's value of an option is out of its range, is not the graph's or has no effect, or if
    /// the normalisation or the size is said nowhere; [`Error::Model`] if the file's value is wrong.
    pub(crate) fn resolve(input: &InputSpec, metadata: &Metadata, options: &Options) -> Result<Self> {
        let size = input_size(input, metadata, options.input_size)?;
        let said = metadata.or_said("normalization", options.normalization, str::parse)?;
        let normalization = said.ok_or_else(|| Error::Option {
            name: "normalization",
            expected: "tf, caffe, torch, unit, raw or (mean, std)".to_owned(),
            found: format!("nothing: {} does not say how its pixels are scaled", metadata.model()),
        })?;
        Ok(Self {
            target: target(metadata, options, size, Filter::default())?,
            writer: writer(metadata, options, input.layout, normalization.value)?,
        })
    }

    /// (height, width) in pixels.
    #[must_use]
    pub fn size(&self) -> (u32, u32) {
        (self.target.height(), self.target.width())
    }

    /// Values of one image: 3 x height x width.
    #[must_use]
    pub fn image_len(&self) -> usize {
        image_len(self.size())
    }

    /// Resizes `image` and writes it to its place of the tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side of the image is too long to be resized.
    pub(crate) fn write(&self, image: &RgbImage, resizer: &mut Resizer, out: &mut [f32]) -> Result<()> {
        self.writer.write(&resizer.fit(image, &self.target)?, out)
    }
}

/// The resize that is said; `filter` where it is not.
fn target(metadata: &Metadata, options: &Options, (height, width): (u32, u32), filter: Filter) -> Result<Target> {
    let mode = metadata.or_said("resize_mode", options.resize_mode, str::parse)?.map_or_else(Default::default, value);
    let crop_ratio = match options.crop_ratio {
        Some(ratio) if mode != ResizeMode::CenterCrop => {
            return Err(Error::Option {
                name: "crop_ratio",
                expected: format!("left out, as resize_mode is {mode} and not center_crop"),
                found: ratio.to_string(),
            });
        }
        _ if mode != ResizeMode::CenterCrop => None,
        user => metadata.or_said("crop_ratio", user, parse_crop_ratio)?,
    };
    let filter = metadata.or_said("filter", options.filter, str::parse)?.map_or(filter, value);
    let background = options.background.unwrap_or_default();
    let crop_ratio = crop_ratio.map_or(CROP_RATIO, value);
    ResizeOptions { height, width, mode, crop_ratio, background, filter }.check()
}

fn writer(
    metadata: &Metadata,
    options: &Options,
    layout: Layout,
    normalization: Normalization,
) -> Result<TensorWriter> {
    let said = metadata.or_said("color_order", options.color_order, str::parse)?;
    TensorWriter::new(layout, said.map_or(normalization.color_order(), value), normalization)
}

fn value<T>(said: Said<T>) -> T {
    said.value
}

fn parse_crop_ratio(text: &str) -> Result<f32> {
    text.parse().map_err(|_| no_crop_ratio(text.to_owned())).and_then(check_crop_ratio)
}

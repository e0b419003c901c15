//! How an image becomes a model's input: options, file metadata and graph to checked values.
//!
//! Each option is decided on its own: the user's value, else the file's, else the graph's, else the default. This is
//! the only constructor of what the rows of a batch go through, so a bad option never reaches a row.

use crate::image::RgbImage;
use crate::image::decode::{DecodeOptions, Decoding, decode, decode_scaled};
use crate::image::resize::{
    CROP_RATIO, Filter, ResizeDtype, ResizeMode, ResizeOptions, Resizer, Target, check_crop_ratio, no_crop_ratio,
    parse_sides,
};
use crate::onnx::{InputSpec, Metadata, Origin, Said, image_len, input_size};
use crate::options::Options;
use crate::tensor::{Layout, Normalization, TensorWriter};
use crate::{Error, Result, parse};

/// Side of the `pixels` model's image where no `input_size` is given (study E's alternative to a network).
const PIXELS_SIDE: u32 = 20;

/// How an image becomes the model's input: everything decided and checked.
#[derive(Clone, Debug)]
pub struct Preprocessing {
    decoding: Decoding,
    decode: DecodeOptions,
    target: Target,
    writer: TensorWriter,
    decided: Options,
}

impl Preprocessing {
    /// Without a network: 20 x 20, nearest, (H, W, 3) in [0, 1] unless `options` say otherwise.
    ///
    /// # Errors
    /// [`Error::Option`] if a value is out of its range, or is about the output of a network.
    pub fn pixels(options: &Options) -> Result<Self> {
        let outputs = [
            ("layer", options.layer.as_ref().map(ToString::to_string)),
            ("layer_layout", options.layer_layout.map(|layout| layout.to_string())),
            ("pooling", options.pooling.map(|pooling| pooling.to_string())),
            ("prefix_tokens", options.prefix_tokens.map(|tokens| tokens.to_string())),
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
        let layout = options.layout.unwrap_or(Layout::Nhwc);
        check_given(options)?;
        Self::decide(&metadata, options, size, Filter::Nearest, layout, normalization)
    }

    /// That of a network: what the user says, what its file's metadata says, and what its graph says of its `input`.
    ///
    /// # Errors
    /// [`Error::Option`] if the user's value of an option is out of its range, is not the graph's or has no effect;
    /// [`Error::Required`] if the normalisation or the size is said nowhere; [`Error::Model`] if the file's value is wrong.
    pub(crate) fn resolve(input: &InputSpec, metadata: &Metadata, options: &Options) -> Result<Self> {
        check_given(options)?;
        let size = input_size(input, metadata, options.input_size)?;
        let said = metadata.or_said("normalization", options.normalization, str::parse)?;
        let normalization = input.normalization(metadata, said)?.ok_or_else(|| Error::Required {
            name: "normalization",
            expected: "tf, caffe, torch, unit, raw or (mean, std)",
            reason: format!("{} does not say how its pixels are scaled", metadata.model()),
        })?;
        Self::decide(metadata, options, size, Filter::default(), input.layout, normalization)
            .map_err(|error| metadata.blame(error, |name| is_given(options, name)))
    }

    fn decide(
        metadata: &Metadata,
        options: &Options,
        size: (u32, u32),
        filter: Filter,
        layout: Layout,
        normalization: Normalization,
    ) -> Result<Self> {
        let background = metadata.or_said("background", options.background, parse_color("background"))?.map(value);
        let fitting = Fitting { metadata, options, size };
        let (target, fill) = fitting.target(filter, background)?;
        let said = metadata.or_said("color_order", options.color_order, str::parse)?;
        let color_order = said.map_or(normalization.color_order(), value);
        let has_rule = target.resize_size().is_some() || target.mode() != ResizeMode::Squash;
        let is_cut = target.mode() == ResizeMode::CenterCrop && target.resize_size().is_none();
        let decided = Options {
            input_size: Some(size),
            resize_mode: Some(target.mode()),
            resize_size: target.resize_size(),
            crop_ratio: is_cut.then(|| target.crop_ratio()),
            filter: Some(target.filter()),
            rounding: has_rule.then(|| target.rounding()),
            resize_dtype: Some(target.dtype()),
            fill_color: fill,
            background,
            normalization: Some(normalization),
            layout: Some(layout),
            color_order: Some(color_order),
            description: Vec::new(),
            ..options.clone()
        };
        Ok(Self {
            decoding: options.decode,
            decode: DecodeOptions { background, ..options.decode()? },
            target,
            writer: TensorWriter::new(layout, color_order, normalization)?,
            decided,
        })
    }

    /// The options as they were decided: given to the same model, they say all of this again. What is about the network's
    /// output is as the user gave it.
    #[must_use]
    pub fn decided(&self) -> &Options {
        &self.decided
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

    /// Decodes an image file, or as much of it as the resize needs.
    ///
    /// # Errors
    /// As [`decode()`].
    pub(crate) fn decode(&self, bytes: &[u8]) -> Result<RgbImage> {
        match self.decoding {
            Decoding::Exact => decode(bytes, &self.decode),
            Decoding::Scaled => decode_scaled(bytes, &self.decode, &self.target),
        }
    }

    /// Resizes `image` and writes it to its place of the tensor.
    ///
    /// # Errors
    /// [`Error::Shape`] if a side of the image is too long to be resized.
    pub(crate) fn write(&self, image: &RgbImage, resizer: &mut Resizer, out: &mut [f32]) -> Result<()> {
        match self.target.dtype() {
            ResizeDtype::Uint8 => self.writer.write(&resizer.fit(image, &self.target)?, out),
            ResizeDtype::Float32 => self.writer.write_floats(&Resizer::fit_floats(image, &self.target)?, out),
        }
    }
}

/// What is said of how an image is fitted to `size`, (height, width).
struct Fitting<'a> {
    metadata: &'a Metadata<'a>,
    options: &'a Options,
    size: (u32, u32),
}

impl Fitting<'_> {
    /// The resize that is said, with `filter` where none is; and the colour to fill with, if it is said.
    fn target(&self, filter: Filter, background: Option<[u8; 3]>) -> Result<(Target, Option<[u8; 3]>)> {
        let Self { metadata, options, size: (height, width) } = *self;
        let mode =
            metadata.or_said("resize_mode", options.resize_mode, str::parse)?.map_or_else(Default::default, value);
        let resize_size = self.resize_size(mode)?;
        let crop_ratio = self.crop_ratio(mode, resize_size)?;
        let has_rule = resize_size.is_some() || mode != ResizeMode::Squash;
        if !has_rule {
            let reason = "as resize_mode is squash without a resize_size";
            refuse_without_effect("rounding", options.rounding.as_ref(), reason)?;
        }
        let may_fill = resize_size.is_some() || mode == ResizeMode::Letterbox;
        if !may_fill {
            let shown = options.fill_color.map(|[r, g, b]| format!("({r}, {g}, {b})"));
            refuse_without_effect("fill_color", shown.as_ref(), "as nothing is left to fill")?;
        }
        let fill = metadata.or_said("fill_color", options.fill_color, parse_color("fill_color"))?;
        let fill = fill.filter(|_| may_fill).map(value);
        let target = ResizeOptions {
            height,
            width,
            mode,
            resize_size,
            crop_ratio: crop_ratio.unwrap_or(CROP_RATIO),
            background: fill.or(background).unwrap_or_default(),
            filter: metadata.or_said("filter", options.filter, str::parse)?.map_or(filter, value),
            rounding: metadata.or_said("rounding", options.rounding, str::parse)?.map(value).unwrap_or_default(),
            dtype: metadata.or_said("resize_dtype", options.resize_dtype, str::parse)?.map(value).unwrap_or_default(),
        };
        Ok((target.check()?, fill))
    }

    /// The file's holds for the file's own mode, and for its own `input_size`: beside another it would cut out another part.
    fn resize_size(&self, mode: ResizeMode) -> Result<Option<(u32, u32)>> {
        let Self { metadata, options, size } = *self;
        let parse = |text: &str| parse_sides("resize_size", text);
        let Some(said) = metadata.or_said("resize_size", options.resize_size, parse)? else { return Ok(None) };
        if said.origin == Origin::User {
            return Ok(Some(said.value));
        }
        let files_mode = metadata.or_said("resize_mode", None, str::parse)?.map_or_else(Default::default, value);
        if options.crop_ratio.is_some() || mode != files_mode {
            return Ok(None);
        }
        let files_size = metadata.or_said("input_size", None, |text| parse_sides("input_size", text))?.map(value);
        match files_size {
            Some((height, width)) if (height, width) != size => Err(Error::Option {
                name: "input_size",
                expected: format!(
                    "({height}, {width}), which {} says with a resize_size of {:?}; or give resize_size, too",
                    metadata.place(said.origin),
                    said.value
                ),
                found: format!("{size:?}"),
            }),
            _ => Ok(Some(said.value)),
        }
    }

    fn crop_ratio(&self, mode: ResizeMode, resize_size: Option<(u32, u32)>) -> Result<Option<f32>> {
        let user = self.options.crop_ratio;
        if mode != ResizeMode::CenterCrop {
            refuse_without_effect(
                "crop_ratio",
                user.as_ref(),
                &format!("as resize_mode is {mode} and not center_crop"),
            )?;
            return Ok(None);
        }
        if resize_size.is_some() {
            refuse_without_effect("crop_ratio", user.as_ref(), "as resize_size is given")?;
            return Ok(None);
        }
        Ok(self.metadata.or_said("crop_ratio", user, parse_crop_ratio)?.map(value))
    }
}

/// Refuses the user's value of an option that changes nothing, for the reason that is given.
fn refuse_without_effect(name: &'static str, user: Option<&impl ToString>, reason: &str) -> Result<()> {
    user.map_or(Ok(()), |found| {
        Err(Error::Option { name, expected: format!("left out, {reason}"), found: found.to_string() })
    })
}

/// Refuses a mean and std of the user that are levels, and a std that divides by nothing. What a file says may be any.
fn check_given(options: &Options) -> Result<()> {
    let Some(Normalization::MeanStd { mean, std }) = options.normalization else { return Ok(()) };
    let expected = if mean.iter().any(|&mean| mean > 1.0) {
        "(mean, std) of values in [0, 1]: divide by 255"
    } else if std.iter().any(|&std| std <= 0.0) {
        "(mean, std) with a std over 0"
    } else {
        return Ok(());
    };
    let found = Normalization::MeanStd { mean, std }.to_string();
    Err(Error::Option { name: "normalization", expected: expected.to_owned(), found })
}

/// Whether the user gives the option `name` of the preparation.
fn is_given(options: &Options, name: &str) -> bool {
    match name {
        "input_size" => options.input_size.is_some(),
        "resize_size" => options.resize_size.is_some(),
        "crop_ratio" => options.crop_ratio.is_some(),
        "filter" => options.filter.is_some(),
        "resize_dtype" => options.resize_dtype.is_some(),
        "normalization" => options.normalization.is_some(),
        _ => true,
    }
}

fn value<T>(said: Said<T>) -> T {
    said.value
}

fn parse_crop_ratio(text: &str) -> Result<f32> {
    text.parse().map_err(|_| no_crop_ratio(text.to_owned())).and_then(check_crop_ratio)
}

/// Reads the value of a colour option, `r,g,b`.
fn parse_color(name: &'static str) -> impl Fn(&str) -> Result<[u8; 3]> {
    move |text| {
        parse::three(text).ok_or_else(|| Error::Option {
            name,
            expected: "three levels r,g,b from 0 to 255".to_owned(),
            found: format!("'{text}'"),
        })
    }
}

//! The model file, and the preprocessing that belongs to it.
//!
//! A model is one ONNX file. How its pixels are to be prepared stands in its `metadata_props` under `sparkcider.*`; what
//! is not there is read off the graph (layout, size) or must be given as an option (normalisation).

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::image::resize::{Filter, ResizeMode};
use crate::tensor::{ColorOrder, Layout, Normalization};
use crate::{Error, Result};

/// The name of the built-in model that needs no network: resize and flatten.
pub const PIXELS: &str = "pixels";

/// Side of the `pixels` model's image where no `input_size` is given (study E's alternative to a network).
const PIXELS_SIDE: u32 = 20;

/// A model file on disk and the SHA-256 of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it lies.
    pub path: PathBuf,
    /// SHA-256 in hexadecimal.
    pub checksum: String,
}

impl ModelFile {
    /// Reads the file once for its checksum.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if there is no such file, [`Error::Model`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.is_file() {
            return Err(Error::ModelNotFound { path: path.display().to_string() });
        }
        let checksum = checksum(path)
            .map_err(|error| Error::Model { model: path.display().to_string(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), checksum })
    }
}

fn checksum(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        match file.read(&mut block)? {
            0 => return Ok(hexadecimal(&digest.finalize())),
            n => digest.update(&block[..n]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// What the user says about a model; `None` leaves it to the model file, its graph, or the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelOptions {
    /// (height, width)
    pub input_size: Option<(u32, u32)>,
    /// Default [`ResizeMode::Squash`].
    pub resize_mode: Option<ResizeMode>,
    /// Default [`Filter::Bicubic`]; `pixels`: [`Filter::Nearest`].
    pub filter: Option<Filter>,
    /// No default: a network fed on the wrong scale gives features that look right and are not.
    pub normalization: Option<Normalization>,
    /// Default: where the graph has its 3 channels.
    pub layout: Option<Layout>,
    /// Default: the normalisation's own order.
    pub color_order: Option<ColorOrder>,
}

/// The image input of a network: its axes as the graph declares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InputSpec {
    /// Images that each run must be given, if the graph fixes it.
    pub batch: Option<usize>,
    /// Position of the channels.
    pub layout: Layout,
    /// Height, if the graph fixes it.
    pub height: Option<u32>,
    /// Width, if the graph fixes it.
    pub width: Option<u32>,
}

impl InputSpec {
    /// Reads the axes of `dims` (-1 for a dynamic one); `layout` decides where the graph does not.
    ///
    /// # Errors
    /// A sentence that says why this is no input for RGB images.
    pub fn from_dims(dims: &[i64], layout: Option<Layout>) -> std::result::Result<Self, String> {
        if dims.is_empty() {
            return Err("expects an image input of rank 4, but its graph leaves the rank of the input open".to_owned());
        }
        let &[batch, a, b, c] = dims else {
            return Err(format!("expects an image input of rank 4, found {}", shape_text(dims)));
        };
        let fits = |channels: i64| channels == 3 || channels < 0;
        let layout = match layout {
            Some(Layout::Nchw) if fits(a) => Layout::Nchw,
            Some(Layout::Nhwc) if fits(c) => Layout::Nhwc,
            None if a == 3 => Layout::Nchw,
            None if c == 3 => Layout::Nhwc,
            None if fits(a) && fits(c) => {
                return Err(format!("input {} does not say where its channels are: give layout", shape_text(dims)));
            }
            _ => return Err(format!("expects an image input of 3 channels, found {}", shape_text(dims))),
        };
        let (height, width) = if layout == Layout::Nchw { (b, c) } else { (a, b) };
        Ok(Self {
            batch: usize::try_from(batch).ok().filter(|&n| n > 0),
            layout,
            height: u32::try_from(height).ok().filter(|&n| n > 0),
            width: u32::try_from(width).ok().filter(|&n| n > 0),
        })
    }
}

/// `(N, 3, 224, 224)`: a shape as people write it, `?` for a dynamic axis and N for a dynamic first one.
#[must_use]
pub fn shape_text(dims: &[i64]) -> String {
    let names: Vec<String> = dims
        .iter()
        .enumerate()
        .map(|(axis, &dim)| match (axis, dim) {
            (0, ..=0) => "N".to_owned(),
            (_, ..=0) => "?".to_owned(),
            _ => dim.to_string(),
        })
        .collect();
    format!("({})", names.join(", "))
}

/// How an image becomes the model's input: everything decided.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Preprocessing {
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
    /// How the shape is fitted.
    pub resize_mode: ResizeMode,
    /// Resampling filter.
    pub filter: Filter,
    /// Axes of the tensor.
    pub layout: Layout,
    /// Order of the channels; `None` is the normalisation's own.
    pub color_order: Option<ColorOrder>,
    /// u8 to f32.
    pub normalization: Normalization,
}

impl Preprocessing {
    /// The built-in model `pixels`: 20 x 20, nearest, (H, W, 3) in [0, 1] unless `options` say otherwise.
    #[must_use]
    pub fn pixels(options: &ModelOptions) -> Self {
        let (height, width) = options.input_size.unwrap_or((PIXELS_SIDE, PIXELS_SIDE));
        Self {
            height,
            width,
            resize_mode: options.resize_mode.unwrap_or_default(),
            filter: options.filter.unwrap_or(Filter::Nearest),
            layout: options.layout.unwrap_or(Layout::Nhwc),
            color_order: options.color_order,
            normalization: options.normalization.unwrap_or(Normalization::Unit),
        }
    }

    /// Joins what the user says (first), what the file's metadata says, and what the graph says.
    ///
    /// # Errors
    /// [`Error::Option`] if the normalisation or the size is said nowhere, or metadata holds a word of another version;
    /// [`Error::Model`] if the size is not the graph's.
    pub fn resolve(
        model: &str,
        input: &InputSpec,
        metadata: &dyn Fn(&str) -> Option<String>,
        options: &ModelOptions,
    ) -> Result<Self> {
        let (height, width) = input_size(model, input, metadata, options)?;
        let resize_mode = match (options.resize_mode, metadata("resize_mode")) {
            (Some(mode), _) => mode,
            (None, Some(text)) => ResizeMode::parse(&text, crop_ratio(metadata("crop_ratio"))?, None)?,
            (None, None) => ResizeMode::default(),
        };
        let normalization = match (options.normalization, metadata("normalization")) {
            (Some(given), _) => given,
            (None, Some(text)) => text.parse()?,
            (None, None) => {
                return Err(Error::Option {
                    name: "normalization",
                    expected: "tf, caffe, torch, unit, raw or (mean, std)".to_owned(),
                    found: format!("nothing: {model} does not say how its pixels are scaled"),
                });
            }
        };
        Ok(Self {
            height,
            width,
            resize_mode,
            filter: said(options.filter, metadata("filter"))?.unwrap_or_default(),
            layout: input.layout,
            color_order: said(options.color_order, metadata("color_order"))?,
            normalization,
        })
    }
}

/// The user's word, else the file's.
fn said<T: std::str::FromStr<Err = Error>>(option: Option<T>, metadata: Option<String>) -> Result<Option<T>> {
    match (option, metadata) {
        (Some(value), _) => Ok(Some(value)),
        (None, Some(text)) => text.parse().map(Some),
        (None, None) => Ok(None),
    }
}

fn crop_ratio(metadata: Option<String>) -> Result<Option<f32>> {
    let number = |text: String| {
        let found = format!("'{text}'");
        text.parse().map_err(|_| Error::Option { name: "crop_ratio", expected: "a number".to_owned(), found })
    };
    metadata.map(number).transpose()
}

fn input_size(
    model: &str,
    input: &InputSpec,
    metadata: &dyn Fn(&str) -> Option<String>,
    options: &ModelOptions,
) -> Result<(u32, u32)> {
    let given = match (options.input_size, metadata("input_size")) {
        (Some(size), _) => Some(size),
        (None, Some(text)) => Some(parse_size(&text)?),
        (None, None) => None,
    };
    let (height, width) = given.or(input.height.zip(input.width)).ok_or_else(|| Error::Option {
        name: "input_size",
        expected: "given as (height, width)".to_owned(),
        found: format!("nothing: the graph of {model} takes images of any size"),
    })?;
    if input.height.is_some_and(|h| h != height) || input.width.is_some_and(|w| w != width) {
        let side = |n: Option<u32>| n.map_or("?".to_owned(), |n| n.to_string());
        return Err(Error::Option {
            name: "input_size",
            expected: format!("({}, {}), the only size that {model} takes", side(input.height), side(input.width)),
            found: format!("({height}, {width})"),
        });
    }
    Ok((height, width))
}

/// `224` or `224x192` as (height, width).
///
/// # Errors
/// [`Error::Option`] for anything else.
pub fn parse_size(text: &str) -> Result<(u32, u32)> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height @ 1..), Ok(width @ 1..)) => Ok((height, width)),
        _ => Err(Error::Option {
            name: "input_size",
            expected: "SIZE or HEIGHTxWIDTH in pixels".to_owned(),
            found: format!("'{text}'"),
        }),
    }
}

//! The model file and the axes of its image input.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::metadata::{Metadata, Said};
use crate::tensor::Layout;
use crate::{Error, Result};

/// The name of the built-in model that needs no network: resize and flatten.
pub const PIXELS: &str = "pixels";

/// A model file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub onnx: Vec<u8>,
}

impl ModelFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if there is no such file, [`Error::Model`] if it cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let shown = || path.display().to_string();
        if !path.is_file() {
            return Err(Error::ModelNotFound { path: shown() });
        }
        let onnx = fs::read(path).map_err(|error| Error::Model { model: shown(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), onnx })
    }

    /// Its path for messages.
    #[must_use]
    pub fn shown(&self) -> String {
        self.path.display().to_string()
    }

    /// SHA-256 of its bytes in hexadecimal.
    #[must_use]
    pub fn checksum(&self) -> String {
        let digits = Sha256::digest(&self.onnx).into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
    }
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
    /// Reads the axes of `dims` (-1 for a dynamic one); the option `layout`, else the metadata, decides where the graph
    /// does not.
    ///
    /// # Errors
    /// [`Error::Model`] if this is no input for RGB images, [`Error::Option`] if `layout` is missing or not the graph's.
    pub(crate) fn from_dims(dims: &[i64], metadata: &Metadata, layout: Option<Layout>) -> Result<Self> {
        let fault = |reason: String| Error::Model { model: metadata.model().to_owned(), reason };
        if dims.is_empty() {
            let reason = "expects an image input of rank 4, but its graph leaves the rank of the input open";
            return Err(fault(reason.to_owned()));
        }
        let &[batch, a, b, c] = dims else {
            return Err(fault(format!("expects an image input of rank 4, found {}", shape_text(dims))));
        };
        let said = metadata.or_said("layout", layout, str::parse)?;
        let layout = input_layout(dims, [a, c], metadata.model(), said)?;
        let (height, width) = if layout == Layout::Nchw { (b, c) } else { (a, b) };
        Ok(Self {
            batch: usize::try_from(batch).ok().filter(|&n| n > 0),
            layout,
            height: u32::try_from(height).ok().filter(|&n| n > 0),
            width: u32::try_from(width).ok().filter(|&n| n > 0),
        })
    }

    /// The shape of a run of `n` images of (`height`, `width`).
    pub(crate) fn shape(&self, n: usize, (height, width): (u32, u32)) -> [i64; 4] {
        let (n, h, w) = (i64::try_from(n).unwrap_or(i64::MAX), i64::from(height), i64::from(width));
        match self.layout {
            Layout::Nchw => [n, 3, h, w],
            Layout::Nhwc => [n, h, w, 3],
        }
    }
}

/// Where an input of shape `dims` has its channels; `first` and `last` are its axes 1 and 3.
fn input_layout(dims: &[i64], [first, last]: [i64; 2], model: &str, said: Option<Said<Layout>>) -> Result<Layout> {
    let fits = |layout: Layout| {
        let channels = if layout == Layout::Nchw { first } else { last };
        channels == 3 || channels < 0
    };
    let shape = shape_text(dims);
    match (fits(Layout::Nchw), fits(Layout::Nhwc), said) {
        (true, _, Some(Said { value: Layout::Nchw, .. })) => Ok(Layout::Nchw),
        (_, true, Some(Said { value: Layout::Nhwc, .. })) => Ok(Layout::Nhwc),
        (true, _, None) if first == 3 => Ok(Layout::Nchw),
        (_, true, None) if last == 3 => Ok(Layout::Nhwc),
        (true, true, None) => Err(Error::Option {
            name: "layout",
            expected: "NCHW or NHWC".to_owned(),
            found: format!("nothing: the input {shape} of {model} does not tell where its channels are"),
        }),
        (nchw, nhwc, Some(said)) if nchw || nhwc => {
            let other = if nchw { Layout::Nchw } else { Layout::Nhwc };
            let expected = format!("{other}, as {model} takes {shape}");
            Err(said.origin.refuse(model, "layout", expected, said.value.to_string()))
        }
        _ => Err(Error::Model {
            model: model.to_owned(),
            reason: format!("expects an image input of 3 channels, found {shape}"),
        }),
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

//! The image input of a network: its axes, and the size of the images that it takes.

use super::metadata::{Metadata, Said};
use super::values::Element;
use crate::image::resize::{MAX_TARGET_SIDE, check_sides, no_sides};
use crate::tensor::{Layout, Normalization};
use crate::{Error, Result};

/// Most bytes of one run's input. Only a graph with a fixed batch of many large images asks for more.
const MAX_INPUT_BYTES: usize = 1 << 30;

/// The image input of a network: its axes as the graph declares them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputSpec {
    /// Images that each run must be given, if the graph fixes it.
    pub batch: Option<usize>,
    /// Position of the channels.
    pub layout: Layout,
    /// Height, if the graph fixes it.
    pub height: Option<u32>,
    /// Width, if the graph fixes it.
    pub width: Option<u32>,
    /// The type of its values.
    pub element: Element,
}

impl InputSpec {
    /// Reads the axes of `dims` (-1 for a dynamic one). Where they leave it open where the channels are, the option `layout`
    /// decides, else the metadata, else `is_channels_first`, which says whether the graph tells so.
    ///
    /// # Errors
    /// [`Error::Model`] if this is not an input for RGB images, [`Error::Option`] if `layout` is missing or not the graph's.
    pub(crate) fn from_dims(
        dims: &[i64],
        element: Element,
        metadata: &Metadata,
        layout: Option<Layout>,
        is_channels_first: impl FnOnce() -> bool,
    ) -> Result<Self> {
        let fault = |reason: String| Error::Model { model: metadata.model().to_owned(), reason };
        if dims.is_empty() {
            let reason = "expects an image input of rank 4, but its graph leaves the rank of the input open";
            return Err(fault(reason.to_owned()));
        }
        let &[batch, a, b, c] = dims else {
            return Err(fault(format!("expects an image input of rank 4, found {}", shape_text(dims))));
        };
        let said = metadata.or_said("layout", layout, str::parse)?;
        let layout = match said {
            None if a < 0 && c != 3 && is_channels_first() => Layout::Nchw,
            said => input_layout(dims, [a, c], metadata, said)?,
        };
        let (height, width) = if layout == Layout::Nchw { (b, c) } else { (a, b) };
        Ok(Self {
            batch: usize::try_from(batch).ok().filter(|&n| n > 0),
            layout,
            height: u32::try_from(height).ok().filter(|&n| n > 0),
            width: u32::try_from(width).ok().filter(|&n| n > 0),
            element,
        })
    }

    /// The normalisation that is said; of an input of levels none but `raw` is possible, which need not be said.
    ///
    /// # Errors
    /// [`Error::Option`] or [`Error::Model`], by who says it, for another one of levels.
    pub(crate) fn normalization(
        &self,
        metadata: &Metadata,
        said: Option<Said<Normalization>>,
    ) -> Result<Option<Normalization>> {
        match said {
            _ if self.element != Element::U8 => Ok(said.map(|said| said.value)),
            Some(Said { value, origin }) if value != Normalization::Raw => {
                let model = metadata.model();
                let expected = format!("raw or left out, as {model} takes levels (uint8)");
                Err(metadata.refuse(origin, "normalization", expected, value.to_string()))
            }
            _ => Ok(Some(Normalization::Raw)),
        }
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
fn input_layout(
    dims: &[i64],
    [first, last]: [i64; 2],
    metadata: &Metadata,
    said: Option<Said<Layout>>,
) -> Result<Layout> {
    let model = metadata.model();
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
        (true, true, None) => Err(Error::Required {
            name: "layout",
            expected: "NCHW or NHWC",
            reason: format!("the input {shape} of {model} does not tell where its channels are"),
        }),
        (nchw, nhwc, Some(said)) if nchw || nhwc => {
            let other = if nchw { Layout::Nchw } else { Layout::Nhwc };
            let expected = format!("{other}, as {model} takes {shape}");
            Err(metadata.refuse(said.origin, "layout", expected, said.value.to_string()))
        }
        _ => Err(Error::Model {
            model: model.to_owned(),
            reason: format!("expects an image input of 3 channels, found {shape}"),
        }),
    }
}

/// `(N, 3, 224, 224)`: a shape as people write it, `?` for a dynamic axis and N for a dynamic first one.
#[must_use]
pub(super) fn shape_text(dims: &[i64]) -> String {
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

/// (height, width) of a network's input.
///
/// # Errors
/// [`Error::Option`] if the user's size is out of its range or not the graph's; [`Error::Required`] if nobody says one;
/// [`Error::Model`] if that of the file or the graph is out of its range.
pub(crate) fn input_size(input: &InputSpec, metadata: &Metadata, user: Option<(u32, u32)>) -> Result<(u32, u32)> {
    let model = metadata.model();
    let Some(Said { value: size, origin }) = metadata.or_said("input_size", user, parse_size)? else {
        let size = input.height.zip(input.width).ok_or_else(|| Error::Required {
            name: "input_size",
            expected: "a side or (height, width)",
            reason: format!("the graph of {model} takes images of any size"),
        })?;
        let reason =
            format!("its graph takes images of {size:?} pixels; at most {MAX_TARGET_SIDE} a side are possible");
        return check_sides(size).map_err(|_| Error::Model { model: model.to_owned(), reason });
    };
    let (height, width) = check_sides(size)?;
    if input.height.is_some_and(|h| h != height) || input.width.is_some_and(|w| w != width) {
        let shown = |n: Option<u32>| n.map_or("?".to_owned(), |n| n.to_string());
        let expected = format!("({}, {}), the only size that {model} takes", shown(input.height), shown(input.width));
        return Err(metadata.refuse(origin, "input_size", expected, format!("({height}, {width})")));
    }
    Ok(size)
}

/// Values of a run of `n` images.
///
/// # Errors
/// [`Error::Model`] if they would take more than a gibibyte.
pub(crate) fn input_len(model: &str, n: usize, size: (u32, u32)) -> Result<usize> {
    let len = image_len(size).checked_mul(n);
    len.filter(|&len| len <= MAX_INPUT_BYTES / size_of::<f32>()).ok_or_else(|| Error::Model {
        model: model.to_owned(),
        reason: format!("takes {n} images of {size:?} pixels in a run; at most {MAX_INPUT_BYTES} bytes are possible"),
    })
}

/// Values of one image of (height, width).
pub(crate) fn image_len((height, width): (u32, u32)) -> usize {
    height as usize * width as usize * 3
}

/// `224` or `224x192` as (height, width).
fn parse_size(text: &str) -> Result<(u32, u32)> {
    let (height, width) = text.split_once('x').unwrap_or((text, text));
    match (height.parse(), width.parse()) {
        (Ok(height), Ok(width)) => check_sides((height, width)),
        _ => Err(no_sides(text.to_owned())),
    }
}

//! Where the pixels go: the modes as sizes, windows and offsets.

use std::ops::Range;

use super::ResizeMode;
use crate::{Error, Result};

/// An image scaled to `scaled`, of which `window` is laid at `offset` into the output. All (height, width).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub scaled: [u64; 2],
    pub window: [Range<u64>; 2],
    pub offset: [u64; 2],
}

impl Placement {
    /// The placement of an image of `input` in `output`, both (height, width) and not 0.
    pub(super) fn new(mode: ResizeMode, input: [u64; 2], output: [u64; 2]) -> Result<Self> {
        let whole = |scaled: [u64; 2]| [0..scaled[0], 0..scaled[1]];
        Ok(match mode {
            ResizeMode::Squash => Self { scaled: output, window: whole(output), offset: [0, 0] },
            ResizeMode::Letterbox { .. } => {
                let scaled = contain(input, output);
                let offset = [0, 1].map(|axis| middle(output[axis], scaled[axis]));
                Self { scaled, window: whole(scaled), offset }
            }
            ResizeMode::CenterCrop { crop_ratio } => {
                let scaled = cover(input, output, crop_ratio)?;
                let window = [0, 1].map(|axis| {
                    let start = middle(scaled[axis], output[axis]);
                    start..start + output[axis]
                });
                Self { scaled, window, offset: [0, 0] }
            }
        })
    }
}

/// Half of what is left over, rounded half to even: Python's `round`, in torchvision's `CenterCrop` as in Pillow's `pad`.
fn middle(outer: u64, inner: u64) -> u64 {
    ((outer - inner) as f64 / 2.0).round_ties_even() as u64
}

/// Pillow's `ImageOps.contain`: the largest size of the input's ratio inside the output, rounded half to even.
/// Where Pillow rounds a side down to 0 and fails, it is 1 here.
fn contain([height, width]: [u64; 2], [out_height, out_width]: [u64; 2]) -> [u64; 2] {
    let (height, width) = (height as f64, width as f64);
    let ratio = width / height;
    let out_ratio = out_width as f64 / out_height as f64;
    let rounded = |side: f64| (side.round_ties_even() as u64).max(1);
    if ratio > out_ratio {
        [rounded(height / width * out_width as f64), out_width]
    } else if ratio < out_ratio {
        [out_height, rounded(width / height * out_height as f64)]
    } else {
        [out_height, out_width]
    }
}

/// The smallest size of the input's ratio that covers output / `crop_ratio`: torchvision's `Resize` of the short side,
/// which cuts the long one down to a whole number.
fn cover([height, width]: [u64; 2], output: [u64; 2], crop_ratio: f32) -> Result<[u64; 2]> {
    if !(crop_ratio > 0.0 && crop_ratio <= 1.0) {
        return Err(Error::Option {
            name: "crop_ratio",
            expected: "over 0 and at most 1".to_owned(),
            found: crop_ratio.to_string(),
        });
    }
    let [box_height, box_width] = output.map(|side| (side as f64 / f64::from(crop_ratio)).round_ties_even() as u64);
    Ok(if width * box_height >= height * box_width {
        [box_height, box_height * width / height]
    } else {
        [box_width * height / width, box_width]
    })
}

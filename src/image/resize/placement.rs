//! Where the pixels go: the modes as sizes, windows and offsets.

use std::ops::Range;

use super::options::{ResizeMode, Rounding, Target};

/// An image scaled to `scaled`, of which `window` is laid at `offset` into the output. All (height, width).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub scaled: [u64; 2],
    pub window: [Range<u64>; 2],
    pub offset: [u64; 2],
}

impl Placement {
    /// The placement of an image of `input`, (height, width) and not 0.
    pub(super) fn new(target: &Target, input: [u64; 2]) -> Self {
        let output = target.sides();
        let sides = target.resized_sides();
        let scaled = match target.mode() {
            ResizeMode::Squash => sides,
            ResizeMode::Letterbox if target.rounding() == Rounding::Timm => keep_ratio(input, sides, f64::max),
            ResizeMode::Letterbox => contain(input, sides),
            // a square box is torchvision's there, too
            ResizeMode::CenterCrop if target.rounding() == Rounding::Timm && sides[0] != sides[1] => {
                keep_ratio(input, sides, f64::min)
            }
            ResizeMode::CenterCrop => cover(input, sides),
        };
        let [(top, above), (left, before)] = [0, 1].map(|axis| laid(target, scaled[axis], output[axis]));
        Self { scaled, window: [top, left], offset: [above, before] }
    }
}

/// What is cut out of an axis of `scaled` pixels, and where it is laid among `output` pixels: in the middle, both.
fn laid(target: &Target, scaled: u64, output: u64) -> (Range<u64>, u64) {
    if scaled >= output {
        let start = match target.rounding() {
            Rounding::Transformers => (scaled - output) / 2,
            Rounding::Torchvision | Rounding::Timm => middle(scaled, output),
        };
        return (start..start + output, 0);
    }
    let offset = match target.rounding() {
        Rounding::Transformers => (output - scaled).div_ceil(2),
        Rounding::Torchvision if target.mode() == ResizeMode::Letterbox => middle(output, scaled),
        Rounding::Torchvision | Rounding::Timm => (output - scaled) / 2,
    };
    (0..scaled, offset)
}

/// Half of what is left over, rounded half to even: Python's `round`, in torchvision's `CenterCrop` as in Pillow's `pad`.
fn middle(outer: u64, inner: u64) -> u64 {
    ((outer - inner) as f64 / 2.0).round_ties_even() as u64
}

/// timm's and `open_clip`'s `ResizeKeepRatio`: both sides over the larger or the smaller ratio, rounded half to even.
fn keep_ratio(input: [u64; 2], sides: [u64; 2], which: fn(f64, f64) -> f64) -> [u64; 2] {
    let [vertical, horizontal] = [0, 1].map(|axis| input[axis] as f64 / sides[axis] as f64);
    let ratio = which(vertical, horizontal);
    input.map(|side| ((side as f64 / ratio).round_ties_even() as u64).max(1))
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

/// The smallest size of the input's ratio that covers a box: torchvision's `Resize` of the short side, which cuts the long
/// one down to a whole number.
fn cover([height, width]: [u64; 2], [box_height, box_width]: [u64; 2]) -> [u64; 2] {
    if width * box_height >= height * box_width {
        [box_height, box_height * width / height]
    } else {
        [box_width * height / width, box_width]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::image::resize::{Filter, MAX_SIDE, MAX_TARGET_SIDE, MIN_CROP_RATIO, ResizeOptions};

    /// Sides from 1 to `limit`, small ones as often as large ones.
    fn sides(limit: u32) -> impl Strategy<Value = [u64; 2]> {
        let side = || prop_oneof![1..=u64::from(limit), 1..=64_u64, Just(1), Just(u64::from(limit))];
        [side(), side()]
    }

    fn options() -> impl Strategy<Value = ResizeOptions> {
        let modes = [ResizeMode::Squash, ResizeMode::CenterCrop, ResizeMode::Letterbox];
        let roundings = [Rounding::Torchvision, Rounding::Transformers, Rounding::Timm];
        let ratio = prop_oneof![MIN_CROP_RATIO..=1.0_f32, Just(MIN_CROP_RATIO), Just(1.0)];
        let resized = prop::option::of(sides(MAX_TARGET_SIDE));
        let words = (prop::sample::select(modes.to_vec()), prop::sample::select(roundings.to_vec()));
        (sides(MAX_TARGET_SIDE), resized, words, ratio).prop_map(
            |([height, width], resized, (mode, rounding), crop_ratio)| {
                let size = ResizeOptions::new(height as u32, width as u32);
                let resize_size = resized.map(|[height, width]| (height as u32, width as u32));
                ResizeOptions { mode, resize_size, rounding, crop_ratio, filter: Filter::Nearest, ..size }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn windows_lie_in_the_scaled_image_and_offsets_on_the_canvas(input in sides(MAX_SIDE), options in options()) {
            let target = options.check().unwrap();
            let output = target.sides();
            let Placement { scaled, window, offset } = Placement::new(&target, input);
            for axis in [0, 1] {
                prop_assert!(scaled[axis] >= 1);
                prop_assert!(window[axis].start < window[axis].end && window[axis].end <= scaled[axis]);
                let length = window[axis].end - window[axis].start;
                prop_assert!(offset[axis] + length <= output[axis]);
                // a rest to fill is left by a letterbox, and where the image is smaller than what is cut out of it
                let may_be_less = options.mode == ResizeMode::Letterbox || options.resize_size.is_some();
                prop_assert!(length == output[axis] || may_be_less);
                prop_assert!(length == output[axis] || length == scaled[axis]);
            }
        }

        #[test]
        fn the_ratio_is_kept_but_for_rounding(input in sides(MAX_SIDE), options in options()) {
            let target = options.check().unwrap();
            let Placement { scaled, .. } = Placement::new(&target, input);
            // one side is exact, the other at most one pixel off: cut down, rounded, or 1 in place of 0
            let off = |axis: usize| {
                let exact = scaled[1 - axis] as f64 * input[axis] as f64 / input[1 - axis] as f64;
                (scaled[axis] as f64 - exact).abs()
            };
            prop_assert!(options.mode == ResizeMode::Squash || off(0).min(off(1)) <= 1.0);
        }

        #[test]
        fn a_centre_lies_in_the_middle(input in sides(MAX_SIDE), options in options()) {
            let target = options.check().unwrap();
            let Placement { scaled, window, offset } = Placement::new(&target, input);
            for axis in [0, 1] {
                let left = offset[axis] + window[axis].start;
                let right = target.sides()[axis] - offset[axis] + scaled[axis] - window[axis].end;
                let right = right - (window[axis].end - window[axis].start);
                prop_assert!(left.abs_diff(right) <= 1);
            }
        }
    }
}

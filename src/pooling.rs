//! A feature map to one vector.

use std::fmt;
use std::str::FromStr;

use crate::tensor::Layout;
use crate::{Error, Result, parse};

/// How a feature map (N, C, H, W) or (N, H, W, C) becomes one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over H and W: C values.
    #[default]
    Avg,
    /// Largest over H and W: C values.
    Max,
    /// All values in the graph's own order.
    Flatten,
}

const NAMES: [(&str, Pooling); 3] = [("avg", Pooling::Avg), ("max", Pooling::Max), ("flatten", Pooling::Flatten)];

impl FromStr for Pooling {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        parse::choice("pooling", &NAMES, text)
    }
}

impl fmt::Display for Pooling {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(parse::name_of(&NAMES, self).unwrap_or_default())
    }
}

/// Appends one value per channel of a map (C, H, W) or (H, W, C).
pub(crate) fn pool(map: &[f32], channels: usize, layout: Layout, pooling: Pooling, out: &mut Vec<f32>) {
    let area = map.len() / channels;
    let at = |channel: usize, position: usize| match layout {
        Layout::Nchw => map[channel * area + position],
        Layout::Nhwc => map[position * channels + channel],
    };
    let count = area as f32;
    out.extend((0..channels).map(|channel| {
        let positions = (0..area).map(|position| at(channel, position));
        match pooling {
            Pooling::Max => positions.fold(f32::NEG_INFINITY, f32::max),
            _ => positions.sum::<f32>() / count,
        }
    }));
}

//! A feature map, or the tokens of a transformer, to one vector.

use std::fmt;
use std::str::FromStr;

use crate::tensor::Layout;
use crate::{Error, Result, parse};

/// How a feature map (N, C, H, W) or (N, H, W, C), or tokens (N, T, D), become one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooling {
    /// Mean over H and W: C values. Of tokens the mean of all: D values.
    #[default]
    Avg,
    /// Largest over H and W: C values. Of tokens the largest over all: D values.
    Max,
    /// All values in the graph's own order.
    Flatten,
    /// The first token, the class: D values.
    Cls,
    /// The mean of the tokens that are patches of the image, without class and registers: D values.
    MeanTokens,
}

const NAMES: [(&str, Pooling); 5] = [
    ("avg", Pooling::Avg),
    ("max", Pooling::Max),
    ("flatten", Pooling::Flatten),
    ("cls", Pooling::Cls),
    ("mean_tokens", Pooling::MeanTokens),
];

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

/// Divides `vector` by its Euclidean norm, which is summed in f64; a zero vector stays zero.
pub(crate) fn l2_normalize(vector: &mut [f32]) {
    let norm = vector.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt();
    if norm > 0.0 {
        for value in vector {
            *value = (f64::from(*value) / norm) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_length_one_however_small_or_large_and_zero_stays() {
        for scale in [1e-37, 1.0, 1e37] {
            let mut vector = [3.0 * scale, 0.0, -2.0 * scale, 6.0 * scale].map(|value: f64| value as f32 / 3.0);
            l2_normalize(&mut vector);
            let expected = [3.0, 0.0, -2.0, 6.0].map(|value| value / 7.0);
            assert!(
                vector.iter().zip(expected).all(|(found, value): (_, f32)| (found - value).abs() < 1e-6),
                "{vector:?}"
            );
        }
        let mut zero = [0.0; 3];
        l2_normalize(&mut zero);
        assert!(zero.iter().all(|value| value.to_bits() == 0));
    }
}

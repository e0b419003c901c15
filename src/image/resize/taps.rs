//! What each output position of an axis is made of.

use std::ops::Range;

use super::filter::Filter;

/// Bits behind the point of a weight: 32 less 8 for a level and 2 for sums outside 0..=255 (Pillow's `PRECISION_BITS`).
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// Output positions that are added up under [`Filter::Nearest`]: some 20 ms of additions.
const MAX_ADDED: u64 = 1 << 24;

/// One axis of a resize: `input` pixels scaled to `scaled`, of which `window` is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Axis {
    pub input: usize,
    pub scaled: u64,
    pub window: Range<u64>,
    pub filter: Filter,
}

impl Axis {
    /// Whether the input is the output.
    pub(super) fn is_identity(&self) -> bool {
        self.window == (0..self.input as u64) && self.scaled == self.input as u64
    }

    fn scale(&self) -> f64 {
        self.input as f64 / self.scaled as f64
    }

    /// The input position of each wanted output position under [`Filter::Nearest`].
    ///
    /// Pillow adds the step up in f64 instead of multiplying; the sum decides ties, so it is done alike. Where the window
    /// begins so far out that Pillow could not hold the scaled image, its start is a product: a strip scaled up to
    /// 2^36 pixels would be added up for minutes.
    pub(super) fn nearest(&self) -> Vec<usize> {
        let step = self.scale();
        let first = if self.window.start > MAX_ADDED { self.window.start } else { 0 };
        let mut at = step * (first as f64 + 0.5);
        let mut positions = Vec::with_capacity((self.window.end - self.window.start) as usize);
        for output in first..self.window.end {
            if output >= self.window.start {
                positions.push((at as usize).min(self.input - 1));
            }
            at += step;
        }
        positions
    }
}

/// What each wanted output position is made of: `count` neighbouring input positions, each with its weight.
#[derive(Debug)]
pub(super) struct Taps {
    /// Input positions per output position, the same for all: shorter ones are filled up with weights of 0.
    pub count: usize,
    starts: Vec<usize>,
    /// (outputs, count), [`PRECISION`] bits behind the point.
    weights: Vec<i32>,
}

impl Taps {
    /// Pillow's `precompute_coeffs` and `normalize_coeffs_8bpc`.
    pub(super) fn new(axis: &Axis) -> Self {
        let filter_scale = axis.scale().max(1.0);
        let support = axis.filter.support() * filter_scale;
        let spans: Vec<Range<usize>> = axis.window.clone().map(|output| span(axis, output, support)).collect();
        let count = spans.iter().map(Range::len).max().unwrap_or(1);
        let mut starts = Vec::with_capacity(spans.len());
        let mut weights = vec![0; spans.len() * count];
        let mut exact = Vec::with_capacity(count);
        for ((output, span), weights) in axis.window.clone().zip(spans).zip(weights.chunks_exact_mut(count)) {
            let center = (output as f64 + 0.5) * axis.scale();
            exact.clear();
            exact.extend(span.clone().map(|x| axis.filter.weight((x as f64 - center + 0.5) * (1.0 / filter_scale))));
            let sum = exact.iter().sum::<f64>();
            // moved left at the right border, so that all `count` positions are inside the image
            let start = span.start.min(axis.input - count);
            for (weight, exact) in weights[span.start - start..].iter_mut().zip(&exact) {
                *weight = fixed(if sum == 0.0 { *exact } else { exact / sum });
            }
            starts.push(start);
        }
        Self { count, starts, weights }
    }

    /// Number of output positions.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The first input position and the weights of each output position.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = (usize, &[i32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.count))
    }
}

/// The input positions under the filter, its ends rounded as Pillow rounds them (towards 0 after adding a half).
fn span(axis: &Axis, output: u64, support: f64) -> Range<usize> {
    let center = (output as f64 + 0.5) * axis.scale();
    let start = (center - support + 0.5).max(0.0) as usize;
    let end = ((center + support + 0.5) as usize).min(axis.input);
    start..end
}

/// Rounded half away from zero.
fn fixed(weight: f64) -> i32 {
    let scaled = weight * f64::from(1 << PRECISION);
    (if weight < 0.0 { scaled - 0.5 } else { scaled + 0.5 }) as i32
}

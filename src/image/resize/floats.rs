//! A resize in float32, as torchvision's antialiased resize of float tensors (`torch.nn.functional.interpolate` on a CPU): a horizontal
//! pass, then a vertical one, nothing rounded to levels.

use std::collections::VecDeque;

use super::filter::Filter;
use super::passes::RGB;
use super::taps::Axis;

/// Resizes rows of RGB of `horizontal.input` pixels.
///
/// # Shapes
/// (vertical.input, horizontal.input, 3) u8 to the two windows, (h, w, 3) f32.
pub(super) fn scale(pixels: &[u8], horizontal: &Axis, vertical: &Axis) -> Vec<f32> {
    let (columns, rows) = (FloatTaps::new(horizontal), FloatTaps::new(vertical));
    let (row_in, row_out) = (horizontal.input * RGB, columns.starts.len() * RGB);
    let mut out = vec![0.0; rows.starts.len() * row_out];
    // the rows of the first pass that an output row is made of, from row `first` on
    let (mut kept, mut first): (VecDeque<Vec<f32>>, usize) = (VecDeque::new(), 0);
    for (out, (start, weights)) in out.chunks_exact_mut(row_out).zip(rows.iter()) {
        let mut spare = Vec::new();
        while first < start {
            spare.extend(kept.pop_front());
            first += 1;
        }
        for row in first + kept.len()..start + weights.len() {
            let mut resized = spare.pop().unwrap_or_else(|| vec![0.0; row_out]);
            columns.apply(&pixels[row * row_in..][..row_in], &mut resized);
            kept.push_back(resized);
        }
        for (row, weight) in kept.iter().zip(weights) {
            for (out, value) in out.iter_mut().zip(row) {
                *out += value * weight;
            }
        }
    }
    out
}

/// What each wanted output position is made of: `count` neighbouring input positions, each with its weight.
struct FloatTaps {
    count: usize,
    starts: Vec<usize>,
    /// (outputs, count)
    weights: Vec<f32>,
}

impl FloatTaps {
    /// torch's `_compute_indices_min_size_weights_aa`, in float32 where that computes in float32: in a photo 4,000 pixels wide its
    /// rounding moves the centres by 1e-4 of a pixel, which shows.
    fn new(axis: &Axis) -> Self {
        let scale = axis.input as f32 / axis.scaled as f32;
        let support = axis.filter.support() as f32 * scale.max(1.0);
        let inverse = if scale >= 1.0 { (1.0 / f64::from(scale)) as f32 } else { 1.0 };
        let mut exact = Vec::new();
        for output in axis.window.clone() {
            let center = (f64::from(scale) * (output as f64 + 0.5)) as f32;
            let start = (f64::from(center - support) + 0.5).max(0.0) as usize;
            let end = ((f64::from(center + support) + 0.5) as usize).min(axis.input);
            let mut weights: Vec<f32> = (start..end)
                .map(|x| weight(axis.filter, ((f64::from(x as f32 - center) + 0.5) * f64::from(inverse)) as f32))
                .collect();
            let sum: f32 = weights.iter().sum();
            if sum != 0.0 {
                for weight in &mut weights {
                    *weight /= sum;
                }
            }
            exact.push((start, weights));
        }
        let count = exact.iter().map(|(_, weights)| weights.len()).max().unwrap_or(1);
        let mut found = Self { count, starts: Vec::new(), weights: vec![0.0; exact.len() * count] };
        for ((start, exact), weights) in exact.into_iter().zip(found.weights.chunks_exact_mut(count)) {
            // moved left at the right border, so that all `count` positions are inside the image
            let moved = start.min(axis.input - count);
            weights[start - moved..][..exact.len()].copy_from_slice(&exact);
            found.starts.push(moved);
        }
        found
    }

    /// The first input position and the weights of each output position.
    fn iter(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts.iter().copied().zip(self.weights.chunks_exact(self.count))
    }

    /// The horizontal pass of one row.
    fn apply(&self, row: &[u8], out: &mut [f32]) {
        let pixels = row.as_chunks::<RGB>().0;
        for (out, (start, weights)) in out.as_chunks_mut::<RGB>().0.iter_mut().zip(self.iter()) {
            let mut sum = [0.0; RGB];
            for (pixel, weight) in pixels[start..].iter().zip(weights) {
                for (sum, level) in sum.iter_mut().zip(pixel) {
                    *sum += f32::from(*level) * weight;
                }
            }
            *out = sum;
        }
    }
}

/// The weight at distance `x`, in torch's order of operations; a checked target has no other filter than these.
fn weight(filter: Filter, x: f32) -> f32 {
    let x = x.abs();
    match filter {
        Filter::Bicubic if x < 1.0 => ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1.0,
        Filter::Bicubic if x < 2.0 => ((-0.5 * x - 5.0 * -0.5) * x + 8.0 * -0.5) * x - 4.0 * -0.5,
        Filter::Bicubic => 0.0,
        _ => (1.0 - x).max(0.0),
    }
}

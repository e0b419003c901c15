//! Rows of f32 or f64 to centred blocks of f64, the form in which every product of the PCA is taken.

use std::mem::take;
use std::ops::Range;

use super::bytes::MAX_COUNT;
use crate::{Error, Result};

/// A value of a features column: f32 or f64.
pub trait Real: Copy + Send + Sync + 'static {
    /// The same value, exactly.
    fn widen(self) -> f64;
    /// The nearest value of this type.
    fn narrow(value: f64) -> Self;
    /// Adds one row to rows kept.
    fn store(row: &[Self], rows: &mut Rows);
}

impl Real for f32 {
    fn widen(self) -> f64 {
        f64::from(self)
    }

    #[allow(clippy::cast_possible_truncation)] // rounding to f32 is what is requested
    fn narrow(value: f64) -> Self {
        value as Self
    }

    fn store(row: &[Self], rows: &mut Rows) {
        match rows {
            Rows::F32(values) => values.extend_from_slice(row),
            Rows::F64(values) => values.extend(row.iter().map(|&value| f64::from(value))),
        }
    }
}

impl Real for f64 {
    fn widen(self) -> f64 {
        self
    }

    fn narrow(value: f64) -> Self {
        value
    }

    fn store(row: &[Self], rows: &mut Rows) {
        let mut values = match take(rows) {
            Rows::F32(values) => values.into_iter().map(f64::from).collect(),
            Rows::F64(values) => values,
        };
        values.extend_from_slice(row);
        *rows = Rows::F64(values);
    }
}

/// The number of samples as a divisor.
#[allow(clippy::cast_precision_loss)] // exact up to 2^53 rows
pub(crate) fn divisor(n: u64) -> f64 {
    n as f64
}

/// Rows kept as they came, (n, D) row by row: f32 takes half the memory and is exact.
#[derive(Clone, Debug, PartialEq)]
pub enum Rows {
    /// All rows came as f32.
    F32(Vec<f32>),
    /// At least one row came as f64.
    F64(Vec<f64>),
}

impl Default for Rows {
    fn default() -> Self {
        Self::F32(Vec::new())
    }
}

impl Rows {
    /// n x D.
    pub(crate) fn n_values(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::F64(values) => values.len(),
        }
    }

    /// Adds the rows of `other` behind these.
    pub(crate) fn append(&mut self, other: &Self) {
        match other {
            Self::F32(values) => f32::store(values, self),
            Self::F64(values) => f64::store(values, self),
        }
    }

    /// Some rows, some features, minus their mean over these rows.
    pub(crate) fn centred(&self, n_features: usize, rows: Range<usize>, features: Range<usize>) -> Block {
        let values = rows.start * n_features..rows.end * n_features;
        match self {
            Self::F32(kept) => Block::centred(&kept[values], n_features, features),
            Self::F64(kept) => Block::centred(&kept[values], n_features, features),
        }
    }
}

/// Centred rows: `values` (n, d) row by row, each column summing to 0, and the `mean` (d) that was taken off.
pub(crate) struct Block {
    pub n: usize,
    pub values: Vec<f64>,
    pub mean: Vec<f64>,
}

impl Block {
    /// Takes the first row off before the mean is summed: a constant column then has a mean without rounding and exact
    /// zeros, and the sum of the others loses no digits to a large offset.
    fn centred<T: Real>(rows: &[T], n_features: usize, features: Range<usize>) -> Self {
        let width = features.len();
        let n = rows.len() / n_features;
        let first: Vec<f64> = rows[features.clone()].iter().map(|value| value.widen()).collect();
        let mut values = Vec::with_capacity((n + 1) * width); // one more: `Scatter::absorb` adds a row
        values.resize(n * width, 0.0);
        let mut offset = vec![0.0; width];
        for (out, row) in values.chunks_exact_mut(width).zip(rows.chunks_exact(n_features)) {
            for (((out, value), first), offset) in
                out.iter_mut().zip(&row[features.clone()]).zip(&first).zip(&mut offset)
            {
                *out = value.widen() - first;
                *offset += *out;
            }
        }
        for offset in &mut offset {
            *offset /= divisor(n as u64);
        }
        for out in values.chunks_exact_mut(width) {
            for (out, offset) in out.iter_mut().zip(&offset) {
                *out -= offset;
            }
        }
        let mean = first.iter().zip(&offset).map(|(first, offset)| first + offset).collect();
        Self { n, values, mean }
    }

    /// Divides each column by its sample standard deviation (n - 1), a constant column by infinity, and returns the
    /// deviations.
    pub(crate) fn standardize(&mut self) -> Vec<f64> {
        let width = self.mean.len();
        let mut scale = vec![0.0; width];
        for row in self.values.chunks_exact(width) {
            for (scale, value) in scale.iter_mut().zip(row) {
                *scale += value * value;
            }
        }
        for scale in &mut scale {
            *scale = (*scale / divisor(self.n.max(2) as u64 - 1)).sqrt();
        }
        let factors: Vec<f64> = scale.iter().map(|&scale| reciprocal(scale)).collect();
        for row in self.values.chunks_exact_mut(width) {
            for (value, factor) in row.iter_mut().zip(&factors) {
                *value *= factor;
            }
        }
        scale
    }
}

/// 1 / scale, and 0 for a column of no variance: Spark's `StandardScaler` maps it to 0.
pub(crate) fn reciprocal(scale: f64) -> f64 {
    if scale > 0.0 { 1.0 / scale } else { 0.0 }
}

/// Chan's update: what to add to a mean over `n` rows when `m` rows of mean `other` join, and the row r whose product
/// r r^T makes up for the distance of the two means in the scatter.
/// T. F. Chan, G. H. Golub, R. J. LeVeque, "Updating Formulae and a Pairwise Algorithm for Computing Sample
/// Variances", 1979, eq. 2.1.
pub(crate) fn join_means(n: u64, mean: &mut [f64], m: u64, other: &[f64]) -> Vec<f64> {
    let all = divisor(n + m);
    let weight = (divisor(n) * (divisor(m) / all)).sqrt();
    let share = divisor(m) / all;
    mean.iter_mut()
        .zip(other)
        .map(|(mean, other)| {
            let distance = other - *mean;
            *mean += distance * share;
            distance * weight
        })
        .collect()
}

/// The sum of two counts of rows.
///
/// # Errors
/// [`Error::Pca`] if it is over [`MAX_COUNT`].
pub(crate) fn join_counts(n: u64, m: u64) -> Result<u64> {
    n.checked_add(m)
        .filter(|&all| all <= MAX_COUNT)
        .ok_or_else(|| Error::Pca { reason: format!("{n} and {m} rows together are over the limit of {MAX_COUNT}") })
}

/// Which rows are left out rather than an error.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Skip {
    /// None.
    Nothing,
    /// Null rows.
    Nulls,
    /// All that cannot be used.
    Invalid,
}

impl Skip {
    pub(crate) fn invalid(skip: bool, otherwise: Self) -> Self {
        if skip { Self::Invalid } else { otherwise }
    }
}

/// The rows that can be used: not null, of one length (`n_features`, or the first row's where that is 0), finite. In
/// the place of the others `None`.
///
/// # Errors
/// The first row that cannot be used and is not to skip: [`Error::Null`], [`Error::Shape`] or [`Error::NonFinite`].
pub(crate) fn valid_rows<'a, T: Real>(
    rows: &[Option<&'a [T]>],
    n_features: usize,
    skip: Skip,
) -> Result<Vec<Option<&'a [T]>>> {
    let mut width = n_features;
    rows.iter()
        .enumerate()
        .map(|(index, &row)| match check(index, row, width) {
            Ok(row) => {
                width = row.len();
                Ok(Some(row))
            }
            Err(_) if skip == Skip::Invalid || (skip == Skip::Nulls && row.is_none()) => Ok(None),
            Err(error) => Err(error),
        })
        .collect()
}

fn check<T: Real>(index: usize, row: Option<&[T]>, width: usize) -> Result<&[T]> {
    let row = row.ok_or(Error::Null { row: index })?;
    if row.is_empty() || (width != 0 && row.len() != width) {
        let expected = if width == 0 { "at least one feature".to_owned() } else { format!("{width} features") };
        return Err(Error::Shape { expected, found: format!("{} in row {index}", row.len()) });
    }
    // No early exit: this way the loop is vectorised.
    if row.iter().fold(true, |finite, value| finite & value.widen().is_finite()) {
        return Ok(row);
    }
    let feature = row.iter().take_while(|value| value.widen().is_finite()).count();
    Err(Error::NonFinite { row: index, feature })
}

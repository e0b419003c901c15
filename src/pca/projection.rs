//! Rows onto the components and back.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Par};

use super::block::{Real, Skip, reciprocal, valid_rows};
use super::model::Pca;
use crate::Result;

/// Bytes of rows in f64 per product: they stay in the cache.
const BLOCK_BYTES: usize = 2 << 20;

/// Rows per product at most.
const BLOCK_ROWS: usize = 256;

/// A fitted PCA made ready to project rows. Products in f64, one thread.
#[derive(Clone, Debug)]
pub struct Projection {
    mean: Vec<f64>,
    /// (D, k): components over scale.
    weights: Mat<f64>,
    /// What each centred coordinate (k) is divided by: 1, or the standard deviation if whitened.
    spread: Vec<f64>,
    /// What is added to each centred coordinate (k): 0, or the coordinates of the mean.
    offset: Vec<f64>,
    /// 1 / scale (D), where the rows are standardised.
    factors: Option<Vec<f64>>,
}

/// Projected rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Projected<T> {
    /// (N, k) row by row; zeros where the row is not valid.
    pub values: Vec<T>,
    /// Per row (N): whether it could be projected.
    pub valid: Vec<bool>,
}

impl Projection {
    /// `center` takes the mean off first (scikit-learn); without, rows are projected as they are (Spark). `whiten`
    /// divides each coordinate by the standard deviation along its component; by infinity where that is 0.
    #[must_use]
    pub fn new(pca: &Pca, center: bool, whiten: bool) -> Self {
        let components = pca.components();
        let (k, n_features) = components.dim();
        let factors: Option<Vec<f64>> = pca.scale().map(|scale| scale.iter().map(|&s| reciprocal(s)).collect());
        let factor = |j: usize| factors.as_ref().map_or(1.0, |factors| factors[j]);
        let weights = Mat::from_fn(n_features, k, |j, i| components[(i, j)] * factor(j));
        let mean = pca.mean().to_vec();
        let offset = (0..k)
            .map(|i| if center { 0.0 } else { weights.col_as_slice(i).iter().zip(&mean).map(|(w, m)| w * m).sum() });
        let spread = pca.explained_variance().iter().map(|variance| if whiten { variance.sqrt() } else { 1.0 });
        Self { offset: offset.collect(), spread: spread.collect(), mean, weights, factors }
    }

    /// D.
    #[must_use]
    pub fn n_features(&self) -> usize {
        self.weights.nrows()
    }

    /// k.
    #[must_use]
    pub fn n_components(&self) -> usize {
        self.weights.ncols()
    }

    /// Projects rows of D features each. `None` is a null row and stays one. A row that cannot be used otherwise (of
    /// another length, with a NaN or an infinity) is an error; with `skip_invalid` it becomes a null row.
    ///
    /// # Errors
    /// [`crate::Error::Shape`] or [`crate::Error::NonFinite`] for the first row that cannot be used.
    ///
    /// ```
    /// use sparkcider::pca::{Keep, Moments, Pca, Projection};
    ///
    /// let mut moments = Moments::new();
    /// moments.update(&[Some([0.0, 0.0].as_slice()), Some(&[3.0, 4.0])], false)?;
    /// let pca = Pca::fit(&moments, Keep::Components(1), false, None)?;
    /// let projected = Projection::new(&pca, true, false).project(&[Some([3.0, 4.0].as_slice()), None], true)?;
    /// assert!((projected.values[0] - 2.5_f64).abs() < 1e-12); // half of the distance between the two rows
    /// assert_eq!(projected.valid, [true, false]);
    /// # Ok::<(), sparkcider::Error>(())
    /// ```
    pub fn project<T: Real>(&self, rows: &[Option<&[T]>], skip_invalid: bool) -> Result<Projected<T>> {
        let k = self.n_components();
        let rows = valid_rows(rows, self.n_features(), Skip::invalid(skip_invalid, Skip::Nulls))?;
        let mut projected =
            Projected { values: Vec::with_capacity(rows.len() * k), valid: rows.iter().map(Option::is_some).collect() };
        for rows in rows.chunks(block_rows(self.n_features())) {
            let block = self.centred(rows);
            let coordinates = product(&block, rows.len(), self.weights.as_ref());
            for (coordinates, row) in coordinates.chunks_exact(k).zip(rows) {
                let outputs = coordinates.iter().zip(&self.offset).zip(&self.spread);
                projected.values.extend(outputs.map(|((coordinate, offset), &spread)| {
                    T::narrow(if row.is_some() { (coordinate + offset) * reciprocal(spread) } else { 0.0 })
                }));
            }
        }
        Ok(projected)
    }

    /// Per row (N) the distance between the centred (standardised) row and its part in the components: the length of what
    /// is left when that part is taken off. `None` for a null row; rows that cannot be used are as in
    /// [`Projection::project`].
    ///
    /// # Errors
    /// As [`Projection::project`].
    pub fn reconstruction_error<T: Real>(&self, rows: &[Option<&[T]>], skip_invalid: bool) -> Result<Vec<Option<T>>> {
        let rows = valid_rows(rows, self.n_features(), Skip::invalid(skip_invalid, Skip::Nulls))?;
        let mut errors = Vec::with_capacity(rows.len());
        for rows in rows.chunks(block_rows(self.n_features())) {
            let block = self.centred(rows);
            let coordinates = product(&block, rows.len(), self.weights.as_ref());
            let parts = product(&coordinates, rows.len(), self.weights.transpose());
            let pairs = block.chunks_exact(self.n_features()).zip(parts.chunks_exact(self.n_features()));
            errors.extend(pairs.zip(rows).map(|((features, part), row)| {
                let left = features.iter().zip(part).enumerate().map(|(j, (value, part))| {
                    let (factor, scale) = self.factors.as_ref().map_or((1.0, 1.0), |f| (f[j], reciprocal(f[j])));
                    value * factor - part * scale // weights are components over scale
                });
                row.map(|_| T::narrow(left.map(|value| value * value).sum::<f64>().sqrt()))
            }));
        }
        Ok(errors)
    }

    /// Takes projected rows (k each) back to features (N, D); what the components do not span is lost. Null rows and
    /// rows that cannot be used are as in [`Projection::project`].
    ///
    /// # Errors
    /// As [`Projection::project`].
    pub fn invert<T: Real>(&self, rows: &[Option<&[T]>], skip_invalid: bool) -> Result<(Vec<T>, Vec<bool>)> {
        let (k, n_features) = (self.n_components(), self.n_features());
        let rows = valid_rows(rows, k, Skip::invalid(skip_invalid, Skip::Nulls))?;
        let mut values = Vec::with_capacity(rows.len() * n_features);
        for rows in rows.chunks(block_rows(n_features)) {
            let mut block = vec![0.0; rows.len() * k];
            for (out, row) in block.chunks_exact_mut(k).zip(rows) {
                let parts = row.unwrap_or_default().iter().zip(&self.spread).zip(&self.offset);
                for (out, ((value, &spread), offset)) in out.iter_mut().zip(parts) {
                    *out = if spread > 0.0 { value.widen() * spread - offset } else { 0.0 };
                }
            }
            let features = product(&block, rows.len(), self.weights.transpose());
            for (features, row) in features.chunks_exact(n_features).zip(rows) {
                let outputs =
                    features.iter().zip(&self.mean).enumerate().map(|(j, (f, mean))| f * self.square_scale(j) + mean);
                values.extend(outputs.map(|value| T::narrow(if row.is_some() { value } else { 0.0 })));
            }
        }
        Ok((values, rows.iter().map(Option::is_some).collect()))
    }

    /// Rows minus mean (n, D), row by row; zeros for a null row.
    fn centred<T: Real>(&self, rows: &[Option<&[T]>]) -> Vec<f64> {
        let mut block = vec![0.0; rows.len() * self.n_features()];
        for (out, row) in block.chunks_exact_mut(self.n_features()).zip(rows) {
            for ((out, value), mean) in out.iter_mut().zip(row.unwrap_or_default()).zip(&self.mean) {
                *out = value.widen() - mean;
            }
        }
        block
    }

    /// Weights are components over scale: times scale^2 they are components times scale.
    fn square_scale(&self, feature: usize) -> f64 {
        self.factors.as_ref().map_or(1.0, |factors| reciprocal(factors[feature]).powi(2))
    }
}

fn block_rows(n_features: usize) -> usize {
    (BLOCK_BYTES / 8 / n_features.max(1)).clamp(1, BLOCK_ROWS)
}

/// Rows (n, d) row by row times a matrix (d, m), row by row.
fn product(rows: &[f64], n: usize, matrix: MatRef<'_, f64>) -> Vec<f64> {
    let mut out = vec![0.0; n * matrix.ncols()];
    let rows = MatRef::from_row_major_slice(rows, n, matrix.nrows());
    let to = MatMut::from_row_major_slice_mut(&mut out, n, matrix.ncols());
    matmul(to, Accum::Replace, rows, matrix, 1.0, Par::Seq);
    out
}

//! Few rows: the N x N products of the rows have the eigenvalues of the scatter, and lead to its eigenvectors.

use std::ops::Range;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par};

use super::eigen::Eigen;
use super::solution::{Solution, Spectrum, rows_of};
use crate::Result;
use crate::pca::block::{Block, Rows};
use crate::pca::limits::{Keep, check_range};
use crate::pca::scatter::add_products;

/// Features per step: N x 2,048 f64 are 64 MiB at the largest N.
const STEP: usize = 2_048;

/// With X (N, D) centred: X X^T = U L U^T, and the components are the columns of X^T U L^-1/2.
///
/// # Errors
/// [`crate::Error::Pca`] if products overflow or underflow f64.
pub(crate) fn solve(rows: &Rows, n_features: usize, keep: Keep, standardize: bool) -> Result<Solution> {
    let n = rows.n_values() / n_features;
    let mut mean = Vec::with_capacity(n_features);
    let mut scale = standardize.then(|| Vec::with_capacity(n_features));
    let mut products = Mat::zeros(n, n);
    for features in steps(n_features) {
        let (block, deviations) = block(rows, n_features, features, standardize);
        let values = MatRef::from_row_major_slice(&block.values, n, block.mean.len());
        add_products(&mut products, values.transpose(), Par::rayon(0));
        mean.extend(block.mean);
        if let Some(scale) = &mut scale {
            scale.extend(deviations);
        }
    }
    let total = match &scale {
        None => products.diagonal().column_vector().sum(),
        Some(scale) => scale.iter().map(|deviation| deviation * deviation).sum(),
    };
    check_range(&mean, total)?;
    let eigen = Eigen::of(products)?;
    let spectrum = Spectrum::exact(&eigen.values, n as u64)?;
    let m = spectrum.components_to(keep).min(spectrum.rank());
    let mut weights = eigen.leading(m);
    for (j, value) in spectrum.eigenvalues[..m].iter().enumerate() {
        weights.col_as_slice_mut(j).iter_mut().for_each(|weight| *weight /= value.sqrt());
    }
    let mut columns = Mat::zeros(n_features, m);
    for features in steps(n_features) {
        let (block, _) = block(rows, n_features, features.clone(), standardize);
        let values = MatRef::from_row_major_slice(&block.values, n, features.len());
        let part = columns.subrows_mut(features.start, features.len());
        matmul(part, Accum::Replace, values.transpose(), weights.as_ref(), 1.0, Par::rayon(0));
    }
    // Rounding tilts the components of small eigenvalues against those of large ones; the first stay as they are.
    let components = rows_of(columns.qr().compute_thin_Q().as_ref());
    Ok(Solution { mean, scale, spectrum, components })
}

fn steps(n_features: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n_features).step_by(STEP).map(move |start| start..n_features.min(start + STEP))
}

/// Some features of all rows, centred, standardised if asked (with the deviations).
fn block(rows: &Rows, n_features: usize, features: Range<usize>, standardize: bool) -> (Block, Vec<f64>) {
    let mut block = rows.centred(n_features, 0..rows.n_values() / n_features, features);
    let deviations = if standardize { block.standardize() } else { Vec::new() };
    (block, deviations)
}

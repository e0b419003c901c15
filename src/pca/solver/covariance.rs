//! Few features: the eigen-decomposition of the D x D scatter.

use super::eigen::Eigen;
use super::solution::{Solution, Spectrum, rows_of};
use crate::Result;
use crate::pca::limits::{Keep, check_range};
use crate::pca::scatter::Scatter;

/// Eigenvalues and eigenvectors of the scatter, of the standardised columns if asked.
///
/// # Errors
/// [`crate::Error::Pca`] if products overflow or underflow f64.
pub(crate) fn solve(mut scatter: Scatter, keep: Keep, standardize: bool) -> Result<Solution> {
    check_range(&scatter.mean, scatter.total())?;
    let scale = standardize.then(|| scatter.standardize());
    let eigen = Eigen::of(scatter.products)?;
    let spectrum = Spectrum::exact(&eigen.values, scatter.count)?;
    let m = spectrum.components_to(keep).min(spectrum.rank());
    let components = rows_of(eigen.leading(m).as_ref());
    Ok(Solution { mean: scatter.mean, scale, spectrum, components })
}

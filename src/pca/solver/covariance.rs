//! Few features: the eigen-decomposition of the D x D scatter.

use faer::Side;

use super::super::Keep;
use super::super::scatter::Scatter;
use super::{Solution, Spectrum, leading, not_solved, rows_of};
use crate::Result;

/// Eigenvalues and eigenvectors of the scatter, of the standardised columns if asked.
///
/// # Errors
/// [`crate::Error::Pca`] if products overflow f64.
pub(crate) fn solve(mut scatter: Scatter, keep: Keep, standardize: bool) -> Result<Solution> {
    let scale = standardize.then(|| scatter.standardize());
    let eigen = scatter.products.self_adjoint_eigen(Side::Lower).map_err(|_| not_solved())?;
    let spectrum = Spectrum::exact(eigen.S().column_vector(), scatter.count)?;
    let m = spectrum.components_to(keep).min(spectrum.rank());
    let components = rows_of(leading(eigen.U(), m).as_ref());
    Ok(Solution { mean: scatter.mean, scale, spectrum, components })
}

//! Eigenvalues of a symmetric matrix, and the eigenvectors of the largest of them.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd_scratch, tridiagonal_self_adjoint_evd};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch as reflect_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj as reflect,
};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::{Conj, Mat, Par, Spec};

use crate::Result;
use crate::pca::limits::too_large;

/// A symmetric matrix (n, n) as Q T Q^T, T tridiagonal, and T's eigenvalues and eigenvectors: faer's own way through
/// `self_adjoint_evd`, open before its last step, so that only the requested eigenvectors are turned back by Q.
pub(crate) struct Eigen {
    /// Ascending.
    pub values: Vec<f64>,
    /// Of T, in the order of their values.
    vectors: Mat<f64>,
    /// Q: Householder vectors below the diagonal, and the factors of their blocks.
    reflectors: Mat<f64>,
    blocks: Mat<f64>,
}

impl Eigen {
    /// Of a matrix whose lower triangle counts.
    ///
    /// # Errors
    /// [`crate::Error::Pca`] if an entry of the diagonal is not finite.
    pub(crate) fn of(mut lower: Mat<f64>) -> Result<Self> {
        if !lower.diagonal().column_vector().is_all_finite() {
            return Err(too_large());
        }
        let n = lower.nrows();
        let mut blocks = Mat::zeros(recommended_block_size::<f64>(n, n), n - 1);
        let par = Par::rayon(0);
        let mut memory = MemBuffer::new(StackReq::any_of(&[
            tridiag_in_place_scratch::<f64>(n, par, Spec::default()),
            self_adjoint_evd_scratch::<f64>(n, ComputeEigenvectors::Yes, par, Spec::default()),
        ]));
        let stack = MemStack::new(&mut memory);
        tridiag_in_place(lower.as_mut(), blocks.as_mut(), par, stack, Spec::default());
        let (mut diagonal, mut beside, mut values) = (Diag::zeros(n), Diag::zeros(n), Diag::zeros(n));
        diagonal.column_vector_mut().copy_from(lower.diagonal().column_vector());
        beside
            .column_vector_mut()
            .subrows_mut(0, n - 1)
            .copy_from(lower.submatrix(1, 0, n - 1, n - 1).diagonal().column_vector());
        let mut vectors = Mat::zeros(n, n);
        tridiagonal_self_adjoint_evd(
            diagonal.as_ref(),
            beside.as_ref(),
            values.as_mut(),
            Some(vectors.as_mut()),
            par,
            stack,
            Spec::default(),
        )
        .map_err(|_| too_large())?;
        Ok(Self { values: values.column_vector().iter().copied().collect(), vectors, reflectors: lower, blocks })
    }

    /// The eigenvectors (n, m) of the `m` largest eigenvalues, in descending order.
    pub(crate) fn leading(&self, m: usize) -> Mat<f64> {
        let n = self.vectors.nrows();
        let mut vectors = Mat::from_fn(n, m, |i, j| self.vectors[(i, n - 1 - j)]);
        let mut memory = MemBuffer::new(reflect_scratch::<f64>(n - 1, self.blocks.nrows(), m));
        reflect(
            self.reflectors.submatrix(1, 0, n - 1, n - 1),
            self.blocks.as_ref(),
            Conj::No,
            vectors.as_mut().subrows_mut(1, n - 1),
            Par::rayon(0),
            MemStack::new(&mut memory),
        );
        vectors
    }
}

//! `RandomizedPca` on the driver and `Sketch` in the tasks: PCA of very wide rows over a few passes.

use numpy::{IntoPyArray, PyArray1};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::Error;
use crate::columns::update_sketch;
use crate::pca::{Basis, Krylov, Sketch};
use crate::python::column::FeatureColumn;
use crate::python::error::detach;
use crate::python::locked::{Locked, for_each};
use crate::python::pca::{PyPca, keep};

/// What one task sums in one pass: the scatter times the basis of the pass, without the scatter.
///
/// Args:
///     basis: Bytes of `RandomizedPca.basis()`.
///
/// Raises:
///     ValueError: The bytes are not a basis.
#[pyclass(frozen, name = "Sketch", module = "sparkcider._native")]
pub struct PySketch {
    /// None after `from_bytes`: a sketch that is only merged needs no basis.
    basis: Option<Basis>,
    sketch: Locked<Sketch>,
}

#[pymethods]
impl PySketch {
    #[new]
    fn new(py: Python<'_>, basis: &[u8]) -> PyResult<Self> {
        let basis = detach(py, || Basis::from_bytes(basis))?;
        Ok(Self { sketch: Locked::new(Sketch::new(&basis)), basis: Some(basis) })
    }

    /// A sketch that sums count, mean and variances only: for rows of any width, with nothing larger than D.
    ///
    /// Args:
    ///     n_features: D.
    ///
    /// Raises:
    ///     ValueError: D is 0 or over 2^28.
    #[staticmethod]
    fn plain(n_features: usize) -> PyResult<Self> {
        let basis = Basis::empty(n_features)?;
        Ok(Self { sketch: Locked::new(Sketch::new(&basis)), basis: Some(basis) })
    }

    /// Adds the rows of a column of features, as `Moments.update` does.
    ///
    /// Args:
    ///     features: `list`, `large_list` or `fixed_size_list` of float32 or float64, D per row.
    ///     skip_invalid: Leave out and count (`n_invalid`) rows that cannot be used.
    ///
    /// Returns:
    ///     The number of rows added.
    ///
    /// Raises:
    ///     TypeError: The column holds something else.
    ///     PcaError: A row cannot be used, or the sketch came from bytes and has no basis.
    #[pyo3(signature = (features, *, skip_invalid=false))]
    fn update(&self, py: Python<'_>, features: FeatureColumn, skip_invalid: bool) -> PyResult<usize> {
        let basis = self.basis.as_ref().ok_or_else(|| Error::Pca {
            reason: "a sketch from bytes has no basis: it can be merged, not updated".to_owned(),
        })?;
        let mut added = 0;
        for_each(py, features.0, |batch| {
            added += self.sketch.with(py, |sketch| update_sketch(sketch, basis, batch, skip_invalid))?;
            Ok(())
        })?;
        Ok(added)
    }

    /// Adds all rows that `other` has seen in the same pass.
    ///
    /// Raises:
    ///     PcaError: The other is of another pass.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let theirs = other.sketch.with(py, |sketch| Ok(sketch.clone()))?; // never two locks at once
        self.sketch.with(py, |sketch| sketch.merge(&theirs))
    }

    /// The sketch as bytes, for `from_bytes`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.sketch.with(py, |sketch| sketch.to_bytes())?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// A sketch from the bytes of `to_bytes`, to merge and to hand to `RandomizedPca.step`.
    ///
    /// Raises:
    ///     ValueError: The bytes are something else, cut off or of another version.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let sketch = detach(py, || Sketch::from_bytes(data))?;
        Ok(Self { basis: None, sketch: Locked::new(sketch) })
    }

    /// N, the rows added.
    #[getter]
    fn n_samples(&self, py: Python<'_>) -> PyResult<u64> {
        self.sketch.with(py, |sketch| Ok(sketch.n_samples()))
    }

    /// Rows left out by `skip_invalid`.
    #[getter]
    fn n_invalid(&self, py: Python<'_>) -> PyResult<u64> {
        self.sketch.with(py, |sketch| Ok(sketch.n_invalid()))
    }

    /// Mean of each feature, (D,) float64.
    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(self.sketch.with(py, |sketch| Ok(sketch.mean().to_vec()))?.into_pyarray(py))
    }

    /// Sample variance of each feature, (D,) float64: N - 1 in the denominator, 0 for one row.
    #[getter]
    fn variance<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        Ok(self.sketch.with(py, |sketch| Ok(sketch.variance()))?.into_pyarray(py))
    }
}

/// A PCA under way by block Krylov iteration: per pass, `basis()` goes to the tasks and `step()` takes their merged
/// sketch, at least twice; `residual()` says how good it is; `finish()` gives the `Pca`.
///
/// Args:
///     n_features: D.
///     width: Directions per pass: k and some 10 more.
///     standardize: Divide each feature by its sample standard deviation; a constant feature becomes 0.
///     seed: Of the first directions.
///
/// Raises:
///     ValueError: The width is not in 1..=D, or D or D x width is too large for memory (over 2^28).
///
/// Example:
///     >>> import pyarrow as pa
///     >>> from sparkcider._native import RandomizedPca, Sketch
///     >>> rows = pa.array([[0.0, 1.0, 5.0], [2.0, 3.0, 5.0], [4.0, 5.0, 5.0]])
///     >>> solver = RandomizedPca(3, width=1)
///     >>> for _ in range(2):
///     ...     sketch = Sketch(solver.basis())
///     ...     _ = sketch.update(rows)
///     ...     solver.step(sketch)
///     >>> solver.finish(k=1).explained_variance_ratio_.round(6)
///     array([1.])
#[pyclass(frozen, name = "RandomizedPca", module = "sparkcider._native")]
pub struct PyRandomizedPca {
    krylov: Locked<Krylov>,
}

#[pymethods]
impl PyRandomizedPca {
    #[new]
    #[pyo3(signature = (n_features, *, width, standardize=false, seed=0))]
    fn new(py: Python<'_>, n_features: usize, width: usize, standardize: bool, seed: u64) -> PyResult<Self> {
        let krylov = detach(py, || Krylov::new(n_features, width, standardize, seed))?;
        Ok(Self { krylov: Locked::new(krylov) })
    }

    /// What the next pass multiplies with, as bytes for `Sketch`: 8 D width and a few.
    fn basis<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.krylov.with(py, |krylov| Ok(krylov.basis().to_bytes()))?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Takes in the merged sketch of all rows of one pass.
    ///
    /// Raises:
    ///     PcaError: It is of another pass or of other rows, or has no rows, or products overflow.
    fn step(&self, py: Python<'_>, sketch: &PySketch) -> PyResult<()> {
        let sketch = sketch.sketch.with(py, |sketch| Ok(sketch.clone()))?; // never two locks at once
        self.krylov.with(py, |krylov| krylov.step(&sketch))
    }

    /// The largest |S u - λ u| / λ of the first k components; None before the second pass.
    fn residual(&self, py: Python<'_>, k: usize) -> PyResult<Option<f64>> {
        self.krylov.with(py, |krylov| krylov.residual(k))
    }

    /// Whether no further pass can add to the components: all directions that the rows have are known.
    #[getter]
    fn exhausted(&self, py: Python<'_>) -> PyResult<bool> {
        self.krylov.with(py, |krylov| Ok(krylov.exhausted()))
    }

    /// The PCA of what was found, with either k or variance.
    ///
    /// Raises:
    ///     ValueError: An option has a value that it cannot take.
    ///     PcaError: There were less than two passes, or less was found than is requested.
    #[pyo3(signature = (*, k=None, variance=None))]
    fn finish(&self, py: Python<'_>, k: Option<i64>, variance: Option<f64>) -> PyResult<PyPca> {
        let keep = keep(k, variance)?;
        Ok(self.krylov.with(py, |krylov| krylov.finish(keep))?.into())
    }
}

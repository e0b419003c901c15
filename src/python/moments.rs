//! `Moments`: count, mean and scatter of feature columns.

use numpy::{IntoPyArray, PyArray1, PyArray2};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns::update_moments;
use crate::pca::Moments;
use crate::python::column::FeatureColumn;
use crate::python::error::detach;
use crate::python::locked::{Locked, for_each};

/// Count, mean and scatter of feature rows: all that an exact PCA needs, in one pass, in any order.
///
/// Example:
///     >>> import pyarrow as pa
///     >>> from sparkcider import Moments
///     >>> moments = Moments()
///     >>> moments.update(pa.array([[0.0, 1.0], [2.0, 3.0]]))
///     2
///     >>> moments.mean
///     array([1., 2.])
#[pyclass(frozen, name = "Moments", module = "sparkcider")]
pub struct PyMoments {
    pub(super) moments: Locked<Moments>,
}

#[pymethods]
impl PyMoments {
    #[new]
    fn new() -> Self {
        Self { moments: Locked::new(Moments::new()) }
    }

    /// Adds the rows of a column of features.
    ///
    /// Args:
    ///     features: `list`, `large_list` or `fixed_size_list` of float32 or float64, D per row: anything with
    ///         `__arrow_c_array__` or `__arrow_c_stream__`.
    ///     skip_invalid: Leave out and count (`n_invalid`) rows that are null, of another length, or hold a null, a NaN
    ///         or an infinity. Otherwise the first such row is an error. Nothing of its array is added; of a stream, the
    ///         batches before it are.
    ///
    /// Returns:
    ///     The number of rows added.
    ///
    /// Raises:
    ///     TypeError: The column holds something else.
    ///     PcaError: A row cannot be used, or over 4,096 rows have over 16,384 features.
    #[pyo3(signature = (features, *, skip_invalid=false))]
    fn update(&self, py: Python<'_>, features: FeatureColumn, skip_invalid: bool) -> PyResult<usize> {
        let mut added = 0;
        for_each(py, features.0, |batch| {
            added += self.moments.with(py, |moments| update_moments(moments, batch, skip_invalid))?;
            Ok(())
        })?;
        Ok(added)
    }

    /// Adds all rows that `other` has seen.
    ///
    /// Raises:
    ///     PcaError: The two have rows of different lengths.
    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let theirs = other.moments.with(py, |moments| Ok(moments.clone()))?; // never two locks at once
        self.moments.with(py, |moments| moments.merge(&theirs))
    }

    /// The moments as bytes, for `from_bytes`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.moments.with(py, |moments| moments.to_bytes())?;
        Ok(PyBytes::new(py, &bytes))
    }

    /// Moments from the bytes of `to_bytes`.
    ///
    /// Raises:
    ///     ValueError: The bytes are something else, cut off or of another version.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        let moments = detach(py, || Moments::from_bytes(data))?;
        Ok(Self { moments: Locked::new(moments) })
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (Py<PyAny>,))> {
        let data = slf.get().to_bytes(slf.py())?;
        restore(slf.as_any(), &data)
    }

    /// N, the rows added.
    #[getter]
    fn n_samples(&self, py: Python<'_>) -> PyResult<u64> {
        self.moments.with(py, |moments| Ok(moments.n_samples()))
    }

    /// D, or 0 before the first row.
    #[getter]
    fn n_features(&self, py: Python<'_>) -> PyResult<usize> {
        self.moments.with(py, |moments| Ok(moments.n_features()))
    }

    /// Rows left out by `skip_invalid`.
    #[getter]
    fn n_invalid(&self, py: Python<'_>) -> PyResult<u64> {
        self.moments.with(py, |moments| Ok(moments.n_invalid()))
    }

    /// Mean of each feature, (D,) float64.
    #[getter]
    fn mean<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray1<f64>>> {
        let mean = self.moments.with(py, |moments| Ok(moments.mean()))?;
        Ok(mean.into_pyarray(py))
    }

    /// Sum of (x - mean)(x - mean)^T over the rows, (D, D) float64: (N - 1) times the covariance.
    #[getter]
    fn scatter<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyArray2<f64>>> {
        let scatter = self.moments.with(py, |moments| moments.scatter())?;
        Ok(scatter.into_pyarray(py))
    }
}

/// Pickles as "call `from_bytes` of this class with these bytes".
pub(super) fn restore(object: &Bound<'_, PyAny>, data: &Bound<'_, PyBytes>) -> PyResult<(Py<PyAny>, (Py<PyAny>,))> {
    let caller = object.py().import("operator")?.call_method1("methodcaller", ("from_bytes", data))?;
    Ok((caller.unbind(), (object.get_type().into_any().unbind(),)))
}

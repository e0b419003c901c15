//! `Pca`: features in as Arrow lists, projections out as Arrow lists, arrays as numpy.

use std::sync::OnceLock;

use arrow_array::ArrayRef;
use numpy::{IntoPyArray, PyArray1, PyArray2, ToPyArray};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::columns;
use crate::pca::{Keep, Pca, Projection};
use crate::python::column::FeatureColumn;
use crate::python::error::detach;
use crate::python::locked::map;
use crate::python::moments::{PyMoments, restore};
use crate::{Error, Result};

/// A fitted PCA, in scikit-learn's words: what `sparkcider.Pca` holds after its fit.
///
/// Example:
///     >>> import pyarrow as pa
///     >>> from sparkcider import Moments
///     >>> from sparkcider._native import Pca
///     >>> rows = pa.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
///     >>> moments = Moments()
///     >>> moments.update(rows)
///     3
///     >>> pca = Pca.fit(moments, k=1)
///     >>> pca.explained_variance_ratio_
///     array([1.])
///     >>> [round(row[0], 3) for row in pca.transform(rows).to_pylist()]
///     [-2.828, 0.0, 2.828]
#[pyclass(frozen, name = "Pca", module = "sparkcider._native")]
pub struct PyPca {
    pca: Pca,
    /// By centre and whiten, each made when it is first requested.
    projections: [OnceLock<Projection>; 4],
}

impl From<Pca> for PyPca {
    fn from(pca: Pca) -> Self {
        Self { pca, projections: Default::default() }
    }
}

#[pymethods]
impl PyPca {
    /// Fits to moments. k over the rank is allowed: variances past it are 0, components are completed orthonormally.
    ///
    /// Args:
    ///     moments: Of at least one row.
    ///     k: Number of components, 1 to D. Either this or `variance`.
    ///     variance: Share of the variance in (0, 1]: the smallest k that reaches it.
    ///     standardize: Divide each feature by its sample standard deviation (N - 1); a constant feature becomes 0.
    ///     solver: `covariance` (from the D x D scatter) or `gram` (from the N x N products, while the moments hold at
    ///         most 4,096 and at most D / 2 rows). Default: gram where it can, else covariance.
    ///
    /// Raises:
    ///     ValueError: An option has a value that it cannot take.
    ///     PcaError: There are no rows, or their products overflow.
    #[staticmethod]
    #[pyo3(signature = (moments, *, k=None, variance=None, standardize=false, solver=None))]
    fn fit(
        py: Python<'_>,
        moments: &PyMoments,
        k: Option<i64>,
        variance: Option<f64>,
        standardize: bool,
        solver: Option<&str>,
    ) -> PyResult<Self> {
        let keep = keep(k, variance)?;
        let solver = solver.map(str::parse).transpose()?;
        let pca = moments.moments.with(py, |moments| Pca::fit(moments, keep, standardize, solver))?;
        Ok(pca.into())
    }

    /// Projects a column of features onto the components.
    ///
    /// Args:
    ///     features: `list`, `large_list` or `fixed_size_list` of float32 or float64, D per row.
    ///     center: Take the mean off first, as scikit-learn does. Spark's PCA does not, so `sparkcider.feature.PCA` has
    ///         it off by default, as its Param `center`.
    ///     whiten: Divide each coordinate by the standard deviation along its component.
    ///     skip_invalid: Rows that cannot be used (of another length, with a null, a NaN or an infinity) become null.
    ///         Otherwise they are an error.
    ///
    /// Returns:
    ///     k coordinates per row, as the same kind of list of the same float; null for a null row. A pyarrow Array for
    ///     an array, a ChunkedArray for a stream.
    ///
    /// Raises:
    ///     TypeError: The column holds something else.
    ///     PcaError: A row cannot be used.
    #[pyo3(signature = (features, *, center=true, whiten=false, skip_invalid=false))]
    fn transform(
        &self,
        py: Python<'_>,
        features: FeatureColumn,
        center: bool,
        whiten: bool,
        skip_invalid: bool,
    ) -> PyResult<Py<PyAny>> {
        let projection = self.projection(center, whiten);
        map_column(py, features, |batch| columns::transform(projection, batch, skip_invalid))
    }

    /// Takes coordinates back to features; what the components do not span is lost.
    ///
    /// Args:
    ///     projected: What `transform` gave, k per row.
    ///     center: As given to `transform`.
    ///     whiten: As given to `transform`.
    ///     skip_invalid: As for `transform`.
    ///
    /// Returns:
    ///     D features per row, as the same kind of list of the same float; null for a null row.
    ///
    /// Raises:
    ///     TypeError: The column holds something else.
    ///     PcaError: A row cannot be used.
    #[pyo3(signature = (projected, *, center=true, whiten=false, skip_invalid=false))]
    fn inverse_transform(
        &self,
        py: Python<'_>,
        projected: FeatureColumn,
        center: bool,
        whiten: bool,
        skip_invalid: bool,
    ) -> PyResult<Py<PyAny>> {
        let projection = self.projection(center, whiten);
        map_column(py, projected, |batch| columns::inverse_transform(projection, batch, skip_invalid))
    }

    /// Distance between each centred (standardised) row and its part in the components: large for an outlier.
    ///
    /// Args:
    ///     features: As for `transform`.
    ///     skip_invalid: As for `transform`.
    ///
    /// Returns:
    ///     One float per row, float32 or float64 as the features; null for a null row.
    ///
    /// Raises:
    ///     TypeError: The column holds something else.
    ///     PcaError: A row cannot be used.
    #[pyo3(signature = (features, *, skip_invalid=false))]
    fn reconstruction_error(&self, py: Python<'_>, features: FeatureColumn, skip_invalid: bool) -> PyResult<Py<PyAny>> {
        let projection = self.projection(true, false);
        map_column(py, features, |batch| columns::reconstruction_error(projection, batch, skip_invalid))
    }

    /// The model as bytes, for `from_bytes`.
    fn to_bytes<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.pca.to_bytes())
    }

    /// A model from the bytes of `to_bytes`.
    ///
    /// Raises:
    ///     ValueError: The bytes are something else, cut off or of another version.
    #[staticmethod]
    fn from_bytes(py: Python<'_>, data: &[u8]) -> PyResult<Self> {
        Ok(detach(py, || Pca::from_bytes(data))?.into())
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, (Py<PyAny>,))> {
        restore(slf.as_any(), &slf.get().to_bytes(slf.py()))
    }

    /// Mean of each feature, (D,) float64.
    #[getter]
    fn mean_<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.pca.mean().to_pyarray(py)
    }

    /// Sample standard deviation of each feature, (D,) float64, 0 for a constant one; None without `standardize`.
    #[getter]
    fn scale_<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        self.pca.scale().map(|scale| scale.to_pyarray(py))
    }

    /// The components, (k, D) float64: orthonormal rows by descending variance, the largest entry of each positive.
    #[getter]
    fn components_<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray2<f64>> {
        self.pca.components().to_pyarray(py)
    }

    /// Variance along each component, (k,) float64, N - 1 in the denominator.
    #[getter]
    fn explained_variance_<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.pca.explained_variance().to_pyarray(py)
    }

    /// Share of each component in the variance of all features, (k,) float64.
    #[getter]
    fn explained_variance_ratio_<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.pca.explained_variance_ratio().into_pyarray(py)
    }

    /// Singular values of the centred (standardised) rows, (k,) float64.
    #[getter]
    fn singular_values_<'py>(&self, py: Python<'py>) -> Bound<'py, PyArray1<f64>> {
        self.pca.singular_values().into_pyarray(py)
    }

    /// Mean of the min(N, D) - k variances left out.
    #[getter]
    fn noise_variance_(&self) -> f64 {
        self.pca.noise_variance()
    }

    /// N, the rows fitted to.
    #[getter]
    fn n_samples_(&self) -> u64 {
        self.pca.n_samples()
    }

    /// k.
    #[getter]
    fn n_components_(&self) -> usize {
        self.pca.components().nrows()
    }

    /// D.
    #[getter]
    fn n_features_(&self) -> usize {
        self.pca.mean().len()
    }

    /// Number of variances that are not 0, of all min(N - 1, D).
    #[getter]
    fn rank_(&self) -> usize {
        self.pca.rank()
    }

    /// The solver that found the components.
    #[getter]
    fn solver_(&self) -> String {
        self.pca.solver().to_string()
    }
}

impl PyPca {
    fn projection(&self, center: bool, whiten: bool) -> &Projection {
        self.projections[usize::from(center) * 2 + usize::from(whiten)]
            .get_or_init(|| Projection::new(&self.pca, center, whiten))
    }
}

/// How many components, from exactly one of k and variance.
pub(super) fn keep(k: Option<i64>, variance: Option<f64>) -> Result<Keep> {
    let one = |found: &str| Error::Option {
        name: "k or variance",
        expected: "given, one of the two".to_owned(),
        found: found.to_owned(),
    };
    match (k, variance) {
        (Some(k), None) => usize::try_from(k).map(Keep::Components).map_err(|_| Error::Option {
            name: "k",
            expected: "at least 1".to_owned(),
            found: k.to_string(),
        }),
        (None, Some(variance)) => Ok(Keep::Variance(variance)),
        (Some(_), Some(_)) => Err(one("both")),
        (None, None) => Err(one("neither")),
    }
}

/// Applies `work` to an array, or to each batch of a stream, with the GIL released.
fn map_column(
    py: Python<'_>,
    column: FeatureColumn,
    work: impl Fn(&ArrayRef) -> Result<ArrayRef> + Sync,
) -> PyResult<Py<PyAny>> {
    let [mapped] = map(py, column.0, |batch| Ok([detach(py, || work(batch))?]))?;
    Ok(mapped)
}

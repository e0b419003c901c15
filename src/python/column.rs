//! Columns as people hand them over: Arrow of any library, and what `sparkcider.columns` makes Arrow of.

use pyo3::intern;
use pyo3::prelude::*;

use crate::python::capsules::ArrowColumn;
use crate::python::locked::map;

/// A column of encoded images.
pub(super) struct ImageColumn(pub(super) ArrowColumn);

/// A column of features: lists of floats.
pub(super) struct FeatureColumn(pub(super) ArrowColumn);

impl<'py> FromPyObject<'_, 'py> for ImageColumn {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let columns = given.py().import(intern!(given.py(), "sparkcider.columns"))?;
        Ok(Self(columns.getattr(intern!(given.py(), "image_column"))?.call1((given,))?.extract()?))
    }
}

impl<'py> FromPyObject<'_, 'py> for FeatureColumn {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let columns = given.py().import(intern!(given.py(), "sparkcider.columns"))?;
        Ok(Self(columns.getattr(intern!(given.py(), "feature_column"))?.call1((given,))?.extract()?))
    }
}

/// Rows of features as pyarrow has them: an Array, for a stream a ChunkedArray. A stream is read to its end.
///
/// Args:
///     features: What `sparkcider.columns.feature_column` takes.
///
/// Raises:
///     TypeError: It is something else.
#[pyfunction]
#[pyo3(name = "_feature_column")]
pub(super) fn feature_column(py: Python<'_>, features: FeatureColumn) -> PyResult<Py<PyAny>> {
    let [column] = map(py, features.0, |batch| Ok([batch.clone()]))?;
    Ok(column)
}

//! What is asked of encoded images before they are decoded.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::columns;
use crate::python::column::ImageColumn;
use crate::python::error::detach;
use crate::python::locked::map;

/// Width x height as the header of each encoded image states it: uint64, 0 where the row is null or the header cannot be read.
///
/// Nothing is decoded, and nothing is allocated by what a header states.
///
/// Args:
///     images: `binary`, `large_binary` or `binary_view`, N rows: anything with `__arrow_c_array__` or
///         `__arrow_c_stream__`.
///
/// Returns:
///     N uint64: a pyarrow Array for an array, a ChunkedArray for a stream.
///
/// Raises:
///     TypeError: The column is not binary.
#[pyfunction]
#[pyo3(name = "_header_pixels")]
pub(super) fn header_pixels(py: Python<'_>, images: ImageColumn) -> PyResult<Py<PyAny>> {
    let [pixels] = map(py, images.0, |batch| detach(py, || Ok([Arc::new(columns::header_pixels(batch)?) as _])))?;
    Ok(pixels)
}

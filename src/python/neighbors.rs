//! Neighbours and copies, over arrays: the Python face is `sparkcider.findings`.

use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray2, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::image::Fingerprint;
use crate::neighbors::{Neighbors, Vectors, nearest, neighbors, originals};
use crate::python::error::detach;

type Found<'py> = (Bound<'py, PyArray2<u32>>, Bound<'py, PyArray2<f32>>);

/// The k nearest other rows of each row by cosine.
///
/// Args:
///     vectors: (N, D) float32, C-contiguous, finite, each of norm 1 or 0.
///     k: Neighbours of each row.
///     threads: Threads of this call.
///
/// Returns:
///     Rows (N, min(k, N - 1)) uint32, nearest first, ties by row; and their cosines, float32, -1 to 1.
///
/// Raises:
///     ValueError: The array is not contiguous.
#[pyfunction]
#[pyo3(name = "_neighbors")]
pub(super) fn neighbors_of<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    k: usize,
    threads: usize,
) -> PyResult<Found<'py>> {
    let (values, [n, d]) = matrix(&vectors)?;
    let found = detach(py, || Ok(neighbors(Vectors::new(values, d)?, k, threads)))?;
    arrays(py, found, n)
}

/// The k rows that are nearest to each query by cosine.
///
/// Args:
///     vectors: (N, D) float32, C-contiguous, finite, each of norm 1 or 0.
///     queries: (M, D) likewise.
///     k: Rows for each query.
///     threads: Threads of this call.
///
/// Returns:
///     Rows (M, min(k, N)) uint32, nearest first, ties by row; and their cosines, float32, -1 to 1.
///
/// Raises:
///     ValueError: An array is not contiguous.
///     PcaError: The two have rows of different lengths.
#[pyfunction]
#[pyo3(name = "_nearest")]
pub(super) fn nearest_to<'py>(
    py: Python<'py>,
    vectors: PyReadonlyArray2<'py, f32>,
    queries: PyReadonlyArray2<'py, f32>,
    k: usize,
    threads: usize,
) -> PyResult<Found<'py>> {
    let ((values, [_, d]), (asked, [m, width])) = (matrix(&vectors)?, matrix(&queries)?);
    let found = detach(py, || nearest(Vectors::new(values, d)?, Vectors::new(asked, width)?, k, threads))?;
    arrays(py, found, m)
}

/// The first row that each row is a copy of, by its fingerprint as it is or mirrored; a row that is none has its own number.
///
/// Args:
///     fingerprints: (N, 32) uint8, C-contiguous.
///     most_bits: Bits in which copies may differ, at most 15.
///
/// Returns:
///     N uint32.
///
/// Raises:
///     ValueError: The array has another shape, or `most_bits` is too large.
#[pyfunction]
#[pyo3(name = "_originals")]
pub(super) fn originals_of<'py>(
    py: Python<'py>,
    fingerprints: PyReadonlyArray2<'py, u8>,
    most_bits: u32,
) -> PyResult<Bound<'py, PyArray1<u32>>> {
    let (bytes, _) = fingerprints.as_slice()?.as_chunks::<{ size_of::<Fingerprint>() }>();
    if fingerprints.shape()[1] != size_of::<Fingerprint>() {
        return Err(PyValueError::new_err("fingerprints must have 32 bytes each"));
    }
    Ok(detach(py, || originals(bytes, most_bits))?.into_pyarray(py))
}

fn matrix<'a>(array: &'a PyReadonlyArray2<'_, f32>) -> PyResult<(&'a [f32], [usize; 2])> {
    let shape = array.shape();
    Ok((array.as_slice()?, [shape[0], shape[1]]))
}

fn arrays(py: Python<'_>, found: Neighbors, n: usize) -> PyResult<Found<'_>> {
    let shape = (n, found.k);
    let shaped = |error: ndarray::ShapeError| PyValueError::new_err(error.to_string());
    let rows = ndarray::Array2::from_shape_vec(shape, found.rows).map_err(shaped)?;
    // the product of two rounded unit vectors may be over 1
    let cosines = found.similarities.into_iter().map(|product| product.clamp(-1.0, 1.0)).collect();
    let similarities = ndarray::Array2::from_shape_vec(shape, cosines).map_err(shaped)?;
    Ok((rows.into_pyarray(py), similarities.into_pyarray(py)))
}

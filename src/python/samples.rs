//! The JPEG writer of `sparkcider.samples`.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::image::encode_jpeg;
use crate::python::error::detach;

/// Encodes (height, width, 3) u8 RGB pixels as a baseline JPEG.
#[pyfunction]
#[pyo3(name = "_encode_jpeg")]
pub(super) fn encode_jpeg_bytes<'py>(
    py: Python<'py>,
    pixels: &[u8],
    height: usize,
    width: usize,
    quality: u8,
) -> PyResult<Bound<'py, PyBytes>> {
    let jpeg = detach(py, || encode_jpeg(pixels, height, width, quality))?;
    Ok(PyBytes::new(py, &jpeg))
}

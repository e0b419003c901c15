//! The crate's errors as Python exceptions, and the one way to leave the GIL.

use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyFileNotFoundError, PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::{Error, ErrorKind, Result};

create_exception!(sparkcider, SparkciderError, PyException, "Root of the exceptions that sparkcider raises.");
create_exception!(sparkcider, ImageDecodeError, SparkciderError, "The bytes are not an image that sparkcider decodes.");
create_exception!(sparkcider, ModelError, SparkciderError, "A model cannot be loaded or run.");
create_exception!(sparkcider, PcaError, SparkciderError, "Data that no PCA can be fitted to or applied to.");

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Decode { .. } | Error::ImageTooLarge { .. } => ImageDecodeError::new_err(message),
            Error::ModelNotFound { .. } => PyFileNotFoundError::new_err(message),
            Error::ModelIo { .. } | Error::Model { .. } | Error::Runtime { .. } => ModelError::new_err(message),
            Error::Null { .. } | Error::NonFinite { .. } => {
                PcaError::new_err(format!("{message}; skip_invalid=True leaves such rows out"))
            }
            Error::Shape { .. } | Error::NotEnoughSamples { .. } | Error::Pca { .. } => PcaError::new_err(message),
            Error::Column { .. } => PyTypeError::new_err(message),
            Error::Option { .. } | Error::Required { .. } | Error::Corrupt { .. } => PyValueError::new_err(message),
        }
    }
}

/// The kinds of faults that `extract` finds.
#[pyfunction]
#[pyo3(name = "_error_kinds")]
pub(super) fn error_kinds() -> Vec<&'static str> {
    ErrorKind::ALL.map(ErrorKind::word).to_vec()
}

/// Leaves the GIL, runs `work`, maps its error. Every boundary function goes through here.
pub(super) fn detach<T: Send>(py: Python<'_>, work: impl FnOnce() -> Result<T> + Send) -> PyResult<T> {
    py.detach(work).map_err(PyErr::from)
}

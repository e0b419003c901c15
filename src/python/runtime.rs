//! The ONNX Runtime of the wheel, or the one that the environment names.

use std::env;
use std::path::{Path, PathBuf};

use pyo3::prelude::*;

use crate::python::error::detach;
use crate::{Error, Result, Runtime};

/// Names another ONNX Runtime library than the one in the wheel.
const LIBRARY_VARIABLE: &str = "SPARKCIDER_ONNXRUNTIME";

/// The runtime of this process, loaded by the first call.
pub(super) fn runtime(py: Python<'_>) -> PyResult<Runtime> {
    let path = library_path(py)?;
    detach(py, || Runtime::load(&path))
}

/// The library to load: [`LIBRARY_VARIABLE`] if set, else the one beside the compiled module.
pub(super) fn library_path(py: Python<'_>) -> PyResult<PathBuf> {
    let module: PathBuf = py.import("sparkcider._native")?.filename()?.extract()?;
    detach(py, || library_in(&module.with_file_name("onnxruntime")))
}

fn library_in(folder: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::Runtime {
                reason: format!(
                    "{LIBRARY_VARIABLE} is set to {}, which does not exist or is not a file",
                    path.display()
                ),
            })
        };
    }
    let found = folder.read_dir().ok().and_then(|entries| {
        entries.flatten().map(|entry| entry.path()).find(|path| {
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("libonnxruntime."))
        })
    });
    found.ok_or_else(|| Error::Runtime {
        reason: format!(
            "no library in this build; set {LIBRARY_VARIABLE} to a libonnxruntime of version 1.17 or newer"
        ),
    })
}

//! The ONNX Runtime library and its environment: loaded at the first session, once per process, never at import.
//!
//! `PySpark` forks its workers, so nothing here may run before the first batch. The environment starts no threads: a
//! child that is forked after it was made may use it to build sessions of its own.

use std::env;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;

use crate::{Error, Result};

/// Names another ONNX Runtime library than the one bundled in the wheel.
pub const LIBRARY_VARIABLE: &str = "SPARKCIDER_ONNXRUNTIME";

static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);

/// The library to load: [`LIBRARY_VARIABLE`] if set, else the `libonnxruntime.*` in `bundled`.
///
/// # Errors
/// [`Error::Runtime`] if neither names a file.
pub fn library(bundled: &Path) -> Result<PathBuf> {
    if let Some(path) = env::var_os(LIBRARY_VARIABLE).filter(|value| !value.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::Runtime { reason: format!("{LIBRARY_VARIABLE} names {}, which is no file", path.display()) })
        };
    }
    let found = bundled.read_dir().ok().and_then(|entries| {
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

/// The process's one environment, made from `library` by the first caller.
///
/// # Errors
/// [`Error::Runtime`] if the library cannot be loaded or is older than the API that this crate speaks (1.17).
pub fn environment(library: &Path) -> Result<Environment> {
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    let reason = |cause: String| Error::Runtime { reason: format!("cannot load {}: {cause}", library.display()) };
    // ort panics on a library that is no ONNX Runtime or too old a one
    let built = catch_unwind(|| {
        let builder = ort::init_from(library).map_err(|error| error.to_string())?;
        builder.with_name("sparkcider").with_telemetry(false).build().map_err(|error| error.to_string())
    });
    let environment = built
        .map_err(|_| reason("it does not offer the ONNX Runtime API 17 (version 1.17 or newer)".to_owned()))?
        .map_err(reason)?;
    environment.set_log_level(ort::logging::LogLevel::Error);
    Ok(slot.insert(environment).clone())
}

/// The version line of the loaded library, such as `ORT Build Info: ...`; loads it.
///
/// # Errors
/// As [`environment`].
pub fn build_info(library: &Path) -> Result<&'static str> {
    environment(library)?;
    Ok(ort::info())
}

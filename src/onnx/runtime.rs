//! ONNX Runtime, loaded from a shared library; its environment is made once per process, never at import.
//!
//! `PySpark` forks its workers, so nothing here may run before the first batch. The environment starts no threads: a
//! child that is forked after it was made may use it to build sessions of its own.

use std::fmt;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use ort::environment::Environment;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use crate::{Error, Result};

static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// The ONNX Runtime of this process.
#[derive(Clone)]
pub struct Runtime(Environment);

impl fmt::Debug for Runtime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Runtime")
    }
}

impl Runtime {
    /// Loads the shared library `library` (`libonnxruntime.so`, `libonnxruntime.dylib`). Only the first call of a process
    /// loads one: every later call gives the same runtime, whatever its `library`.
    ///
    /// # Errors
    /// [`Error::Runtime`] if the library cannot be loaded or is older than the API that this crate needs (1.17).
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use sparkcider::Runtime;
    ///
    /// let error = Runtime::load(Path::new("no-such-library.so")).unwrap_err();
    /// assert!(error.to_string().starts_with("ONNX Runtime: cannot load no-such-library.so"));
    /// ```
    pub fn load(library: &Path) -> Result<Self> {
        let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runtime) = slot.as_ref() {
            return Ok(runtime.clone());
        }
        let reason = |cause: String| Error::Runtime { reason: format!("cannot load {}: {cause}", library.display()) };
        // ort panics on a library that is not ONNX Runtime, or too old
        let built = catch_unwind(|| {
            let builder = ort::init_from(library).map_err(|error| error.to_string())?;
            builder.with_name("sparkcider").with_telemetry(false).build().map_err(|error| error.to_string())
        });
        let environment = built
            .map_err(|_| reason("it does not offer the ONNX Runtime API 17 (version 1.17 or newer)".to_owned()))?
            .map_err(reason)?;
        environment.set_log_level(ort::logging::LogLevel::Error);
        Ok(slot.insert(Self(environment)).clone())
    }

    /// The version line of the library, such as `ORT Build Info: ...`.
    #[must_use]
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// A session that takes no core from others: sequential, no spinning threads. The error is one line.
    #[allow(clippy::result_large_err)] // ort's errors give the builder back
    pub(crate) fn session(
        &self,
        intra_threads: usize,
        optimization: GraphOptimizationLevel,
        commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<Session>,
    ) -> std::result::Result<Session, String> {
        let text = |error: ort::Error<_>| first_line(&error.to_string());
        let mut builder = Session::builder(&self.0)
            .map_err(|error| first_line(&error.to_string()))?
            .with_optimization_level(optimization)
            // libraries before 1.23 know the third level only as the sum of all; there that has no more in it
            .or_else(|error| error.recover().with_optimization_level(GraphOptimizationLevel::All))
            .map_err(text)?
            .with_parallel_execution(false)
            .map_err(text)?
            .with_intra_threads(intra_threads)
            .map_err(text)?
            // a spinning thread takes the core from the next Spark task
            .with_intra_op_spinning(false)
            .map_err(text)?;
        commit(&mut builder).map_err(|error| first_line(&error.to_string()))
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

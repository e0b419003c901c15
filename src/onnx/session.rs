//! How the sessions of one network are made: the first from its file, the others with the weights of the first.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{env, fs, io, process};

use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};

use super::choice::Choice;
use super::file::ModelFile;
use super::runtime::Runtime;
use super::weights::SharedWeights;
use crate::{Error, Result};

/// Makes sessions of one network.
#[derive(Clone)]
pub(super) struct Sessions {
    runtime: Runtime,
    intra_threads: usize,
    path: PathBuf,
    checksum: String,
    choice: Choice,
    weights: Weights,
}

#[derive(Clone)]
enum Weights {
    /// The only session so far has its own.
    First,
    Shared(Arc<SharedWeights>),
    /// They cannot be shared: each session has its own.
    Own,
}

impl Sessions {
    /// The sessions of `file`, which give the tensors of `choice`, and the first of them.
    ///
    /// # Errors
    /// [`Error::Model`] if ONNX Runtime cannot load the file.
    pub(super) fn first(
        file: ModelFile,
        choice: Choice,
        runtime: &Runtime,
        intra_threads: usize,
    ) -> Result<(Self, Session)> {
        let sessions = Self {
            runtime: runtime.clone(),
            intra_threads,
            path: file.path.clone(),
            checksum: file.checksum(),
            choice,
            weights: Weights::First,
        };
        let session = sessions.of(file)?;
        Ok((sessions, session))
    }

    /// SHA-256 of the file in hexadecimal.
    pub(super) fn checksum(&self) -> &str {
        &self.checksum
    }

    /// One more session. When the first is requested, `accept` is given one that is to replace the very first, and says whether
    /// it gives the same numbers; from then on they share their weights.
    ///
    /// # Errors
    /// As [`ModelFile::reopen`] and [`Sessions::first`]: only the first call reads the file, if weights can be shared.
    pub(super) fn next(&mut self, accept: impl FnOnce(Session) -> bool) -> Result<Session> {
        if let Weights::First = self.weights {
            let shared = self.share(accept)?;
            self.weights = shared.map_or(Weights::Own, |weights| Weights::Shared(Arc::new(weights)));
        }
        match &self.weights {
            Weights::Shared(weights) => weights.session(&self.runtime, self.intra_threads).map_err(|c| self.fault(&c)),
            Weights::First | Weights::Own => self.of(self.file()?),
        }
    }

    /// The weights of an optimised copy of the file; `None` if they cannot be shared.
    fn share(&self, accept: impl FnOnce(Session) -> bool) -> Result<Option<SharedWeights>> {
        let file = self.file()?;
        // What cannot be saved, read back or run from its parts is run as a whole.
        let Ok(onnx) = self.optimised(file) else { return Ok(None) };
        let Some(weights) = SharedWeights::take_out_of(&onnx) else { return Ok(None) };
        drop(onnx);
        let accepted = weights.session(&self.runtime, self.intra_threads).is_ok_and(accept);
        Ok(accepted.then_some(weights))
    }

    /// The graph as ONNX Runtime optimises it for this processor.
    fn optimised(&self, file: ModelFile) -> Result<Vec<u8>> {
        let folder = PrivateFolder::new().map_err(|cause| self.fault(&cause.to_string()))?;
        let path = folder.0.join("optimised.onnx");
        drop(self.load(file, |builder| Ok(builder.with_optimized_model_path(&path)?))?);
        fs::read(&path).map_err(|cause| self.fault(&cause.to_string()))
    }

    fn file(&self) -> Result<ModelFile> {
        ModelFile::reopen(&self.path, &self.checksum)
    }

    fn of(&self, file: ModelFile) -> Result<Session> {
        self.load(file, Ok)
    }

    /// A session of `file` with the options that `prepare` adds.
    fn load(
        &self,
        file: ModelFile,
        prepare: impl FnOnce(SessionBuilder) -> ort::Result<SessionBuilder>,
    ) -> Result<Session> {
        let session = self.runtime.session(self.intra_threads, GraphOptimizationLevel::Level3, |builder| {
            let mut builder = prepare(builder.clone())?;
            let ModelFile { path, onnx, is_split } = file;
            if self.choice.is_in_the_file() && !is_split {
                drop(onnx); // ONNX Runtime reads the file itself
                return builder.commit_from_file(path);
            }
            let edited = self.choice.edited(onnx).ok_or_else(|| ort::Error::new("the file is damaged"))?;
            builder.commit_from_memory(&edited)
        });
        session.map_err(|cause| self.fault(&cause))
    }

    fn fault(&self, cause: &str) -> Error {
        Error::Model {
            model: self.path.display().to_string(),
            reason: format!("ONNX Runtime cannot load it as ONNX: {cause}"),
        }
    }
}

/// A folder for files of this user only, removed when it is dropped.
struct PrivateFolder(PathBuf);

impl PrivateFolder {
    fn new() -> io::Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        // a folder of that name may be left of another process of this number
        for _ in 0..1000 {
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let path = env::temp_dir().join(format!("sparkcider-{}-{number}", process::id()));
            match create_private(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                created => return created.map(|()| Self(path)),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;

    fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn create_private(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

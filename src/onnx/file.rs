//! A model file: its bytes and their checksum.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// A model file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Its bytes.
    pub onnx: Vec<u8>,
}

impl ModelFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if there is no such file, [`Error::Model`] if it cannot be read.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        if !path.is_file() {
            return Err(Error::ModelNotFound { path: name() });
        }
        let onnx = fs::read(path).map_err(|cause| Error::ModelIo { path: name(), cause })?;
        Ok(Self { path: path.to_owned(), onnx })
    }

    /// Its path, for messages.
    #[must_use]
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// SHA-256 of its bytes in hexadecimal.
    #[must_use]
    pub(crate) fn checksum(&self) -> String {
        base16ct::lower::encode_string(&Sha256::digest(&self.onnx))
    }
}

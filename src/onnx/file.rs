//! A model file: its bytes, with those of the files of its weights, and their checksum.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::external;
use super::graph::Graph;
use crate::{Error, Result};

/// A model file, read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ModelFile {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes, all weights inside.
    pub onnx: Vec<u8>,
    /// Whether weights are in other files beside it.
    pub is_split: bool,
}

impl ModelFile {
    /// Reads the file, and the files of its weights.
    ///
    /// # Errors
    /// As [`ModelFile::alone`]; [`Error::Model`] if the weights are not where the file says, or are too large for one file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = Self::alone(path)?;
        // bytes that are not ONNX are an error of the code that reads the graph
        let is_split = Graph::decode(&file.name(), &file.onnx).is_ok_and(|graph| !graph.external_files.is_empty());
        let onnx = if is_split { external::whole(path, &file.onnx)? } else { file.onnx };
        Ok(Self { path: file.path, onnx, is_split })
    }

    /// Reads the file without those of its weights.
    ///
    /// # Errors
    /// [`Error::ModelNotFound`] if there is no such file, [`Error::ModelIo`] if it cannot be read.
    pub(crate) fn alone(path: &Path) -> Result<Self> {
        let name = || path.display().to_string();
        if !path.is_file() {
            return Err(Error::ModelNotFound { path: name() });
        }
        let onnx = fs::read(path).map_err(|cause| Error::ModelIo { path: name(), cause })?;
        Ok(Self { path: path.to_owned(), onnx, is_split: false })
    }

    /// Reads a file again of which `checksum` was read before.
    ///
    /// # Errors
    /// As [`ModelFile::open`]; [`Error::Model`] if it is not what it was.
    pub(crate) fn reopen(path: &Path, checksum: &str) -> Result<Self> {
        let file = Self::open(path)?;
        let found = file.checksum();
        if found == checksum {
            return Ok(file);
        }
        let reason = format!("the file has changed since it was opened: its SHA-256 was {checksum} and is {found}");
        Err(Error::Model { model: file.name(), reason })
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

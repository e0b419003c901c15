//! sparkcider: images to embeddings to principal components, over Arrow batches.

pub mod error;
pub mod image;
pub mod tensor;

pub use error::{Error, Result};

//! sparkcider: images to embeddings to principal components, over Arrow batches.
//!
//! The way of the data, each stage in the file of its name:
//!
//! | stage | type | shape | dtype, range | file |
//! |---|---|---|---|---|
//! | encoded bytes | `&[u8]` | | JPEG, PNG, GIF, BMP, TIFF, WebP | |
//! | image | [`image::RgbImage`] | (H, W, 3) | u8, 0..=255 | `image/` |
//! | tensor | `&[f32]` | (n, 3, H, W) or (n, H, W, 3) | f32, as the model wants it | `tensor.rs`, as `preprocessing.rs` decides |
//! | embedding | `Vec<f32>` | (N, D) | f32 | `embedding.rs`, joined by `extractor.rs` |
//! | moments | [`pca::moments::Moments`] | N, (D), (D, D) | f64 | `pca/moments.rs` |
//! | components | [`pca::Pca`] | (k, D) | f64 | `pca/` |
//! | projected | [`pca::projection::Projected`] | (N, k) | as the rows | `pca/projection.rs` |
//!
//! Calls point down: `image/` knows no tensor, Arrow stops at [`columns`], and pyo3 lives in `python/` under the
//! feature `python`, so that `cargo test` builds the core with no Python at all.

pub mod error;

pub mod image;
pub mod tensor;

pub mod graph;
mod metadata;
pub mod model;
pub mod options;
pub mod preprocessing;

pub mod channels;
pub mod embedding;
pub mod layers;
pub mod onnxruntime;
pub mod pooling;

pub mod pca;

pub mod extractor;

pub mod columns;

pub mod samples;

#[cfg(feature = "python")]
mod python;
mod words;

pub use error::{Error, Result};
pub use extractor::FeatureExtractor;

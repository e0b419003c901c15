//! sparkcider: images to embeddings to principal components, over Arrow batches.
//!
//! Data flow, each stage in the file or folder of its name:
//!
//! | stage | type | shape | dtype, range | where |
//! |---|---|---|---|---|
//! | encoded bytes | `&[u8]` | | JPEG, PNG, GIF, BMP, TIFF, WebP, ICO, CUR, QOI | |
//! | image | [`image::RgbImage`] | (H, W, 3) | u8, 0..=255 | `image/` |
//! | tensor | `&[f32]` | (n, 3, H, W) or (n, H, W, 3) | f32, as the model wants it | `tensor.rs`, as `preprocessing.rs` decides |
//! | embedding | `Vec<f32>` | (N, D) | f32 | `onnx/`, joined by `extractor.rs` |
//! | moments | [`pca::Moments`] | N, (D), (D, D) | f64 | `pca/moments.rs` |
//! | components | [`pca::Pca`] | (k, D) | f64 | `pca/` |
//! | projected | [`pca::Projected`] | (N, k) | as the rows | `pca/projection.rs` |
//! | neighbors | [`neighbors::Neighbors`] | (N, k) | u32, f32 | `neighbors.rs` |
//!
//! [`columns`] does the same over Arrow columns. `tests/layers.rs` checks that calls point down: `image/` and `pca/` use
//! nothing of one another, only `columns/` and `python/` name Arrow, and only `python/`, under the feature `python`,
//! names pyo3.

#![deny(unreachable_pub)]

mod error;
mod parse;

pub mod image;
pub mod neighbors;
pub mod tensor;

mod pooling;

mod stage_times;

mod options;

pub mod onnx;

mod preprocessing;

mod extractor;

pub mod pca;

pub mod columns;

#[cfg(feature = "python")]
mod python;

pub use error::{Error, ErrorKind, Result, RowFault};
pub use extractor::{FeatureExtractor, Features};
pub use onnx::Runtime;
pub use options::{INTRA_THREADS, Layers, Options, PIXEL_LIMITS, PREFIX_TOKENS};
pub use pooling::Pooling;
pub use preprocessing::Preprocessing;
pub use stage_times::{Stage, StageTimes};

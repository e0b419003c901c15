//! The Python module `sparkcider._native`: the only place that names pyo3. Table of contents only.
#![allow(
    clippy::doc_markdown, // these comments are Python's docstrings
    clippy::needless_pass_by_value // a boundary function owns what Python hands over
)]

mod capsules;
mod column;
mod doctor;
mod error;
mod extractor;
mod images;
mod locked;
mod models;
mod moments;
mod neighbors;
mod options;
mod pca;
mod randomized;
mod runtime;
mod samples;

/// sparkcider's Rust core.
#[pyo3::pymodule(name = "_native")]
mod native {
    #[pymodule_export]
    use super::column::feature_column;
    #[pymodule_export]
    use super::doctor::{available_cores, build_profile, cpu_features, onnxruntime};
    #[pymodule_export]
    use super::error::{ImageDecodeError, ModelError, PcaError, SparkciderError, error_kinds};
    #[pymodule_export]
    use super::extractor::PyFeatureExtractor;
    #[pymodule_export]
    use super::images::header_pixels;
    #[pymodule_export]
    use super::models::{model_layers, model_summary, write_whole_model};
    #[pymodule_export]
    use super::moments::PyMoments;
    #[pymodule_export]
    use super::neighbors::{nearest_to, neighbors_of, originals_of};
    #[pymodule_export]
    use super::pca::PyPca;
    #[pymodule_export]
    use super::randomized::{PyRandomizedPca, PySketch};
    #[pymodule_export]
    use super::samples::encode_jpeg_bytes;
}

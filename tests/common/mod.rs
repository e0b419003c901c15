//! What the integration tests share: where the fixtures and the ONNX Runtime of the wheel lie.

use std::path::PathBuf;

/// A file of `tests/data`.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The folder that the wheel's build fills with the ONNX Runtime library (`make` does; or set `SPARKCIDER_ONNXRUNTIME`).
pub fn bundled_runtime() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/sparkcider/onnxruntime")
}

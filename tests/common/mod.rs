//! What the integration tests share: where the fixtures and the ONNX Runtime of the wheel are.

use std::env;
use std::path::PathBuf;

use sparkcider::Runtime;

/// A file of `tests/data`.
pub fn fixture(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// The ONNX Runtime that the wheel's build fetches (`make` does), or the one that `SPARKCIDER_ONNXRUNTIME` names.
pub fn runtime() -> Runtime {
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python/sparkcider/onnxruntime");
    let mut files = bundled.read_dir().into_iter().flatten().flatten().map(|entry| entry.path());
    let library = env::var_os("SPARKCIDER_ONNXRUNTIME").map(PathBuf::from);
    let is_library = |path: &PathBuf| path.to_string_lossy().contains("libonnxruntime.");
    Runtime::load(&library.or_else(|| files.find(is_library)).unwrap_or_default()).unwrap()
}

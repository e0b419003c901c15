//! What `sparkcider doctor` and the job ask the native side of this build and this machine.

use std::path::PathBuf;

use pyo3::prelude::*;

use crate::python::runtime::{library_path, runtime};

/// (path, build line) of the ONNX Runtime that sessions use; loads it.
#[pyfunction]
#[pyo3(name = "_onnxruntime")]
pub(super) fn onnxruntime(py: Python<'_>) -> PyResult<(PathBuf, &'static str)> {
    let path = library_path(py)?;
    Ok((path, runtime(py)?.build_info()))
}

/// "release" or "debug": how this module was compiled. `scripts/check_wheel.py` looks for the line in the library, where
/// stripping leaves it.
static BUILD: &str = if cfg!(debug_assertions) { "sparkcider build: debug" } else { "sparkcider build: release" };

/// "release" or "debug": how this module was compiled.
#[pyfunction]
#[pyo3(name = "_build_profile")]
pub(super) fn build_profile() -> &'static str {
    BUILD.trim_start_matches("sparkcider build: ")
}

/// The cores that this process may use, at least 1: those of its affinity mask, and no more than its control group's quota.
#[pyfunction]
#[pyo3(name = "_available_cores")]
pub(super) fn available_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The vector extensions of this processor that decide the speed of decoding, networks and products.
#[pyfunction]
#[pyo3(name = "_cpu_features")]
pub(super) fn cpu_features() -> Vec<&'static str> {
    let found: &[(&str, bool)] = &[
        #[cfg(target_arch = "x86_64")]
        ("sse4.1", is_x86_feature_detected!("sse4.1")),
        #[cfg(target_arch = "x86_64")]
        ("avx2", is_x86_feature_detected!("avx2")),
        #[cfg(target_arch = "x86_64")]
        ("fma", is_x86_feature_detected!("fma")),
        #[cfg(target_arch = "x86_64")]
        ("avx512f", is_x86_feature_detected!("avx512f")),
        #[cfg(target_arch = "x86_64")]
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
        #[cfg(target_arch = "x86_64")]
        ("avxvnni", is_x86_feature_detected!("avxvnni")),
        #[cfg(target_arch = "x86_64")]
        ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        #[cfg(target_arch = "aarch64")]
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        #[cfg(target_arch = "aarch64")]
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        #[cfg(target_arch = "aarch64")]
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
        #[cfg(target_arch = "aarch64")]
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
    ];
    found.iter().filter(|(_, here)| *here).map(|(name, _)| *name).collect()
}

"""Image embeddings and PCA from a Rust core: Arrow in, Arrow out; PySpark by `sparkcider.functions` and `.feature`.

Importing this package imports no pyspark, loads no ONNX Runtime and starts no thread: PySpark forks its workers.
"""

from sparkcider._native import ImageDecodeError, ModelError, Moments, PcaError, SparkciderError
from sparkcider.extractor import FeatureExtractor
from sparkcider.pca.estimator import Pca
from sparkcider.version import __version__

__all__ = [
    "FeatureExtractor",
    "ImageDecodeError",
    "ModelError",
    "Moments",
    "Pca",
    "PcaError",
    "SparkciderError",
    "__version__",
]

_ELSEWHERE = {
    "feature": ("PCA", "PCAModel", "ImageFeaturizer", "StandardScaler", "StandardScalerModel"),
    "functions": ("image_features", "list_images", "nearest", "neighbors", "pca_project", "register"),
    "job": ("JobConfig", "run"),
}


def __getattr__(name: str) -> object:
    for module, names in _ELSEWHERE.items():
        if name in names:
            other = "; without Spark it is sparkcider.Pca" if name == "PCA" else ""
            raise ImportError(f"sparkcider has no {name}: from sparkcider.{module} import {name}{other}")
    raise AttributeError(f"module 'sparkcider' has no attribute {name!r}")

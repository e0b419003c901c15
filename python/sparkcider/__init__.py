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

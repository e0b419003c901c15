"""Image embeddings and PCA from a Rust core: Arrow in, Arrow out; PySpark by `sparkcider.functions` and `.feature`.

Importing this package imports no pyspark, loads no ONNX Runtime and starts no thread: PySpark forks its workers.
"""

from sparkcider._native import ImageDecodeError, ModelError, Moments, Pca, PcaError, SparkciderError
from sparkcider.extractor import FeatureExtractor

__version__ = "0.1.0"

__all__ = [
    "FeatureExtractor",
    "ImageDecodeError",
    "ModelError",
    "Moments",
    "Pca",
    "PcaError",
    "SparkciderError",
]

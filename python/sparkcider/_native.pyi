from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, final

import pyarrow as pa

class _ArrowArray(Protocol):
    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]: ...

class _ArrowStream(Protocol):
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

class SparkciderError(Exception): ...
class ImageDecodeError(SparkciderError): ...
class ModelError(SparkciderError): ...
class PcaError(SparkciderError): ...

@final
class FeatureExtractor:
    def __new__(
        cls,
        model: str | PathLike[str],
        *,
        input_size: int | tuple[int, int] | None = None,
        resize_mode: str | None = None,
        crop_ratio: float | None = None,
        filter: str | None = None,
        normalization: str | tuple[Sequence[float], Sequence[float]] | None = None,
        layout: str | None = None,
        color_order: str | None = None,
        pooling: str | None = None,
        layer: str | None = None,
        intra_threads: int = 1,
        apply_exif: bool = True,
        max_pixels: int = ...,
        background: tuple[int, int, int] | None = None,
    ) -> FeatureExtractor: ...
    def extract(self, images: _ArrowArray | _ArrowStream) -> tuple[pa.Array[Any], pa.Array[Any]]: ...
    @property
    def embedding_dim(self) -> int: ...
    @property
    def input_size(self) -> tuple[int, int]: ...
    @property
    def checksum(self) -> str: ...

def _encode_jpeg(pixels: bytes, height: int, width: int, quality: int) -> bytes: ...
def _onnxruntime() -> tuple[Path, str]: ...
def _cpu_features() -> list[str]: ...

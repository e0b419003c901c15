"""The options of `FeatureExtractor`: typed, and the names that some of them take, once for all that pass them on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence


PRESETS = ("tf", "caffe", "torch", "unit", "raw")
"""Of `normalization`."""

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Of `filter`."""

ROUNDINGS = ("torchvision", "transformers", "timm")
"""Of `rounding`."""

RESIZE_DTYPES = ("uint8", "float32")
"""Of `resize_dtype`."""

RESIZE_MODES = ("squash", "center_crop", "letterbox")
"""Of `resize_mode`."""

LAYOUTS = ("NCHW", "NHWC")
"""Of `layout` and `layer_layout`."""

COLOR_ORDERS = ("RGB", "BGR")
"""Of `color_order`."""

MAP_POOLINGS = ("avg", "max", "flatten")
"""Of `pooling`: those of a feature map."""

POOLINGS = (*MAP_POOLINGS, "cls", "mean_tokens")
"""Of `pooling`."""

DECODINGS = ("exact", "scaled")
"""Of `decode`."""


@dataclass(frozen=True)
class Description:
    """What a file beside a model says of the preparation of images; `sparkcider.models.descriptions` reads it.

    Attributes:
        source: The file.
        entries: Names of options with their values, spelled as the metadata of a model file; `library` in place of
            `pooling` is a sentence on a pooling that none of the options is.
    """

    source: str
    entries: tuple[tuple[str, str], ...]

    def native(self) -> tuple[tuple[str, str], ...]:
        """What the native extractor takes: the entries, and the file for messages."""
        return (("source", self.source), *self.entries)


class ExtractorOptions(TypedDict, total=False):
    """Keyword arguments of `sparkcider.FeatureExtractor`; see there for meanings and defaults."""

    input_size: int | tuple[int, int] | None
    resize_mode: str | None
    resize_size: int | tuple[int, int] | None
    crop_ratio: float | None
    filter: str | None
    rounding: str | None
    resize_dtype: str | None
    fill_color: tuple[int, int, int] | None
    normalization: str | tuple[Sequence[float], Sequence[float]] | None
    layout: str | None
    color_order: str | None
    pooling: str | None
    prefix_tokens: int | None
    layer: str | Sequence[str] | None
    layer_layout: str | None
    l2_normalize: bool | None
    intra_threads: int | None
    decode: str | None
    apply_exif: bool
    max_pixels: int | None
    background: tuple[int, int, int] | None
    preprocessing: str | os.PathLike[str] | Description | None

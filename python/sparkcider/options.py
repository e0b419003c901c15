"""The options of `FeatureExtractor`: typed, and the names that some of them take, once for all that pass them on."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Sequence


PRESETS = ("tf", "caffe", "torch", "unit", "raw")
"""Of `normalization`."""

FILTERS = ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
"""Of `filter`."""

RESIZE_MODES = ("squash", "center_crop", "letterbox")
"""Of `resize_mode`."""

LAYOUTS = ("NCHW", "NHWC")
"""Of `layout` and `layer_layout`."""

COLOR_ORDERS = ("RGB", "BGR")
"""Of `color_order`."""

POOLINGS = ("avg", "max", "flatten")
"""Of `pooling`."""


class ExtractorOptions(TypedDict, total=False):
    """Keyword arguments of `sparkcider.FeatureExtractor`; see there for meanings and defaults."""

    input_size: int | tuple[int, int] | None
    resize_mode: str | None
    crop_ratio: float | None
    filter: str | None
    normalization: str | tuple[Sequence[float], Sequence[float]] | None
    layout: str | None
    color_order: str | None
    pooling: str | None
    layer: str | None
    layer_layout: str | None
    intra_threads: int | None
    apply_exif: bool
    max_pixels: int | None
    background: tuple[int, int, int] | None

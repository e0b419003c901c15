"""The extractor that finds its model by name, path or URI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sparkcider import _native

if TYPE_CHECKING:
    import os

    from typing_extensions import Self, Unpack

    from sparkcider.options import ExtractorOptions


class FeatureExtractor(_native.FeatureExtractor):
    """Turns encoded images into embeddings with one model.

    Args:
        model: `"pixels"`, or an ONNX file with one image input (float32, rank 4): a path, or a name or URI as
            `sparkcider.models.resolve` takes them.
        input_size: Side or (height, width), 1 to 4,096 pixels each. Default: what the model says; 20 for `pixels`.
        resize_mode: `squash` (default), `center_crop` or `letterbox`.
        crop_ratio: For `center_crop` only: input size over the short side before the cut, 0.01 to 1. Default 0.875.
        filter: `nearest`, `box`, `bilinear`, `hamming`, `bicubic` (default; `pixels`: `nearest`) or `lanczos`.
        normalization: `tf`, `caffe`, `torch`, `unit`, `raw`, or (mean, std) in [0, 1] per RGB channel. Must be given
            where the model file does not say it; `pixels`: `unit`.
        layout: `NCHW` or `NHWC`. Default: what the graph says.
        color_order: `RGB` or `BGR`. Default: the normalization's own.
        pooling: `avg` (default), `max` or `flatten`, for a model whose output is a feature map.
        layer: Name of the output, or of any tensor inside the graph, to take. Default: the first output.
        layer_layout: `NCHW` or `NHWC`: where an output that is a feature map has its channels. Must be given where the
            operators of the graph do not tell.
        intra_threads: Threads inside one operator, 1 to 1,024. Default 1, as a Spark task is one core.
        apply_exif: Turn images upright as their EXIF orientation says. Default True.
        max_pixels: Refuse images over this many pixels by their header. Default 178,956,970, Pillow's error limit.
        background: RGB colour that transparent pixels and letterbox bars get. Default: alpha is dropped, bars are
            black.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: The file cannot be read, is not valid ONNX, does not have exactly one image input or has wrong
            metadata, or ONNX Runtime cannot be loaded.
        ValueError: An option has a value that it cannot take, or is missing, or has no effect on this model.

    Example:
        >>> import pyarrow as pa
        >>> from sparkcider import FeatureExtractor
        >>> features, errors = FeatureExtractor("pixels").extract(pa.array([b"no image", None]))
        >>> len(features), features.null_count, errors[1].as_py()
        (2, 2, 'null image')
    """

    __slots__ = ()

    def __new__(cls, model: str | os.PathLike[str], **options: Unpack[ExtractorOptions]) -> Self:
        """Finds the model's file and opens it."""
        if not Path(model).is_file():
            from sparkcider.models import resolve

            model = resolve(model)
        return super().__new__(cls, model, **options)

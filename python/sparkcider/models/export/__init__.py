"""A pretrained network as one self-describing ONNX file, checked against the original.

A source (`keras`, `torchvision`, `timm`, `huggingface`, `open_clip`) gives the ONNX graph, the original as a function
of pixels, and what belongs to it; here the two are compared, the metadata written and the file put in its place.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from sparkcider._native import FeatureExtractor, ModelError
from sparkcider.models import backbone, cache
from sparkcider.models.export.source import set_metadata
from sparkcider.options import MAP_POOLINGS
from sparkcider.samples import encode_png
from sparkcider.storage.files import upload

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from sparkcider.models.export.source import Source

TOLERANCE = 1e-4
"""Largest difference to the original, over the largest value: float32 sums of two libraries differ by 1e-6 to 1e-5."""

TRIAL_IMAGES = 4

TRIAL_SIZES = ((224, 224), (97, 401), (640, 481), (300, 199))
"""(height, width) of the images that a library prepares itself."""

SOURCES = ("keras", "torchvision", "timm", "huggingface", "open_clip")


class Exported(NamedTuple):
    """What `export` made.

    Attributes:
        to: The path or URI of the file.
        checksum: SHA-256 in hexadecimal.
        embedding_dim: D.
        difference: Largest difference to the original over the largest value, on random images.
    """

    to: str
    checksum: str
    embedding_dim: int
    difference: float


def export(
    name: str,
    to: str | os.PathLike[str] | None = None,
    *,
    source: str = "keras",
    input_size: int | tuple[int, int] | None = None,
    pooling: str = "avg",
    weights: str = "pretrained",
) -> Exported:
    """Builds a network without its classifier, checks it against the original and writes it with its metadata.

    Args:
        name: Of `sparkcider.models.REGISTRY`; of torchvision's or timm's own registry; OWNER/NAME of the Hugging Face
            Hub or a folder that transformers saved; of `open_clip.list_models()`.
        to: Path or URI of the ONNX file. Default: the cache, where the name is found as `model=`; a name
            with `/` needs it.
        source: `keras`, `torchvision`, `timm`, `huggingface` or `open_clip`.
        input_size: Side or (height, width) in pixels, for `keras` and `torchvision`. Default: what the network was
            trained for.
        pooling: How the last map of a network of `keras` becomes D values: `avg`, `max` or `flatten`.
        weights: `pretrained` (`imagenet` is the same), `none` (random, always the same ones) or the path of a file that
            its framework saved. For open_clip one of its tags, too.

    Raises:
        ImportError: What the source needs is not installed.
        ModelError: The weights cannot be reached, or the file does not do what the original does.
        ValueError: An option has a value that it cannot take.
        FileNotFoundError: There is no such file of weights.
    """
    if pooling not in MAP_POOLINGS:
        raise ValueError(f"pooling must be avg, max or flatten, got {pooling}")
    weights = "pretrained" if weights == "imagenet" else weights
    if source != "open_clip" and weights not in ("pretrained", "none") and not Path(weights).exists():
        raise FileNotFoundError(f"file of weights not found: {weights} (or give pretrained or none)")
    if to is None and "/" in name:
        raise ValueError(f"to must be given, as {name} is not the name of a file")
    name, built = _built(name, source, input_size, pooling, weights)
    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder:
        path = Path(folder, "model.onnx")
        embedding_dim, difference = _write(built, path, {"name": name, "pooling": pooling})
        target = str(cache.named_folder() / f"{name}.onnx" if to is None else to)
        upload(path, target)
        return Exported(target, cache.checksum_of(path), embedding_dim, difference)


def _built(
    name: str, source: str, input_size: int | tuple[int, int] | None, pooling: str, weights: str
) -> tuple[str, Source]:
    """The network of its source, and the name that it is known by."""
    sides = (input_size, input_size) if isinstance(input_size, int) else input_size
    if source == "keras":
        from sparkcider.models.export import keras

        name = backbone(name)
        return name, keras.build(name, sides, pooling, weights)
    if source == "torchvision":
        from sparkcider.models.export import torchvision

        return name, torchvision.build(name, sides, pooling, weights)
    if source not in SOURCES:
        raise ValueError(f"a network comes from {', '.join(SOURCES[:-1])} or {SOURCES[-1]}, got {source}")
    if sides is not None:
        raise ValueError(f"networks of {source} have the size of their description: leave input_size out")
    if pooling != "avg":
        raise ValueError(f"networks of {source} have their own pooling: leave pooling at avg, got {pooling}")
    if source == "timm":
        from sparkcider.models.export import timm

        return name, timm.build(name, weights)
    if source == "open_clip":
        from sparkcider.models.export import open_clip

        return name, open_clip.build(name, weights)
    from sparkcider.models.export import huggingface

    return name, huggingface.build(name, weights)


def _write(built: Source, path: Path, metadata: Mapping[str, str]) -> tuple[int, float]:
    """Writes the file, compares it with the original; returns D and the difference."""
    model = built.model
    images, given = _trial(built)
    expected = built.embed(images)
    set_metadata(
        model,
        {
            **metadata,
            **built.metadata,
            "input_name": model.graph.input[0].name,
            "output_name": model.graph.output[0].name,
            "embedding_dim": str(expected.shape[1]),
        },
    )
    path.write_bytes(model.SerializeToString())
    features, errors = FeatureExtractor(path, **given).extract(pa.array([encode_png(image) for image in images]))
    if features.null_count:
        raise ModelError(f"the exported model gives no features: {errors[0].as_py()}")
    found = features.flatten().to_numpy().reshape(len(images), -1)
    if found.shape != expected.shape:
        raise ModelError(f"the exported model gives {found.shape[1]} values an image, the original {expected.shape[1]}")
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), np.finfo(np.float32).tiny))
    if not difference <= TOLERANCE:
        raise ModelError(f"the exported model differs from the original by {difference:.1e} of its largest value")
    return expected.shape[1], difference


def _trial(built: Source) -> tuple[Any, dict[str, Any]]:
    """Random images to compare on, and the options for them."""
    random = np.random.default_rng(0)
    if built.prepares:
        return [random.integers(0, 256, (*size, 3), np.uint8) for size in TRIAL_SIZES], {}
    height, width = (int(side) for side in built.metadata["input_size"].split("x"))
    # The images have the input's size already: squashed, they stay as they are.
    return random.integers(0, 256, (TRIAL_IMAGES, height, width, 3), np.uint8), {"resize_mode": "squash"}

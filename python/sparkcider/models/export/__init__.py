"""A pretrained network as one self-describing ONNX file, checked against the original.

A source (`keras`, `torchvision`) gives the ONNX graph, the original as a function of pixels, and what belongs to it;
here the two are compared, the metadata written and the file put in its place.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from sparkcider._native import FeatureExtractor, ModelError
from sparkcider.models import backbone, cache
from sparkcider.models.export.source import set_metadata
from sparkcider.options import POOLINGS
from sparkcider.samples import encode_png
from sparkcider.storage.remote import upload

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from sparkcider.models.export.source import Source

TOLERANCE = 1e-4
"""Largest difference to the original, over the largest value: float32 sums of two libraries differ by 1e-6 to 1e-5."""

TRIAL_IMAGES = 4


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
    weights: str = "imagenet",
) -> Exported:
    """Builds a network without its classifier, checks it against the original and writes it with its metadata.

    Args:
        name: Of `sparkcider.models.REGISTRY`; for `torchvision` a name of its own registry does, too.
        to: Path or URI of the ONNX file. Default: the cache, where the name is found as `model=`.
        source: `keras` or `torchvision`.
        input_size: Side or (height, width) in pixels. Default: what the network was trained for.
        pooling: How the last map becomes D values: `avg`, `max` or `flatten`.
        weights: `imagenet`, `none` (random, always the same ones) or the path of a file that its framework saved.

    Raises:
        ImportError: The extra `export` is not installed.
        ModelError: The weights cannot be reached, or the file does not do what the original does.
        ValueError: An option has a value that it cannot take.
        FileNotFoundError: There is no such file of weights.
    """
    if pooling not in POOLINGS:
        raise ValueError(f"pooling must be avg, max or flatten, got {pooling}")
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise FileNotFoundError(f"file of weights not found: {weights} (or give imagenet or none)")
    sides = None if input_size is None else (input_size, input_size) if isinstance(input_size, int) else input_size
    if source == "keras":
        from sparkcider.models.export import keras

        name = backbone(name)
        built = keras.build(name, sides, pooling, weights)
    elif source == "torchvision":
        from sparkcider.models.export import torchvision

        built = torchvision.build(name, sides, pooling, weights)
    else:
        raise ValueError(f"a network comes from keras or torchvision, got {source}")
    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder:
        path = Path(folder, "model.onnx")
        embedding_dim, difference = _write(built, path, {"name": name, "pooling": pooling})
        target = str(cache.named_folder() / f"{name}.onnx" if to is None else to)
        upload(path, target)
        return Exported(target, cache.checksum_of(path), embedding_dim, difference)


def _write(built: Source, path: Path, metadata: Mapping[str, str]) -> tuple[int, float]:
    """Writes the file, compares it with the original; returns D and the difference."""
    model = built.model
    height, width = (int(side) for side in built.metadata["input_size"].split("x"))
    images = np.random.default_rng(0).integers(0, 256, (TRIAL_IMAGES, height, width, 3), np.uint8)
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
    # The images have the input's size already: squashed, they stay as they are.
    features, errors = FeatureExtractor(path, resize_mode="squash").extract(
        pa.array([encode_png(image) for image in images])
    )
    if features.null_count:
        raise ModelError(f"the exported model gives no features: {errors[0].as_py()}")
    found = features.flatten().to_numpy().reshape(len(images), -1)
    if found.shape != expected.shape:
        raise ModelError(f"the exported model gives {found.shape[1]} values an image, the original {expected.shape[1]}")
    difference = float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), np.finfo(np.float32).tiny))
    if not difference <= TOLERANCE:
        raise ModelError(f"the exported model differs from the original by {difference:.1e} of its largest value")
    return expected.shape[1], difference

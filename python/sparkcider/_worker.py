"""What runs in the Python workers of Spark's executors; an extractor lives once per process there, across tasks.

Nothing here names pyspark: Arrow (or pandas) in, Arrow (or pandas) out. The functions that Spark pickles carry a
`ModelFile`, a name and a checksum; the file itself travels once per executor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from sparkcider import FeatureExtractor, ImageDecodeError, ModelError

if TYPE_CHECKING:  # an import of pandas costs a worker a third of a second
    import pandas as pd

SLICE_ROWS = 256
"""Rows embedded and given back at a time: 1,280 float32 each are 1.3 MB, whatever the size of Spark's batch."""

CACHED_MODELS = 2
"""Models kept open per worker process: a job has one; two let a comparison of two run without reloading."""

FEATURES_TYPE = pa.list_(pa.float32())

Locate = Callable[[str], str]
"""Turns the name of a delivered file into its path on this machine: `SparkFiles.get`."""


class ModelFile(NamedTuple):
    """All that a task needs to know to open the model.

    Attributes:
        file: Name of the delivered file; None for a model that is no file (`pixels`).
        checksum: What `FeatureExtractor.checksum` must be.
        options: Keyword arguments of `FeatureExtractor`, sorted, so that equal options are one cache entry.
    """

    file: str | None
    checksum: str
    options: tuple[tuple[str, Any], ...]


def embed(
    batches: Iterator[pa.Array[Any]], model: ModelFile, locate: Locate, *, on_error: str, with_error: bool
) -> Iterator[pa.Array[Any]]:
    """Embeds batches of encoded images, in slices of at most `SLICE_ROWS` rows.

    Args:
        batches: `binary` arrays of any length.
        model: The model to embed with.
        locate: Where delivered files lie.
        on_error: `null` leaves the row of a bad image null, `raise` stops.
        with_error: Yield a struct of features and error in place of features.

    Yields:
        `list<float32>`, D per row; or `struct<features: list<float32>, error: string>`.

    Raises:
        ImageDecodeError: An image is bad and `on_error` is `raise`.
        TypeError: The column is not binary.
    """
    extractor = _extractor(os.getpid(), model, locate)
    row = 0
    for batch in batches:
        for piece in _slices(batch):
            features, errors = extractor.extract(piece)
            if on_error == "raise" and errors.null_count < len(errors):
                _raise_first(errors, row)
            row += len(piece)
            features = features.cast(FEATURES_TYPE)
            yield pa.StructArray.from_arrays([features, errors], ["features", "error"]) if with_error else features


def embed_pandas(
    batches: Iterator[pd.Series[Any]], model: ModelFile, locate: Locate, *, on_error: str, with_error: bool
) -> Iterator[Any]:
    """`embed` for Spark before 4.1, which hands pandas to its functions: same rows, as Series or DataFrame."""
    pieces = (
        pa.Array.from_pandas(batch.iloc[start : start + SLICE_ROWS])
        for batch in batches
        for start in range(0, max(len(batch), 1), SLICE_ROWS)
    )
    for rows in embed(pieces, model, locate, on_error=on_error, with_error=with_error):
        yield pa.RecordBatch.from_struct_array(rows).to_pandas() if with_error else rows.to_pandas()


def _slices(batch: pa.Array[Any]) -> Iterator[pa.Array[Any]]:
    # An empty batch is one empty slice: Spark wants a batch back for each one it sends.
    images = batch.cast(pa.binary()) if pa.types.is_null(batch.type) else batch  # pandas forgets the type of all nulls
    for start in range(0, max(len(images), 1), SLICE_ROWS):
        yield images.slice(start, SLICE_ROWS)


def _raise_first(errors: pa.Array[Any], row: int) -> None:
    for offset, reason in enumerate(errors.to_pylist()):
        if reason is not None:
            raise ImageDecodeError(f"image {row + offset} of this task: {reason}")


@lru_cache(maxsize=CACHED_MODELS)
def _extractor(pid: int, model: ModelFile, locate: Locate) -> FeatureExtractor:  # noqa: ARG001 - pid is part of the key
    path = model.checksum if model.file is None else locate(model.file)
    if model.file is not None and not Path(path).is_file():
        raise ModelError(f"model file {model.file} has not reached this executor")
    extractor = FeatureExtractor(path, **dict(model.options))
    if extractor.checksum != model.checksum:
        raise ModelError(f"model file {path} has checksum {extractor.checksum}, expected {model.checksum}")
    return extractor

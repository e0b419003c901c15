"""What runs in the Python workers of Spark's executors; an extractor lives once per process there, across tasks.

Nothing here names pyspark: Arrow (or pandas) in, Arrow (or pandas) out. The functions that Spark pickles carry a
`ModelFile`, a name and a checksum; the file itself travels once per executor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider import FeatureExtractor, ImageDecodeError, ModelError, Moments, Pca, PcaError

if TYPE_CHECKING:  # an import of pandas costs a worker a third of a second
    import pandas as pd

SLICE_ROWS = 256
"""Rows embedded and given back at a time: 1,280 float32 each are 1.3 MB, whatever the size of Spark's batch."""

CACHED_MODELS = 2
"""Models kept open per worker process: a job has one; two let a comparison of two run without reloading."""

CHUNK_BYTES = 1 << 20
"""Bytes of saved moments per row: with `_moments.BATCH_ROWS` rows, a batch on its way to a merge is 64 MiB."""

FEATURES_TYPE = pa.list_(pa.float32())

PARTIALS = pa.schema([("partial", pa.int32()), ("chunk", pa.int32()), ("data", pa.binary()), ("fault", pa.string())])
"""Moments of a part of the rows, cut into chunks; or one row with the fault that ended them."""

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


def project(
    batches: Iterator[pa.Array[Any]], file: str, locate: Locate, *, center: bool, on_error: str
) -> Iterator[pa.Array[Any]]:
    """Projects batches of features onto the components of a delivered `Pca`.

    Args:
        batches: `list<float32 | float64>` arrays, D per row.
        file: Name of the delivered file, `Pca.to_bytes`.
        locate: Where delivered files lie.
        center: Subtract the mean (and divide by the scale, if the PCA has one) first.
        on_error: `null` gives null for an invalid row, `raise` stops.

    Yields:
        Lists of k values of the same type.

    Raises:
        PcaError: A row is invalid and `on_error` is `raise`.
    """
    pca = _pca(os.getpid(), file, locate)
    for batch in batches:
        if on_error == "raise" and batch.null_count:
            raise PcaError("a row of features is null")
        yield pca.transform(batch, center=center, skip_invalid=on_error == "null")


def project_pandas(
    batches: Iterator[pd.Series[Any]], file: str, locate: Locate, *, center: bool, on_error: str, double: bool
) -> Iterator[Any]:
    """`project` for Spark before 4.1; pandas does not say whether its values are floats or doubles: `double` does."""
    values = pa.list_(pa.float64() if double else pa.float32())
    # A list, not the Series: pyarrow takes NaN inside of a Series for null.
    arrays = (pa.array(list(batch), values) for batch in batches)
    for rows in project(arrays, file, locate, center=center, on_error=on_error):
        yield rows.to_pandas()


def partial_moments(
    batches: Iterable[pa.RecordBatch], partition: int, width: int | None, *, skip_invalid: bool
) -> Iterator[pa.RecordBatch]:
    """Sums one partition's features up: its moments as rows of `PARTIALS`, or its fault; nothing for no rows.

    Args:
        batches: Batches whose first column holds the features.
        partition: Number of the partial.
        width: With `skip_invalid`, the only length of a row that counts.
        skip_invalid: Leave invalid rows out and count them.
    """
    moments = Moments()
    try:
        for batch in batches:
            features = batch.column(0)
            moments.update(_of_width(features, width) if skip_invalid else features, skip_invalid=skip_invalid)
    except PcaError as error:
        # A row, not an exception: the driver raises it as it is, and Spark does not try the task four times.
        yield _partial(partition, fault=str(error))
        return
    yield from _saved(moments, partition)


def _of_width(features: pa.Array[Any], width: int | None) -> pa.Array[Any]:
    # A partition that starts with a short row must not take that for the length: other lengths become null here.
    fits = pc.equal(pc.list_value_length(features), width)
    return features if width is None or pc.all(fits).as_py() is not False else pc.if_else(fits, features, None)


def merge_partials(batches: Iterable[pa.RecordBatch], fan_in: int) -> Iterator[pa.RecordBatch]:
    """Merges partials, sorted by (partial, chunk), into one; the first fault wins.

    Args:
        batches: Rows of `PARTIALS`.
        fan_in: Partials that become one: their numbers are divided by it.
    """
    merged = Moments()
    number = 0
    rows = (row for batch in batches for row in batch.to_pylist())
    for number, chunks_of_one in groupby(rows, key=lambda row: row["partial"]):
        taken = list(chunks_of_one)
        fault = taken[0]["fault"]
        if fault is None:
            try:
                merged.merge(Moments.from_bytes(b"".join(row["data"] for row in taken)))
            except PcaError as error:
                fault = str(error)
        if fault is not None:
            yield _partial(number // fan_in, fault=fault)
            return
    yield from _saved(merged, number // fan_in)


def chunks(data: bytes) -> Iterator[bytes]:
    """Cuts bytes into pieces of `CHUNK_BYTES`; the last is shorter."""
    return (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))


def _saved(moments: Moments, number: int) -> Iterator[pa.RecordBatch]:
    if moments.n_samples or moments.n_invalid:
        for index, chunk in enumerate(chunks(moments.to_bytes())):
            yield _partial(number, index, chunk)


def _partial(number: int, chunk: int = 0, data: bytes | None = None, fault: str | None = None) -> pa.RecordBatch:
    row = {"partial": number, "chunk": chunk, "data": data, "fault": fault}
    return pa.RecordBatch.from_pylist([row], schema=PARTIALS)


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


@lru_cache(maxsize=CACHED_MODELS)
def _pca(pid: int, file: str, locate: Locate) -> Pca:  # noqa: ARG001 - a forked child reads its own
    return Pca.from_bytes(Path(locate(file)).read_bytes())

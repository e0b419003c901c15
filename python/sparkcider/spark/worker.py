"""What runs in the Python workers of Spark's executors; an extractor lives once per process there, across tasks.

Nothing here names pyspark: Arrow (or pandas) in, Arrow (or pandas) out. The functions that Spark pickles carry a
`ModelFile`, a name and a checksum; the file itself travels once per executor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider import FeatureExtractor, ImageDecodeError, ModelError, Pca, PcaError

if TYPE_CHECKING:  # an import of pandas costs a worker a third of a second
    import pandas as pd

SLICE_ROWS = 256
"""Rows embedded and given back at a time: 1,280 float32 each are 1.3 MB, whatever the size of Spark's batch."""

CACHED_MODELS = 2
"""Models kept open per worker process: a job has one; two let a comparison of two run without reloading."""

CHUNK_BYTES = 1 << 16
"""Bytes of a saved summary per row: with `moments.MOST_ROWS` rows, a batch on its way to a merge is 64 MiB."""

FEATURES_TYPE = pa.list_(pa.float32())

PARTIALS = pa.schema(
    [
        ("partial", pa.int32()),
        ("chunk", pa.int32()),
        ("data", pa.binary()),
        ("fault", pa.string()),
        ("too_wide", pa.int32()),
    ]
)
"""A summary of a part of the rows, cut into chunks; or one row with the fault or the length that ended it."""

Locate = Callable[[str], str]
"""Turns the name of a delivered file into its path on this machine: `SparkFiles.get`."""


class Summary(Protocol):
    """What a pass over the rows sums up: `Moments` or `Sketch`."""

    def update(self, features: Any, *, skip_invalid: bool = False) -> int:
        """Adds rows."""

    def merge(self, other: Any) -> None:
        """Adds the rows that another has seen."""

    def to_bytes(self) -> bytes:
        """All of it."""

    @staticmethod
    def from_bytes(data: bytes) -> Summary:
        """What `to_bytes` gave."""

    @property
    def n_samples(self) -> int:
        """Rows added."""

    @property
    def n_invalid(self) -> int:
        """Rows left out."""


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
    batches: Iterator[pa.Array[Any]], file: str, locate: Locate, *, to: str, on_error: str, options: Mapping[str, Any]
) -> Iterator[pa.Array[Any]]:
    """Takes batches of rows through a delivered `Pca`.

    Args:
        batches: `list<float32 | float64>` arrays: D values per row, for `inverse_transform` k.
        file: Name of the delivered file, `Pca.to_bytes`.
        locate: Where delivered files lie.
        to: What of `Pca` to call: `transform`, `inverse_transform` or `reconstruction_error`.
        on_error: `null` gives null for an invalid row, `raise` stops.
        options: Keyword arguments of the call.

    Yields:
        What the call gives: lists of k or of D values of the same type, or one value per row.

    Raises:
        PcaError: A row is invalid and `on_error` is `raise`.
    """
    call = getattr(_pca(os.getpid(), file, locate), to)
    for batch in batches:
        if on_error == "raise" and batch.null_count:
            raise PcaError("a row of features is null")
        yield call(batch, skip_invalid=on_error == "null", **options)


def in_pandas(batches: Iterator[pd.Series[Any]], values: str, work: Callable[..., Iterator[Any]]) -> Iterator[Any]:
    """An Arrow function over lists for Spark before 4.1; pandas does not say what its values are: `values` does.

    Args:
        batches: Series of lists.
        values: `float` or `double`.
        work: Takes an iterator of `list<float32 | float64>` arrays, gives one of arrays.
    """
    lists = pa.list_(pa.float64() if values == "double" else pa.float32())
    # A list, not the Series: pyarrow takes NaN inside of a Series for null.
    for rows in work(pa.array(list(batch), lists) for batch in batches):
        yield rows.to_pandas()


def scale(
    batches: Iterator[pa.Array[Any]], shift: np.ndarray, factor: np.ndarray, *, on_error: str
) -> Iterator[pa.Array[Any]]:
    """(row - shift) * factor of each row, in f64, given back in the type of the rows.

    Args:
        batches: `list<float32 | float64>` arrays, D values per row.
        shift: (D) float64.
        factor: (D) float64.
        on_error: `null` gives null for a row that is null, of another length or with a NaN or infinity, `raise` stops.

    Raises:
        PcaError: A row is invalid and `on_error` is `raise`.
    """
    for batch in batches:
        fits = pc.fill_null(pc.equal(pc.list_value_length(batch), len(shift)), fill_value=False)
        good = np.array(fits, bool)
        rows = batch.filter(fits).flatten().to_numpy(zero_copy_only=False).reshape(-1, len(shift))
        finite = np.isfinite(rows).all(axis=1)
        good[good] = finite
        if on_error == "raise" and not good.all():
            raise PcaError(f"row {good.argmin()} of a batch is null, not {len(shift)} values, or has a NaN or infinity")
        scaled = ((rows[finite].astype(np.float64) - shift) * factor).astype(rows.dtype).ravel()
        lists = pa.FixedSizeListArray.from_arrays(pa.array(scaled), len(shift)).cast(batch.type)
        yield lists.take(pa.array(np.cumsum(good) - 1, mask=~good))


def partial_summary(
    batches: Iterable[pa.RecordBatch],
    partition: int,
    summary: Summary,
    width: int | None,
    *,
    widest: int | None = None,
    skip_invalid: bool,
) -> Iterator[pa.RecordBatch]:
    """Sums one partition's features up: the summary as rows of `PARTIALS`, or its fault; nothing for no rows.

    Args:
        batches: Batches whose first column holds the features.
        partition: Number of the partial.
        summary: `Moments` or a `Sketch` of no rows.
        width: With `skip_invalid`, the only length of a row that counts.
        widest: Rows longer than this are not summed up: their length is given back at once.
        skip_invalid: Leave invalid rows out and count them.
    """
    try:
        for batch in batches:
            features = _of_width(batch.column(0), width) if skip_invalid else batch.column(0)
            if widest is not None and (longest := pc.max(pc.list_value_length(features)).as_py() or 0) > widest:
                yield _partial(partition, too_wide=longest)
                return
            summary.update(features, skip_invalid=skip_invalid)
    except PcaError as error:
        # A row, not an exception: the driver raises it as it is, and Spark does not try the task four times.
        yield _partial(partition, fault=str(error))
        return
    yield from _saved(summary, partition)


def _of_width(features: pa.Array[Any], width: int | None) -> pa.Array[Any]:
    # A partition that starts with a short row must not take that for the length: other lengths become null here.
    fits = pc.equal(pc.list_value_length(features), width)
    return features if width is None or pc.all(fits).as_py() is not False else pc.if_else(fits, features, None)


def merge_partials(batches: Iterable[pa.RecordBatch], fan_in: int, kind: type[Summary]) -> Iterator[pa.RecordBatch]:
    """Merges partials, sorted by (partial, chunk), into one; the first fault wins.

    Args:
        batches: Rows of `PARTIALS`.
        fan_in: Partials that become one: their numbers are divided by it.
        kind: The class of the summaries.
    """
    merged: Summary | None = None
    number = 0
    rows = (row for batch in batches for row in batch.to_pylist())
    for number, chunks_of_one in groupby(rows, key=lambda row: row["partial"]):
        taken = list(chunks_of_one)
        fault, too_wide = taken[0]["fault"], taken[0]["too_wide"]
        if fault is None and too_wide is None:
            try:
                other = kind.from_bytes(b"".join(row["data"] for row in taken))
                if merged is None:
                    merged = other
                else:
                    merged.merge(other)
            except PcaError as error:
                fault = str(error)
        if fault is not None or too_wide is not None:
            yield _partial(number // fan_in, fault=fault, too_wide=too_wide)
            return
    if merged is not None:
        yield from _saved(merged, number // fan_in)


def chunks(data: bytes) -> Iterator[bytes]:
    """Cuts bytes into pieces of `CHUNK_BYTES`; the last is shorter."""
    return (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))


def _saved(summary: Summary, number: int) -> Iterator[pa.RecordBatch]:
    if summary.n_samples or summary.n_invalid:
        for index, chunk in enumerate(chunks(summary.to_bytes())):
            yield _partial(number, index, chunk)


def _partial(
    number: int, chunk: int = 0, data: bytes | None = None, *, fault: str | None = None, too_wide: int | None = None
) -> pa.RecordBatch:
    row = {"partial": number, "chunk": chunk, "data": data, "fault": fault, "too_wide": too_wide}
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

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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider import FeatureExtractor, ImageDecodeError, ModelError, PcaError
from sparkcider._native import Pca
from sparkcider.columns import variable_lists
from sparkcider.contents import extract
from sparkcider.pca.rows import RowSum, Tally
from sparkcider.saved_stage import chunks
from sparkcider.spark.image_slices import SLICE_ROWS, image_slices

if TYPE_CHECKING:  # an import of pandas costs a worker a third of a second
    import pandas as pd

    from sparkcider.pca.rows import RowRules
    from sparkcider.pca.summary import Summary

CACHED_MODELS = 2
"""Models kept open per worker process: a job has one; two let a comparison of two run without reloading."""

OUTCOME = ["features", "error", "error_kind"]
"""The fields of what becomes of an image."""

PARTIALS = pa.schema(
    [
        ("partial", pa.int32()),
        ("chunk", pa.int32()),
        ("data", pa.binary()),
        ("tally", pa.string()),
        ("fault", pa.string()),
        ("too_wide", pa.int32()),
    ]
)
"""A summary of a part of the rows, cut into chunks, with the tally of the rows in the first one; or one row with the
fault or the length that ended it. Without a row that is not null there is a tally only."""

Locate = Callable[[str], str]
"""Turns the name of a delivered file into its path on this machine: `SparkFiles.get`."""


class ModelFile(NamedTuple):
    """All that a task needs to know to open the model.

    Attributes:
        file: Name of the delivered file; None for a model that is not a file (`pixels`).
        checksum: What `FeatureExtractor.checksum` must be.
        options: Keyword arguments of `FeatureExtractor`, sorted, so that equal options are one cache entry.
    """

    file: str | None
    checksum: str
    options: tuple[tuple[str, Any], ...]


def embed(
    batches: Iterator[pa.Array[Any]],
    model: ModelFile,
    locate: Locate,
    *,
    on_error: str,
    with_error: bool,
    in_flight: int = 32,
    many: bool = False,
) -> Iterator[pa.Array[Any]]:
    """Embeds batches of encoded images, or of the paths of files to fetch, in slices of at most `SLICE_ROWS` images.

    Files are fetched ahead of the slice that is embedded, across the batches.

    Args:
        batches: `binary` or `string` arrays of any length; all of one type, but for the null type of all nulls. With
            `many` lists of `binary`.
        model: The model to embed with.
        locate: Where delivered files are.
        on_error: `null` leaves the row of a bad image null, `raise` stops.
        with_error: Yield a struct of features, error and its kind in place of features.
        in_flight: Most files that are fetched at a time.
        many: A row has a list of images; a list that is null is one image that is null.

    Yields:
        `list<float32>`, D per row; or `struct<features: list<float32>, error: string, error_kind: string>`; with `many`
        lists of these.

    Raises:
        ImageDecodeError: An image is bad, or cannot be fetched, and `on_error` is `raise`.
        TypeError: The column is neither binary nor string, or a path is neither absolute nor a URI of a known scheme.
    """
    extractor = open_extractor(os.getpid(), model, locate)
    row = 0
    for contents, lists in image_slices(batches, in_flight, many=many):
        features, errors, kinds = extract(extractor, contents)
        if on_error == "raise" and errors.null_count < len(errors):
            _raise_first(errors, row)
        row += len(errors)
        features = _as_lists(features)
        if lists is not None:
            features, errors, kinds = lists.features(features), lists.words(errors), lists.words(kinds)
        yield pa.StructArray.from_arrays([features, errors, kinds], OUTCOME) if with_error else features


def _as_lists(features: pa.Array[Any]) -> pa.Array[Any]:
    """The types of Spark. Of several layers the fields of a bad image are null, not the struct, as in pandas."""
    if not pa.types.is_struct(features.type):
        return variable_lists(features)
    names = [field.name for field in features.type]
    return pa.StructArray.from_arrays([variable_lists(features.field(name)) for name in names], names)


def embed_pandas(
    batches: Iterator[pd.Series[Any]], model: ModelFile, locate: Locate, *, with_error: bool, **options: Any
) -> Iterator[Any]:
    """`embed` for Spark before 4.1, which hands pandas to its functions: same rows, as Series or DataFrame."""
    pieces = (
        pa.Array.from_pandas(batch.iloc[start : start + SLICE_ROWS])
        for batch in batches
        for start in range(0, max(len(batch), 1), SLICE_ROWS)
    )
    for rows in embed(pieces, model, locate, with_error=with_error, **options):
        is_struct = pa.types.is_struct(rows.type)
        yield pa.RecordBatch.from_struct_array(rows).to_pandas() if is_struct else rows.to_pandas()


def project(
    batches: Iterator[pa.Array[Any]], file: str, locate: Locate, *, to: str, rules: RowRules, options: Mapping[str, Any]
) -> Iterator[pa.Array[Any]]:
    """Takes batches of rows through a delivered `Pca`.

    Args:
        batches: `list<float32 | float64>` arrays: D values per row, for `inverse_transform` k.
        file: Name of the delivered file, `Pca.to_bytes`.
        locate: Where delivered files are.
        to: What of `Pca` to call: `transform`, `inverse_transform` or `reconstruction_error`.
        rules: Names the rows in messages, and says whether a null row gives null or stops.
        options: Keyword arguments of the call.

    Yields:
        What the call gives: lists of k or of D values of the same type, or one value per row.

    Raises:
        PcaError: Rows are wrong, or null where `rules` do not skip those.
        TypeError: The column does not hold features.
    """
    pca = _pca(os.getpid(), file, locate)
    width = pca.n_components_ if to == "inverse_transform" else pca.n_features_
    for batch in batches:
        if not _is_features(batch.type):
            raise TypeError(f"{rules.where}: expected array<float> or array<double>, got {batch.type}")
        rows = getattr(pca, to)(batch, skip_invalid=True, **options)
        _check_batch(batch, width, rows.null_count, rules)
        yield rows


def _is_features(kind: pa.DataType) -> bool:
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return is_list and str(kind.value_type) in ("float", "double")


def in_pandas(batches: Iterator[pd.Series[Any]], values: str, work: Callable[..., Iterator[Any]]) -> Iterator[Any]:
    """An Arrow function over lists for Spark before 4.1; pandas does not say what its values are: `values` does.

    Args:
        batches: Series of lists.
        values: `float` or `double`.
        work: Takes an iterator of `list<float32 | float64>` arrays, gives one of arrays.

    Raises:
        TypeError: The Series hold something else.
    """
    lists = pa.list_(pa.float64() if values == "double" else pa.float32())

    def as_lists(batch: pd.Series[Any]) -> pa.Array[Any]:
        rows = list(batch)  # not the Series: pyarrow takes NaN inside of a Series for null
        try:
            return pa.array(rows, lists)
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            kind = next(type(row).__name__ for row in rows if row is not None)
            raise TypeError(f"expected array<float> or array<double>, got {kind}") from None

    for rows in work(map(as_lists, batches)):
        yield rows.to_pandas()


def scale(
    batches: Iterator[pa.Array[Any]], shift: np.ndarray, factor: np.ndarray, *, rules: RowRules
) -> Iterator[pa.Array[Any]]:
    """(row - shift) * factor of each row, in f64, given back in the type of the rows.

    Args:
        batches: `list<float32 | float64>` arrays, D values per row.
        shift: (D) float64.
        factor: (D) float64.
        rules: As in `project`.

    Raises:
        PcaError: As in `project`.
    """
    for batch in batches:
        fits = pc.fill_null(pc.equal(pc.list_value_length(batch), len(shift)), fill_value=False)
        good = np.array(fits, bool)
        rows = batch.filter(fits).flatten().to_numpy(zero_copy_only=False).reshape(-1, len(shift))
        finite = np.isfinite(rows).all(axis=1)
        good[good] = finite
        _check_batch(batch, len(shift), int((~good).sum()), rules)
        scaled = ((rows[finite].astype(np.float64) - shift) * factor).astype(rows.dtype).ravel()
        lists = pa.FixedSizeListArray.from_arrays(pa.array(scaled), len(shift)).cast(batch.type)
        yield lists.take(pa.array(np.cumsum(good) - 1, mask=~good))


def _check_batch(batch: pa.Array[Any], width: int, n_invalid: int, rules: RowRules) -> None:
    """Raises PcaError about the rows of a batch that are not D finite values: `n_invalid`, null ones included."""
    if n_invalid and (n_invalid > batch.null_count or not rules.skip_nulls):
        widths = {found["values"]: found["counts"] for found in pc.value_counts(_lengths(batch)).to_pylist()}
        others = sum(rows for length, rows in widths.items() if length != width)
        tally = Tally(len(batch), batch.null_count, n_invalid - batch.null_count - others, widths)
        tally.check(rules._replace(width=width), "rows of a batch")


def _lengths(batch: pa.Array[Any]) -> pa.Array[Any]:
    return pc.list_value_length(batch).drop_null()


def partial_summary(
    batches: Iterable[pa.RecordBatch],
    partition: int,
    new: Callable[[int], Summary],
    width: int | None,
    *,
    widest: int | None = None,
) -> Iterator[pa.RecordBatch]:
    """Sums one partition's features up: summary and tally as rows of `PARTIALS`, or its fault; nothing for no rows.

    Args:
        batches: Batches whose first column holds the features.
        partition: Number of the partial.
        new: Makes a `Moments` or a `Sketch` of no rows for D values per row.
        width: The only length of a row that counts; None: that of the first row which is not null.
        widest: Rows longer than this are not summed up: their length is given back at once.
    """
    summed = RowSum(new, width)
    try:
        for batch in batches:
            features = batch.column(0)
            if widest is not None and (longest := pc.max(_lengths(features)).as_py() or 0) > widest:
                yield _partial(partition, too_wide=longest)
                return
            summed.update(features)
    except PcaError as error:
        # A row, not an exception: the driver raises it as it is, and Spark does not try the task four times.
        yield _partial(partition, fault=str(error))
        return
    yield from _saved(summed, partition)


def merge_partials(batches: Iterable[pa.RecordBatch], fan_in: int, kind: type[Summary]) -> Iterator[pa.RecordBatch]:
    """Merges partials, sorted by (partial, chunk), into one; the first fault wins.

    Args:
        batches: Rows of `PARTIALS`.
        fan_in: Partials that become one: their numbers are divided by it.
        kind: The class of the summaries.
    """
    merged = RowSum(_never)
    number = 0
    rows = (row for batch in batches for row in batch.to_pylist())
    for number, chunks_of_one in groupby(rows, key=lambda row: row["partial"]):
        taken = list(chunks_of_one)
        fault, too_wide = taken[0]["fault"], taken[0]["too_wide"]
        if fault is None and too_wide is None:
            try:
                merged.add(*summary_of(taken, kind))
            except PcaError as error:
                fault = str(error)
        if fault is not None or too_wide is not None:
            yield _partial(number // fan_in, fault=fault, too_wide=too_wide)
            return
    yield from _saved(merged, number // fan_in)


def summary_of(rows: list[Any], kind: type[Summary]) -> tuple[Any, Tally]:
    """The summary, or None, and the tally that rows of one partial hold, sorted by chunk."""
    data = b"".join(bytes(row["data"] or b"") for row in rows)
    return kind.from_bytes(data) if data else None, Tally.from_json(rows[0]["tally"])


def _never(_width: int) -> Summary:
    raise AssertionError  # what is merged is never updated


def _saved(summed: RowSum[Summary], number: int) -> Iterator[pa.RecordBatch]:
    tally: str | None = summed.tally.to_json()
    if summed.summary is None:
        if summed.tally.n_rows:
            yield _partial(number, tally=tally)
        return
    try:
        data = summed.summary.to_bytes()
    except PcaError as error:  # products overflow
        yield _partial(number, fault=str(error))
        return
    for index, chunk in enumerate(chunks(data)):
        yield _partial(number, index, chunk, tally=tally)
        tally = None


def _partial(number: int, chunk: int = 0, data: bytes | None = None, **others: Any) -> pa.RecordBatch:
    row = {"partial": number, "chunk": chunk, "data": data, **others}
    return pa.RecordBatch.from_pylist([row], schema=PARTIALS)


def _raise_first(errors: pa.Array[Any], row: int) -> None:
    for offset, reason in enumerate(errors.to_pylist()):
        if reason is not None:
            raise ImageDecodeError(f"image {row + offset} of this task: {reason}")


@lru_cache(maxsize=CACHED_MODELS)
def open_extractor(pid: int, model: ModelFile, locate: Locate) -> FeatureExtractor:  # noqa: ARG001 - pid is part of the key
    """The extractor of a delivered model, one for each process: a forked child opens its own."""
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

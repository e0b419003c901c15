"""One pass over a distributed column of features: a summary per partition, merged in a tree on the executors."""

from __future__ import annotations

import math
import re
import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from pyspark import TaskContext
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from sparkcider import Moments, PcaError
from sparkcider._native import Sketch
from sparkcider.pca.rows import Kind, RowSum
from sparkcider.spark import worker
from sparkcider.spark.sessions import lowered
from sparkcider.spark.worker_python import check_worker_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from sparkcider.pca.rows import RowRules
    from sparkcider.pca.summary import Summary

FAN_IN = 64
"""Summaries that one task merges. Two levels hold 4,096 partitions evenly; more only make the last task longer."""

FEWEST_ROWS, UNKNOWN_ROWS, MOST_ROWS = 64, 256, 1024
"""Rows per Arrow batch during a fit, by D: few enough that a batch stays small, enough that its overhead does."""

BATCH_BYTES = 64 << 20
"""Of a batch, in f64: 83 rows of 100,352 features."""

BATCH_CONF, DEFAULT_ROWS = "spark.sql.execution.arrow.maxRecordsPerBatch", 10_000

BYTES_COUNTED = (4, 1)
"""The version of Spark that bounds the bytes of a batch, too (`spark.sql.execution.arrow.maxBytesPerBatch`, 64 MB)."""

PARTIALS = "partial int, chunk int, data binary, tally string, fault string, too_wide int"

RESULT_CONF, RESULT_DEFAULT = "spark.driver.maxResultSize", "1g"
"""What the driver takes from one job (Spark's configuration reference)."""


class TooWide(Exception):  # noqa: N818 - a finding, not a fault
    """Rows have more features than a scatter is summed for.

    Args:
        width: D.
    """

    def __init__(self, width: int) -> None:
        super().__init__(f"rows have {width} features")
        self.width = width


def collect_moments(
    features: DataFrame, width: int | None, rules: RowRules, *, widest: int | None = None
) -> RowSum[Moments]:
    """Moments of a DataFrame whose only column is an array of D floats or doubles.

    The driver gets one merged partial, whatever the number of partitions.

    Args:
        features: The rows.
        width: D where it is known; None: the length that most rows have.
        rules: Names the rows in messages, and says what null ones are.
        widest: Refuse rows with more features than this.

    Returns:
        The moments, None without any row that is not null; and the tally of the rows.

    Raises:
        PcaError: Rows are wrong, or null where `rules` do not skip those.
        TooWide: Rows have more than `widest` features.
    """
    return _summarize(features, Moments, lambda _width: Moments(), width, rules, widest=widest)


def collect_sketch(
    features: DataFrame, width: int | None, basis: Callable[[], bytes] | None, rules: RowRules
) -> RowSum[Sketch]:
    """A sketch of such a DataFrame.

    Args:
        features: The rows.
        width: D; None as in `collect_moments`.
        basis: Reads `RandomizedPca.basis` on an executor; None sums only count, mean and variances.
        rules: As in `collect_moments`.

    Returns:
        The sketch, None without any row that is not null; and the tally of the rows.

    Raises:
        PcaError: As in `collect_moments`.
    """

    def new(width: int) -> Sketch:
        return Sketch.plain(width) if basis is None else Sketch(basis())

    return _summarize(features, Sketch, new, width, rules, widest=None)


def first_width(features: DataFrame) -> int | None:
    """Length of the first row that is neither null nor empty."""
    column = F.col(f"`{features.columns[0]}`")
    row = features.where(F.size(column) > 0).select(F.size(column)).first()
    return None if row is None else int(row[0])


def check_result_size(session: SparkSession, needed: int, what: str) -> None:
    """Fails before a pass whose summary the driver would refuse.

    Args:
        session: Whose setting counts.
        needed: Bytes that the driver will get.
        what: Names them in the message.

    Raises:
        PcaError: They are more than `spark.driver.maxResultSize`.
    """
    text = str(session.conf.get(RESULT_CONF, RESULT_DEFAULT))
    limit = _bytes(text)
    if 0 < limit < needed:
        raise PcaError(
            f"{what} take {_in_words(needed)} on the driver, more than {RESULT_CONF} ({text}) allows: set it to "
            f"{needed // 10**9 + 1}g, with {4 * needed // 10**9 + 1}g of memory for the driver"
        )


def most_features(session: SparkSession) -> int:
    """D of the largest scatter that `spark.driver.maxResultSize` lets in."""
    limit = _bytes(str(session.conf.get(RESULT_CONF, RESULT_DEFAULT)))
    return math.isqrt(limit // 4) - 1 if limit else sys.maxsize


def _in_words(size: int) -> str:
    for unit, of in (("GB", 10**9), ("MB", 10**6)):
        if size >= of:
            return f"{size / of:,.1f} {unit}"
    return f"{size:,} bytes"


def _bytes(text: str) -> int:
    """Spark's byte strings: a number and b, k, m, g, t or p, with or without a second b."""
    found = re.fullmatch(r"(\d+)([bkmgtp]?)b?", text.strip().lower())
    return int(found[1]) << (10 * "bkmgtp".index(found[2] or "b")) if found else 0


def _summarize(
    features: DataFrame,
    kind: type[Kind],
    new: Callable[[int], Kind],
    width: int | None,
    rules: RowRules,
    *,
    widest: int | None,
) -> RowSum[Kind]:
    def sum_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        partition = 0 if context is None else context.partitionId()
        return worker.partial_summary(batches, partition, new, width, widest=widest)

    check_worker_python(features.sparkSession)
    partials = features.mapInArrow(sum_up, PARTIALS)
    partials = _merged(partials.repartition(F.floor(F.col("partial") / FAN_IN)), kind)
    partials = _merged(partials.repartition(1), kind)
    with _small_batches(features.sparkSession, width):
        rows = sorted(partials.collect(), key=lambda row: row["chunk"])
    for row in rows:
        if row["fault"] is not None:
            raise PcaError(f"{rules.where}: {row['fault'].removeprefix('PCA: ')}")
        if row["too_wide"] is not None:
            raise TooWide(row["too_wide"])
    summed = RowSum(new)
    if rows:
        summed.add(*worker.summary_of(rows, kind))
    summed.tally.check(rules)
    return summed


def _merged(partials: DataFrame, kind: type[Summary]) -> DataFrame:
    def merge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return worker.merge_partials(batches, FAN_IN, kind)

    # Sorted, so that the same partitioning gives the same sums to the last bit.
    return partials.sortWithinPartitions("partial", "chunk").mapInArrow(merge, PARTIALS)


def _small_batches(session: SparkSession, width: int | None) -> AbstractContextManager[None]:
    """Bounds the bytes of Arrow batches where Spark counts only their rows, 10,000: before 4.1 (SPARK-51316)."""
    version = tuple(int(part) for part in session.version.split(".")[:2])
    if version >= BYTES_COUNTED or (width is not None and 8 * width * DEFAULT_ROWS <= BATCH_BYTES):
        return nullcontext()
    rows = UNKNOWN_ROWS if width is None else min(max(BATCH_BYTES // (8 * width), FEWEST_ROWS), MOST_ROWS)
    return lowered(session, BATCH_CONF, rows)

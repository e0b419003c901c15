"""One pass over a distributed column of features: partial moments per partition, merged in a tree on the executors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark import TaskContext
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from sparkcider import Moments, PcaError, _worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

FAN_IN = 64
"""Partials that one task merges. Two levels hold 4,096 partitions evenly; more only make the last task longer."""

BATCH_ROWS = 64
"""Rows per Arrow batch during a fit: 64 rows of 100,352 doubles, or of 1 MiB of saved moments, are 50 to 64 MiB."""

BATCH_CONF = "spark.sql.execution.arrow.maxRecordsPerBatch"

PARTIALS = "partial int, chunk int, data binary, fault string"


def collect_moments(features: DataFrame, width: int | None, *, skip_invalid: bool) -> Moments:
    """Moments of a DataFrame whose only column is an array of D floats or doubles.

    The driver gets one merged partial, whatever the number of partitions.

    Args:
        features: The rows.
        width: D where it is known. To skip rows of another length it must be: if None, the first row is read for it.
        skip_invalid: Leave null rows, rows with NaN or infinity and rows of another length out, and count them.

    Returns:
        The moments; without any row, those of none.

    Raises:
        PcaError: A row is invalid, and they are not to be skipped.
    """
    if skip_invalid and width is None:
        width = _first_width(features)

    def sum_up(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        context = TaskContext.get()
        partition = 0 if context is None else context.partitionId()
        return _worker.partial_moments(batches, partition, width, skip_invalid=skip_invalid)

    partials = features.mapInArrow(sum_up, PARTIALS)
    partials = _merged(partials.repartition(F.floor(F.col("partial") / FAN_IN)))
    partials = _merged(partials.repartition(1))
    with _small_batches(features.sparkSession):
        rows = partials.collect()
    faults = [row["fault"] for row in rows if row["fault"] is not None]
    if faults:
        raise PcaError(faults[0])
    if not rows:
        return Moments()
    return Moments.from_bytes(b"".join(bytes(row["data"]) for row in sorted(rows, key=lambda row: row["chunk"])))


def _first_width(features: DataFrame) -> int | None:
    column = F.col(f"`{features.columns[0]}`")
    row = features.where(column.isNotNull()).select(F.size(column)).first()
    return None if row is None else int(row[0])


def _merged(partials: DataFrame) -> DataFrame:
    def merge(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return _worker.merge_partials(batches, FAN_IN)

    # Sorted, so that the same partitioning gives the same sums to the last bit.
    return partials.sortWithinPartitions("partial", "chunk").mapInArrow(merge, PARTIALS)


@contextmanager
def _small_batches(session: SparkSession) -> Iterator[None]:
    # Spark before 4.1 counts the rows of an Arrow batch, not its bytes: 10,000 rows of 1 MiB would be one batch.
    before = session.conf.get(BATCH_CONF)
    session.conf.set(BATCH_CONF, str(min(BATCH_ROWS, int(before or BATCH_ROWS))))
    try:
        yield
    finally:
        session.conf.set(BATCH_CONF, str(before))

"""The fit of a PCA to batches of features in one process, with the decisions of a fit on Spark."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider._native import Moments, PcaError, Sketch, _available_cores
from sparkcider.pca import solver_choice
from sparkcider.pca.fit import Fitted, check_k, directions, iterated, solved
from sparkcider.pca.rows import Kind, RowRules, RowSum
from sparkcider.pca.solver_choice import PcaSpec, Step, next_step

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future


SUMMARY_BYTES = 1 << 30
"""Of the summaries of all threads: two scatters of 8,192 features, 81 of 1,280. There are no more threads than fit."""

BATCH_BYTES = 4 << 20
"""Of rows in memory that a thread takes at a time: enough to keep it busy, and little enough to share out an array."""


def fit_batches(
    read: Callable[[], Iterable[pa.Array[Any]]],
    spec: PcaSpec,
    width: int,
    rows: int | None = None,
    workers: int = 1,
    *,
    rules: RowRules = RowRules("PCA", "features"),  # noqa: B008 - it does not change
) -> Fitted:
    """Fits to batches of rows, read once for moments and two to six times for the randomized solver.

    The same batches and the same number of threads give the same bits; another number changes the rounding of sums.

    Args:
        read: Starts a pass: arrays of `list<float>` or `list<double>`, D values per row, always the same ones.
        spec: What to fit.
        width: D.
        rows: N; None counts them in a pass of their own where the choice of the solver needs it.
        workers: Threads that sum; each holds a summary of its own.
        rules: Names the rows in messages, and says what null ones are.

    Raises:
        PcaError: There are no rows, some are wrong, or `maxK` components do not hold the variance.
        ValueError: k is over D, or the rows do not suit the solver.

    Example:
        >>> import pyarrow as pa
        >>> batches = [pa.array([[0.0, 0.0], [1.0, 1.0]]), pa.array([[2.0, 2.0]])]
        >>> spec = PcaSpec(k=1, variance=None, standardize=False, solver="auto", max_k=256)
        >>> fitted = fit_batches(lambda: batches, spec, width=2, rows=3)
        >>> fitted.pca.explained_variance_ratio_, fitted.moments.n_samples
        (array([1.]), 3)
    """
    if spec.k is not None:
        check_k(spec.k, width)
    rules = rules._replace(width=width)
    step = next_step(spec.solver, width, rows)
    if step is Step.COUNT_ROWS:
        step = next_step(spec.solver, width, _counted(read))
    if step is Step.SUM_MOMENTS:
        threads = _affordable(workers, 8 * width * width)
        return solved(_summed(read, lambda _width: Moments(), width, threads, rules), rules, spec)
    threads = _affordable(workers, 8 * width * (directions(spec, width) + 3))

    def collect(basis: bytes) -> RowSum[Sketch]:
        return _summed(read, lambda _width: Sketch(basis), width, threads, rules)

    return iterated(collect, rules, width, spec)


def fit_column(column: pa.Array[Any] | pa.ChunkedArray[Any], spec: PcaSpec, rules: RowRules) -> Fitted:
    """Fits to a column in memory, on all cores.

    Args:
        column: `list`, `large_list` or `fixed_size_list` of floats or doubles, D per row. The first row says D.
        spec: What to fit.
        rules: Names the rows in messages, and says which are left out. An error about one row says which it is.

    Raises:
        TypeError: The column holds something else.
        PcaError: As `fit_batches`.
        ValueError: As `fit_batches`.
    """
    moments = Moments()
    moments.update(column.slice(0, 0))  # refuses a wrong type
    width = _width(column)
    if width is None:
        moments.update(column, skip_invalid=rules.skip_wrong)  # refuses rows that cannot be used
        raise rules.no_rows(moments.n_invalid)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    step = max(1, BATCH_BYTES // (8 * width))
    batches = [chunk.slice(start, step) for chunk in chunks for start in range(0, len(chunk), step)]
    try:
        return fit_batches(lambda: batches, spec, width, len(column), _available_cores(), rules=rules)
    except PcaError:
        if not rules.skip_wrong:  # the rows are here, so an error can say which one is wrong
            Sketch.plain(width).update(column if len(chunks) == 1 else pa.chunked_array(chunks).combine_chunks())
        raise


def _width(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> int | None:
    """D of the first row that has any."""
    if isinstance(column.type, pa.FixedSizeListType):
        return column.type.list_size if len(column) > column.null_count else None
    lengths = pc.list_value_length(column)
    first = lengths.filter(pc.greater(lengths, 0)).slice(0, 1).to_pylist()
    return first[0] if first else None


def _counted(read: Callable[[], Iterable[pa.Array[Any]]]) -> int:
    """Rows, or any number over `MOST_ROWS` for more: the rest is not read."""
    rows = 0
    for batch in read():
        rows += len(batch)
        if rows > solver_choice.MOST_ROWS:
            break
    return rows


def _affordable(workers: int, summary_bytes: int) -> int:
    return max(1, min(workers, SUMMARY_BYTES // summary_bytes))


def _summed(
    read: Callable[[], Iterable[pa.Array[Any]]], new: Callable[[int], Kind], width: int, threads: int, rules: RowRules
) -> RowSum[Kind]:
    """One pass: batch i goes to summary i mod `threads`, and the summaries are merged in their order.

    Which thread is free decides nothing, so a fit can be repeated to the last bit. The reader is one batch ahead.
    """
    sums = [RowSum(new, width) for _ in range(threads)]
    pending: list[Future[None] | None] = [None] * threads
    with ThreadPoolExecutor(threads) as pool:
        for number, batch in enumerate(read()):
            at = number % threads
            before = pending[at]
            if before is not None:
                before.result()  # one batch at a time and in order
            pending[at] = pool.submit(sums[at].update, batch)
        for left in filter(None, pending):
            left.result()
    first, *others = sums
    for other in others:
        first.add(other.summary, other.tally)
    first.tally.check(rules)
    return first

"""The fit of a PCA on Spark: the passes over a DataFrame of features; `sparkcider.pca.fit` has the rest."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pyspark import StorageLevel
from pyspark.sql.types import ArrayType, FloatType

from sparkcider import Moments, PcaError
from sparkcider.pca import solver_choice
from sparkcider.pca.fit import Fitted, check_k, directions, iterated, solved
from sparkcider.pca.solver_choice import PcaSpec, Step, next_step
from sparkcider.spark.delivery import lent
from sparkcider.spark.moments import (
    TooWide,
    check_result_size,
    collect_moments,
    collect_sketch,
    first_width,
    most_features,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

    from sparkcider._native import Sketch
    from sparkcider.pca.rows import RowRules, RowSum


def fit(features: DataFrame, rules: RowRules, width: int | None, spec: PcaSpec, *, cached: bool) -> Fitted:
    """Fits to a DataFrame whose only column is an array of D floats or doubles.

    Args:
        features: The rows.
        rules: Names the rows in messages, and says what null ones are.
        width: D, where it is known.
        spec: What to fit.
        cached: The rows are kept by Spark already; where several passes need them, they are kept meanwhile.

    Raises:
        PcaError: There are no rows, some are wrong, the driver would refuse the moments, or `maxK` components do not
            hold the variance.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    if width is not None and spec.k is not None:
        check_k(spec.k, width)
    step = next_step(spec.solver, width, None)
    if step is Step.SUM_MOMENTS:
        try:
            return solved(_sum_moments(features, width, rules, spec), rules, spec)
        except TooWide as found:  # now D is known
            return fit(features, rules, found.width, spec, cached=cached)
    with _persisted(features, cached=cached):
        if width is None:
            width = first_width(features)
            if width is None:
                raise rules.no_rows(features.count())
            if spec.k is not None:
                check_k(spec.k, width)
        if step is Step.COUNT_ROWS:
            step = next_step(spec.solver, width, features.limit(solver_choice.MOST_ROWS + 1).count())
        if step is Step.SUM_MOMENTS:
            return solved(collect_moments(features, width, rules), rules, spec)
        return _iterate(features, rules, width, spec)


def _check_result(features: DataFrame, width: int) -> None:
    """Fails before a pass whose moments would not reach the driver: the scatter, or the rows while they are smaller."""
    session = features.sparkSession
    try:
        check_result_size(session, 4 * width * (width + 1), f"the moments of {width:,} features")
    except PcaError:
        most = min(width // 2, solver_choice.MOST_ROWS)
        rows = features.limit(most + 1).count()
        if rows > most:
            raise
        size = 4 if features.schema[0].dataType == ArrayType(FloatType()) else 8
        check_result_size(session, size * rows * width, f"{rows:,} rows of {width:,} features")


def _sum_moments(features: DataFrame, width: int | None, rules: RowRules, spec: PcaSpec) -> RowSum[Moments]:
    """One pass over rows that are not known to be too wide for it."""
    widest = None
    if width is not None:
        _check_result(features, width)
    else:
        widest = most_features(features.sparkSession)
        widest = min(widest, solver_choice.MOST_FEATURES) if spec.solver == "auto" else widest
    return collect_moments(features, width, rules, widest=widest)


def _iterate(features: DataFrame, rules: RowRules, width: int, spec: PcaSpec) -> Fitted:
    """The randomized solver: each pass is lent its basis and gives the driver one sketch."""
    session = features.sparkSession
    check_result_size(session, 8 * width * (directions(spec, width) + 3), f"the sketches of {width:,} features")

    def collect(basis: bytes) -> RowSum[Sketch]:
        with lent(session, basis) as read:
            return collect_sketch(features, width, read, rules)

    return iterated(collect, rules, width, spec)


@contextmanager
def _persisted(features: DataFrame, *, cached: bool) -> Iterator[None]:
    """Several passes read the rows: what made them, an embedding perhaps, must not run again for each."""
    if cached:
        yield
        return
    features.persist(StorageLevel.DISK_ONLY)  # in memory they would leave none for the passes
    try:
        yield
    finally:
        features.unpersist()

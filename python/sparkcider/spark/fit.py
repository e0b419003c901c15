"""The fit of a PCA: the passes over a DataFrame of features, and what is solved of them on the driver."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from pyspark import StorageLevel
from pyspark.sql.types import ArrayType, FloatType

from sparkcider import Moments, Pca, PcaError
from sparkcider._native import RandomizedPca
from sparkcider.spark import solver_choice
from sparkcider.spark.delivery import deliver
from sparkcider.spark.moments import (
    TooWide,
    check_result_size,
    collect_moments,
    collect_sketch,
    first_width,
    most_features,
)
from sparkcider.spark.solver_choice import PcaSpec, Step, next_step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

OVERSAMPLING = 10
"""Directions beyond k (Halko, Martinsson, Tropp 2011, section 4.2: 5 to 10)."""

MOST_PASSES = 6

TOLERANCE = 1e-2
"""Of the randomized solver's residuals: each eigenvalue is right to this share of itself whatever the spectrum, and to
about its square where the spectrum decays."""

_log = logging.getLogger("sparkcider")


class Fitted(NamedTuple):
    """What came out.

    Attributes:
        pca: The model.
        moments: What it was fitted to; None after the randomized solver.
        n_invalid: Rows left out.
    """

    pca: Pca
    moments: Moments | None
    n_invalid: int


def fit(features: DataFrame, name: str, width: int | None, spec: PcaSpec, *, cached: bool) -> Fitted:
    """Fits to a DataFrame whose only column is an array of D floats or doubles.

    Args:
        features: The rows.
        name: The column's name, for messages.
        width: D, where it is known.
        spec: What to fit.
        cached: The rows are kept by Spark already; where several passes need them, they are kept meanwhile.

    Raises:
        PcaError: There are no rows, a row is invalid, the driver would refuse the moments, or `maxK` components do not
            hold the variance.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    if width is not None and spec.k is not None:
        check_k(spec.k, width)
    step = next_step(spec.solver, width, None)
    if step is Step.SUM_MOMENTS:
        try:
            return solved(_sum_moments(features, width, spec), name, spec)
        except TooWide as found:  # now D is known
            return fit(features, name, found.width, spec, cached=cached)
    with _persisted(features, cached=cached):
        if width is None:
            width = first_width(features)
            if width is None:
                raise no_rows(name, features.count())
            if spec.k is not None:
                check_k(spec.k, width)
        if step is Step.COUNT_ROWS:
            step = next_step(spec.solver, width, features.limit(solver_choice.MOST_ROWS + 1).count())
        if step is Step.SUM_MOMENTS:
            return solved(collect_moments(features, width, skip_invalid=spec.skip_invalid), name, spec)
        return _reported(_iterate(features, name, width, spec))


def solved(moments: Moments, name: str, spec: PcaSpec) -> Fitted:
    """The PCA of moments.

    Raises:
        PcaError: They are of no rows.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    if moments.n_samples == 0:
        raise no_rows(name, moments.n_invalid)
    solver = None if spec.solver == "auto" else spec.solver
    pca = Pca.fit(moments, k=spec.k, variance=spec.variance, standardize=spec.standardize, solver=solver)
    return _reported(Fitted(pca, moments, moments.n_invalid))


def check_k(k: int, width: int) -> None:
    """Raises ValueError if there are fewer features than components."""
    if k > width:
        raise ValueError(f"k must be from 1 to the number of features, {width}, got {k}")


def no_rows(name: str, n_invalid: int) -> PcaError:
    """The error of a fit to nothing."""
    left_out = f" ({n_invalid} invalid ones left out)" if n_invalid else ""
    return PcaError(f"column {name} has no rows to fit to{left_out}")


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


def _sum_moments(features: DataFrame, width: int | None, spec: PcaSpec) -> Moments:
    """One pass over rows that are not known to be too wide for it."""
    widest = None
    if width is not None:
        _check_result(features, width)
    else:
        widest = most_features(features.sparkSession)
        widest = min(widest, solver_choice.MOST_FEATURES) if spec.solver == "auto" else widest
    return collect_moments(features, width, widest=widest, skip_invalid=spec.skip_invalid)


def _iterate(features: DataFrame, name: str, width: int, spec: PcaSpec) -> Fitted:
    """Block Krylov iteration until each component asked for is right to `TOLERANCE`."""
    session = features.sparkSession
    # A share of the variance starts with a quarter of maxK: each pass adds as many.
    directions = min((spec.k or -(-spec.max_k // 4)) + OVERSAMPLING, width)
    check_result_size(session, 8 * width * (directions + 3), f"the sketches of {width:,} features")
    solver = RandomizedPca(width, width=directions, standardize=spec.standardize)
    residual: float | None = None
    n_invalid = 0
    for number in range(1, MOST_PASSES + 1):
        basis = solver.basis()
        file = f"sparkcider-{sha256(basis).hexdigest()}.basis"
        deliver(session, file, lambda basis=basis: basis)  # type: ignore[misc] # mypy sees no bytes in a default
        sketch = collect_sketch(features, width, file, skip_invalid=spec.skip_invalid)
        if sketch is None or sketch.n_samples == 0:
            raise no_rows(name, 0 if sketch is None else sketch.n_invalid)
        solver.step(sketch)
        n_invalid = sketch.n_invalid
        residual = _residual(solver, spec)
        _log.info("pass %d over %d rows x %d features: residual %s", number, sketch.n_samples, width, residual)
        if solver.exhausted or (residual is not None and residual <= TOLERANCE):
            break
    pca = solver.finish(k=spec.k, variance=spec.variance)
    if spec.variance is not None and pca.n_components_ > spec.max_k:
        held = float(pca.explained_variance_ratio_[: spec.max_k].sum())
        raise PcaError(f"{spec.max_k} components hold {held:.4f} of the variance, not {spec.variance}: raise maxK")
    if not solver.exhausted and residual is not None and residual > TOLERANCE:
        warnings.warn(
            f"after {MOST_PASSES} passes a variance may still be off by {residual:.1e} of itself: the spectrum is flat",
            stacklevel=2,
        )
    return Fitted(pca, None, n_invalid)


def _residual(solver: RandomizedPca, spec: PcaSpec) -> float | None:
    """Of the components asked for; None while they are not found."""
    if spec.k is not None:
        return solver.residual(spec.k)
    try:
        found = solver.finish(variance=spec.variance)
    except PcaError:  # not reached yet: the next pass adds directions
        return None
    return solver.residual(found.n_components_)


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


def _reported(fitted: Fitted) -> Fitted:
    pca = fitted.pca
    if pca.n_components_ >= pca.n_samples_:
        warnings.warn(
            f"{pca.n_components_} components of {pca.n_samples_} rows: the ratios past rank {pca.rank_} are 0",
            stacklevel=2,
        )
    _log.info(
        "PCA of %d rows x %d features by the %s solver: %d components",
        pca.n_samples_,
        pca.n_features_,
        pca.solver_,
        pca.n_components_,
    )
    return fitted

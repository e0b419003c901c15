"""Which solver, over how many passes: a DataFrame of features to a fitted `Pca`.

    D <= 8,192                    covariance: one pass sums the D x D scatter (a few rows: gram, from the same pass)
    N <= 4,096, rows <= 256 MB    gram: the rows come to the driver, whose N x N products are solved
    the rest                      randomized: a few passes, each with O(D (k + 10)) per task

docs/numerics.md has the error of each.
"""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple

from pyspark import StorageLevel
from pyspark.sql.types import ArrayType, FloatType

from sparkcider import Moments, Pca, PcaError
from sparkcider._delivery import deliver
from sparkcider._moments import (
    TooWide,
    check_result_size,
    collect_moments,
    collect_sketch,
    first_width,
    most_features,
)
from sparkcider._native import RandomizedPca

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame

MOST_FEATURES = 8_192
"""D up to which `auto` sums the scatter: 268 MB of moments, and minutes for its eigenvectors."""

MOST_ROWS = 4_096
"""N up to which the rows are kept for their N x N products (`pca::moments::MAX_ROWS_KEPT`)."""

MOST_BYTES = 256 << 20
"""Of rows in f64 that `auto` brings to the driver for them; over that the randomized solver moves less."""

OVERSAMPLING = 10
"""Directions beyond k (Halko, Martinsson, Tropp 2011, section 4.2: 5 to 10)."""

MOST_PASSES = 6

TOLERANCE = 1e-2
"""Of the randomized solver's residuals: each eigenvalue is right to this share of itself whatever the spectrum, and to
about its square where the spectrum decays."""

_log = logging.getLogger("sparkcider")


class Wanted(NamedTuple):
    """What to fit.

    Attributes:
        k: Number of components, or None for `variance`.
        variance: Share of the variance, or None for `k`.
        standardize: Scale each feature first.
        solver: `auto`, `covariance`, `gram` or `randomized`.
        max_k: Most components that `variance` takes with `randomized`.
        skip_invalid: Leave invalid rows out.
    """

    k: int | None
    variance: float | None
    standardize: bool
    solver: str
    max_k: int
    skip_invalid: bool


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


def fit(features: DataFrame, name: str, width: int | None, wanted: Wanted, *, cached: bool) -> Fitted:
    """Fits to a DataFrame whose only column is an array of D floats or doubles.

    Args:
        features: The rows.
        name: The column's name, for messages.
        width: D, where it is known.
        wanted: What to fit.
        cached: The rows are kept by Spark already; where several passes need them, they are kept meanwhile.

    Raises:
        PcaError: There are no rows, a row is invalid, the driver would refuse the moments, or `maxK` components do not
            hold the variance.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    if width is not None and wanted.k is not None:
        check_k(wanted.k, width)
    if wanted.solver == "randomized" or (wanted.solver == "auto" and width is not None and width > MOST_FEATURES):
        return _wide(features, name, width, wanted, cached=cached)
    widest = None
    if width is not None:
        _check_result(features, width)
    else:
        widest = most_features(features.sparkSession)
        widest = min(widest, MOST_FEATURES) if wanted.solver == "auto" else widest
    try:
        moments = collect_moments(features, width, widest=widest, skip_invalid=wanted.skip_invalid)
    except TooWide as found:  # now D is known
        return fit(features, name, found.width, wanted, cached=cached)
    return solved(moments, name, wanted)


def solved(moments: Moments, name: str, wanted: Wanted) -> Fitted:
    """The PCA of moments.

    Raises:
        PcaError: They are of no rows.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    if moments.n_samples == 0:
        raise no_rows(name, moments.n_invalid)
    solver = None if wanted.solver == "auto" else wanted.solver
    pca = Pca.fit(moments, k=wanted.k, variance=wanted.variance, standardize=wanted.standardize, solver=solver)
    return _told(Fitted(pca, moments, moments.n_invalid))


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
        most = min(width // 2, MOST_ROWS)
        rows = features.limit(most + 1).count()
        if rows > most:
            raise
        size = 4 if features.schema[0].dataType == ArrayType(FloatType()) else 8
        check_result_size(session, size * rows * width, f"{rows:,} rows of {width:,} features")


def _wide(features: DataFrame, name: str, width: int | None, wanted: Wanted, *, cached: bool) -> Fitted:
    with _kept(features, cached=cached):
        width = first_width(features) if width is None else width
        if width is None:
            raise no_rows(name, features.count())
        if wanted.k is not None:
            check_k(wanted.k, width)
        if wanted.solver == "auto":
            rows = features.limit(MOST_ROWS + 1).count()
            if rows <= MOST_ROWS and 8 * rows * width <= MOST_BYTES:
                return solved(collect_moments(features, width, skip_invalid=wanted.skip_invalid), name, wanted)
        return _told(_randomized(features, name, width, wanted))


def _randomized(features: DataFrame, name: str, width: int, wanted: Wanted) -> Fitted:
    """Block Krylov iteration until each component asked for is right to `TOLERANCE`."""
    session = features.sparkSession
    # A share of the variance starts with a quarter of maxK: each pass adds as many.
    directions = min((wanted.k or -(-wanted.max_k // 4)) + OVERSAMPLING, width)
    check_result_size(session, 8 * width * (directions + 3), f"the sketches of {width:,} features")
    solver = RandomizedPca(width, width=directions, standardize=wanted.standardize)
    residual: float | None = None
    n_invalid = 0
    for number in range(1, MOST_PASSES + 1):
        basis = solver.basis()
        file = f"sparkcider-{sha256(basis).hexdigest()}.basis"
        deliver(session, file, lambda basis=basis: basis)  # type: ignore[misc] # mypy sees no bytes in a default
        sketch = collect_sketch(features, width, file, skip_invalid=wanted.skip_invalid)
        if sketch is None or sketch.n_samples == 0:
            raise no_rows(name, 0 if sketch is None else sketch.n_invalid)
        solver.step(sketch)
        n_invalid = sketch.n_invalid
        residual = _residual(solver, wanted)
        _log.info("pass %d over %d rows x %d features: residual %s", number, sketch.n_samples, width, residual)
        if solver.exhausted or (residual is not None and residual <= TOLERANCE):
            break
    pca = solver.finish(k=wanted.k, variance=wanted.variance)
    if wanted.variance is not None and pca.n_components_ > wanted.max_k:
        held = float(pca.explained_variance_ratio_[: wanted.max_k].sum())
        raise PcaError(f"{wanted.max_k} components hold {held:.4f} of the variance, not {wanted.variance}: raise maxK")
    if not solver.exhausted and residual is not None and residual > TOLERANCE:
        warnings.warn(
            f"after {MOST_PASSES} passes a variance may still be off by {residual:.1e} of itself: the spectrum is flat",
            stacklevel=2,
        )
    return Fitted(pca, None, n_invalid)


def _residual(solver: RandomizedPca, wanted: Wanted) -> float | None:
    """Of the components asked for; None while they are not found."""
    if wanted.k is not None:
        return solver.residual(wanted.k)
    try:
        found = solver.finish(variance=wanted.variance)
    except PcaError:  # not reached yet: the next pass adds directions
        return None
    return solver.residual(found.n_components_)


@contextmanager
def _kept(features: DataFrame, *, cached: bool) -> Iterator[None]:
    """Several passes read the rows: what made them, an embedding perhaps, must not run again for each."""
    if cached:
        yield
        return
    features.persist(StorageLevel.DISK_ONLY)  # in memory they would leave none for the passes
    try:
        yield
    finally:
        features.unpersist()


def _told(fitted: Fitted) -> Fitted:
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

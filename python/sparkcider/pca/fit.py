"""What every fit of a PCA shares: the checks, the solution of moments, and the passes of the randomized solver."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from sparkcider._native import Moments, Pca, PcaError, RandomizedPca
from sparkcider.notice import warn

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkcider._native import Sketch
    from sparkcider.pca.rows import RowRules, RowSum
    from sparkcider.pca.solver_choice import PcaSpec

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
        n_invalid: Rows that were left out: null ones, and wrong ones where the rules say so.
    """

    pca: Pca
    moments: Moments | None
    n_invalid: int


def check_k(k: int, width: int) -> None:
    """Raises ValueError if there are fewer features than components."""
    if k > width:
        raise ValueError(f"k must be from 1 to the number of features, {width}, got {k}")


def solved(summed: RowSum[Moments], rules: RowRules, spec: PcaSpec) -> Fitted:
    """The PCA of moments.

    Args:
        summed: Of all rows, checked.
        rules: Whose rows they are.
        spec: What to fit.

    Raises:
        PcaError: They are of no rows.
        ValueError: k is over D, or the rows do not suit the solver.
    """
    moments, n_left_out = summed.summary, summed.tally.n_left_out
    if moments is None or moments.n_samples == 0:
        raise rules.no_rows(n_left_out)
    solver = None if spec.solver == "auto" else spec.solver
    pca = Pca.fit(moments, k=spec.k, variance=spec.variance, standardize=spec.standardize, solver=solver)
    return _reported(Fitted(pca, moments, n_left_out))


def directions(spec: PcaSpec, width: int) -> int:
    """Columns of the randomized solver's basis: each pass sums D values for each of them."""
    # A share of the variance starts with a quarter of maxK: each pass adds as many.
    return min((spec.k or -(-spec.max_k // 4)) + OVERSAMPLING, width)


def iterated(collect: Callable[[bytes], RowSum[Sketch]], rules: RowRules, width: int, spec: PcaSpec) -> Fitted:
    """Block Krylov iteration until each requested component is right to `TOLERANCE`.

    Args:
        collect: One pass over all rows: the basis (`RandomizedPca.basis`) to the rows' sketch, checked.
        rules: Whose rows they are.
        width: D.
        spec: What to fit.

    Raises:
        PcaError: There are no rows, or `maxK` components do not hold the variance.
        ValueError: k is over D.
    """
    solver = RandomizedPca(width, width=directions(spec, width), standardize=spec.standardize)
    residual: float | None = None
    n_left_out = 0
    for number in range(1, MOST_PASSES + 1):
        summed = collect(solver.basis())
        sketch, n_left_out = summed.summary, summed.tally.n_left_out
        if sketch is None or sketch.n_samples == 0:
            raise rules.no_rows(n_left_out)
        solver.step(sketch)
        residual = _residual(solver, spec)
        _log.info("pass %d over %d rows x %d features: residual %s", number, sketch.n_samples, width, residual)
        if solver.exhausted or (residual is not None and residual <= TOLERANCE):
            break
    pca = solver.finish(k=spec.k, variance=spec.variance)
    if spec.variance is not None and pca.n_components_ > spec.max_k:
        held = float(pca.explained_variance_ratio_[: spec.max_k].sum())
        raise PcaError(f"{spec.max_k} components hold {held:.4f} of the variance, not {spec.variance}: raise maxK")
    if not solver.exhausted and residual is not None and residual > TOLERANCE:
        warn(
            f"after {MOST_PASSES} passes a variance may still be off by {residual:.1e} of itself: the spectrum is flat"
        )
    return _reported(Fitted(pca, None, n_left_out))


def _residual(solver: RandomizedPca, spec: PcaSpec) -> float | None:
    """Of the requested components; None while they are not found."""
    if spec.k is not None:
        return solver.residual(spec.k)
    try:
        found = solver.finish(variance=spec.variance)
    except PcaError:  # not reached yet: the next pass adds directions
        return None
    return solver.residual(found.n_components_)


def _reported(fitted: Fitted) -> Fitted:
    pca = fitted.pca
    if pca.n_components_ >= pca.n_samples_:
        warn(f"{pca.n_components_} components of {pca.n_samples_} rows: the ratios past rank {pca.rank_} are 0")
    _log.info(
        "PCA of %d rows x %d features by the %s solver: %d components",
        pca.n_samples_,
        pca.n_features_,
        pca.solver_,
        pca.n_components_,
    )
    return fitted

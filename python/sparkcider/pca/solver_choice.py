"""What a PCA is to be, and which solver finds it.

    D <= 8,192                    covariance: one pass sums the D x D scatter (a few rows: gram, from the same pass)
    N <= 4,096, rows <= 256 MB    gram: the rows come to the driver, whose N x N products are solved
    the rest                      randomized: a few passes, each with O(D (k + 10)) per task

docs/numerics.md has the error of each.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

SOLVERS = ("auto", "covariance", "gram", "randomized")

MOST_FEATURES = 8_192
"""D up to which `auto` sums the scatter: 268 MB of moments, and minutes for its eigenvectors."""

MOST_ROWS = 4_096
"""N up to which the rows are kept for their N x N products (`pca::moments::MAX_ROWS_KEPT`)."""

MOST_BYTES = 256 << 20
"""Of rows in f64 that `auto` brings to the driver for them; over that the randomized solver moves less."""


class PcaSpec(NamedTuple):
    """What to fit.

    Attributes:
        k: Number of components, or None for `variance`.
        variance: Share of the variance, or None for `k`.
        standardize: Scale each feature first.
        solver: `auto`, `covariance`, `gram` or `randomized`.
        max_k: Most components that `variance` takes with `randomized`.
    """

    k: int | None
    variance: float | None
    standardize: bool
    solver: str
    max_k: int


class Step(Enum):
    """What a fit does next."""

    COUNT_ROWS = "count the rows"
    SUM_MOMENTS = "sum moments in one pass, and solve those"
    ITERATE = "iterate over a few passes"


def next_step(solver: str, width: int | None, rows: int | None) -> Step:
    """What a fit does next with what it knows.

    A pass over rows of unknown width sums moments, as most rows are narrow: it stops at a row that is too wide.

    Args:
        solver: `auto`, `covariance`, `gram` or `randomized`.
        width: D, where it is known.
        rows: N, where it is known; any number over `MOST_ROWS` for more.

    Example:
        >>> next_step("auto", 1_280, None).name, next_step("auto", 100_352, None).name
        ('SUM_MOMENTS', 'COUNT_ROWS')
    """
    if solver in ("covariance", "gram"):
        return Step.SUM_MOMENTS
    if solver == "randomized":
        return Step.ITERATE
    if width is None or width <= MOST_FEATURES:
        return Step.SUM_MOMENTS
    if rows is None:
        return Step.COUNT_ROWS
    fits = rows <= MOST_ROWS and 8 * rows * width <= MOST_BYTES
    return Step.SUM_MOMENTS if fits else Step.ITERATE

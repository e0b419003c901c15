"""Which solver a PCA takes: a table of what is known and what comes of it."""

from __future__ import annotations

import pytest

from sparkcider.pca.solver_choice import MOST_BYTES, MOST_FEATURES, MOST_ROWS, Step, next_step

WIDE = 100_352


@pytest.mark.parametrize(
    ("solver", "width", "rows", "expected"),
    [
        ("auto", None, None, Step.SUM_MOMENTS),  # most rows are narrow: the pass stops at a wide one
        ("auto", 1, None, Step.SUM_MOMENTS),
        ("auto", MOST_FEATURES, None, Step.SUM_MOMENTS),
        ("auto", MOST_FEATURES, 10, Step.SUM_MOMENTS),
        ("auto", MOST_FEATURES + 1, None, Step.COUNT_ROWS),
        ("auto", MOST_FEATURES + 1, MOST_ROWS, Step.ITERATE),  # few rows, but over 256 MB
        ("auto", MOST_FEATURES + 1, MOST_BYTES // 8 // (MOST_FEATURES + 1), Step.SUM_MOMENTS),
        ("auto", WIDE, 8, Step.SUM_MOMENTS),
        ("auto", WIDE, MOST_BYTES // 8 // WIDE, Step.SUM_MOMENTS),
        ("auto", WIDE, MOST_BYTES // 8 // WIDE + 1, Step.ITERATE),
        ("auto", WIDE, MOST_ROWS + 1, Step.ITERATE),
        ("covariance", None, None, Step.SUM_MOMENTS),
        ("covariance", WIDE, None, Step.SUM_MOMENTS),
        ("gram", WIDE, None, Step.SUM_MOMENTS),
        ("gram", 2, None, Step.SUM_MOMENTS),
        ("randomized", None, None, Step.ITERATE),
        ("randomized", 2, 2, Step.ITERATE),
    ],
)
def test_the_next_step_follows_from_what_is_known(
    solver: str, width: int | None, rows: int | None, expected: Step
) -> None:
    assert next_step(solver, width, rows) is expected

"""The fit to batches without Spark: beside scikit-learn, and beside itself with other threads and batches."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import decomposition

from sparkcider import Moments, PcaError
from sparkcider.pca import batches, fit, solver_choice
from sparkcider.pca import rows as pca_rows
from sparkcider.pca.batches import fit_batches
from sparkcider.pca.rows import RowRules
from sparkcider.pca.solver_choice import PcaSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

N, D = 700, 40

EXACT = 1e-9
"""Of the exact solvers' ratios, as docs/numerics.md has it."""

RANDOMIZED = 1e-3
"""Of the randomized one's, on decaying spectra."""

ANGLES = {"auto": 1e-7, "randomized": fit.TOLERANCE / (1 - 0.8**2)}
"""Of the subspaces: the residual over the relative gap of the eigenvalues (Davis and Kahan)."""


def matrix() -> np.ndarray:
    """(N, D) float64 with deviations 0.8^i along its directions, away from the origin."""
    random = np.random.default_rng(5)
    left = np.linalg.qr(random.normal(size=(N, D)))[0]
    turn = np.linalg.qr(random.normal(size=(D, D)))[0]
    return left * 0.8 ** np.arange(D) @ turn * 30 + 4


def batched(rows: Any, size: int) -> Callable[[], Iterator[pa.Array]]:
    """Starts passes over rows in batches of `size`."""
    lists = [None if row is None else list(row) for row in rows]
    column = pa.array(lists, pa.list_(pa.float64()))
    return lambda: (column.slice(start, size) for start in range(0, len(column), size))


def spec(**asked: Any) -> PcaSpec:
    if "variance" not in asked:
        asked.setdefault("k", 5)
    defaults = {"k": None, "variance": None, "standardize": False, "solver": "auto", "max_k": 256}
    return PcaSpec(**{**defaults, **asked})


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("solver", ["auto", "randomized"])
@pytest.mark.parametrize("standardize", [False, True])
def test_ratios_and_components_are_scikit_learns(workers: int, solver: str, *, standardize: bool):
    fitted = fit_batches(
        batched(matrix(), 64), spec(solver=solver, standardize=standardize), D, rows=N, workers=workers
    )
    rows = matrix() - matrix().mean(axis=0)
    theirs = decomposition.PCA(5, svd_solver="full").fit(rows / rows.std(axis=0, ddof=1) if standardize else rows)
    bound = EXACT if solver == "auto" else RANDOMIZED
    np.testing.assert_allclose(fitted.pca.explained_variance_ratio_, theirs.explained_variance_ratio_, atol=bound)
    outside = theirs.components_ - theirs.components_ @ fitted.pca.components_.T @ fitted.pca.components_
    assert np.linalg.norm(outside, 2) <= ANGLES[solver]
    assert fitted.pca.solver_ == ("covariance" if solver == "auto" else "randomized")
    assert (fitted.moments is None) == (solver == "randomized")


@pytest.mark.parametrize("solver", ["auto", "randomized"])
def test_threads_give_the_same_bits_every_time(monkeypatch: pytest.MonkeyPatch, solver: str):
    real = pca_rows.of_width

    def uneven(features: pa.Array, width: int | None) -> pa.Array:
        time.sleep(np.random.default_rng().uniform(0, 0.004))  # threads end their batches in any order
        return real(features, width)

    monkeypatch.setattr(pca_rows, "of_width", uneven)
    found = {fit_batches(batched(matrix(), 32), spec(solver=solver), D, workers=4).pca.to_bytes() for _ in range(5)}
    assert len(found) == 1


def test_one_thread_gives_the_bits_of_moments_whatever_the_batches():
    moments = Moments()
    moments.update(pa.array(matrix().tolist()))
    for size in (N, 100, 7):
        assert fit_batches(batched(matrix(), size), spec(), D).moments.to_bytes() == moments.to_bytes()


def test_other_threads_change_the_rounding_only():
    one, four = (fit_batches(batched(matrix(), 50), spec(), D, workers=workers).pca for workers in (1, 4))
    np.testing.assert_allclose(four.components_, one.components_, atol=EXACT)
    np.testing.assert_allclose(four.explained_variance_, one.explained_variance_, rtol=1e-12)


def test_threads_sum_at_the_same_time(monkeypatch: pytest.MonkeyPatch):
    together = threading.Barrier(3, timeout=20)  # broken, and so a fault, unless three threads are inside at once

    def meeting(features: pa.Array, _width: int | None) -> pa.Array:
        together.wait()
        return features

    monkeypatch.setattr(pca_rows, "of_width", meeting)
    assert fit_batches(batched(matrix(), N // 3 + 1), spec(), D, workers=3).pca.n_samples_ == N


def test_batches_in_memory_are_as_many_as_threads_and_one():
    alive, most = 0, 0
    lock = threading.Lock()

    class Counted:
        """A batch that says how many there are."""

        def __init__(self, column: pa.Array) -> None:
            nonlocal alive, most
            self.column = column
            with lock:
                alive += 1
                most = max(most, alive)

        def __arrow_c_array__(self, requested_schema: object = None) -> Any:
            return self.column.__arrow_c_array__(requested_schema)

        def __del__(self) -> None:
            nonlocal alive
            with lock:
                alive -= 1

    columns = list(batched(matrix(), 10)())
    fit_batches(lambda: (Counted(column) for column in columns), spec(), D, workers=2)  # type: ignore[arg-type,return-value]
    assert 0 < most <= 2 + 2  # the generator holds the one that it yielded until it makes the next


def test_rows_are_counted_only_where_the_choice_needs_it(monkeypatch: pytest.MonkeyPatch):
    passes = 0

    def read() -> Iterator[pa.Array]:
        nonlocal passes
        passes += 1
        return batched(matrix(), 100)()

    assert fit_batches(read, spec(), D).pca.solver_ == "covariance"
    assert passes == 1
    monkeypatch.setattr(solver_choice, "MOST_FEATURES", D - 1)
    monkeypatch.setattr(solver_choice, "MOST_ROWS", N)
    assert fit_batches(read, spec(), D, rows=N).pca.solver_ == "covariance"
    assert passes == 2
    assert fit_batches(read, spec(), D).pca.solver_ == "covariance"
    assert passes == 4
    monkeypatch.setattr(solver_choice, "MOST_ROWS", N - 1)
    assert fit_batches(read, spec(), D).pca.solver_ == "randomized"


def test_counting_ends_where_the_rows_are_too_many(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(solver_choice, "MOST_ROWS", 150)
    seen = []

    def read() -> Iterator[pa.Array]:
        for batch in batched(matrix(), 100)():
            seen.append(len(batch))
            yield batch

    assert batches._counted(read) > 150
    assert seen == [100, 100]


@pytest.mark.parametrize("solver", ["auto", "randomized"])
@pytest.mark.parametrize("workers", [1, 2])
def test_null_rows_are_left_out_and_counted_or_an_error(solver: str, workers: int):
    rows = [None, *matrix().tolist(), None]  # first, so that one thread sees nothing else before it
    fitted = fit_batches(batched(rows, 1), spec(solver=solver), D, workers=workers)
    assert (fitted.pca.n_samples_, fitted.n_invalid) == (N, 2)
    strict = RowRules("PCA", "x", skip_nulls=False)
    message = rf"^PCA: column x: of {N + 2} rows 2 are null: handleInvalid='keep' or 'skip' leaves null rows out$"
    with pytest.raises(PcaError, match=message):
        fit_batches(batched(rows, 7), spec(solver=solver), D, workers=workers, rules=strict)


@pytest.mark.parametrize("solver", ["auto", "randomized"])
@pytest.mark.parametrize("workers", [1, 2])
def test_wrong_rows_are_counted_over_all_batches(solver: str, workers: int):
    short = [1.0] * (D - 1)
    rows = [[float("nan")] * D, *matrix().tolist(), [float("inf")] * D, short, [*short, None], []]
    message = (
        f"^PCA: column features: of {N + 5} rows 2 have 0, {D - 1} values, not {D} and 3 have a NaN, an infinity or a "
        "null inside: correct what makes them, or set these rows to null, which leaves them out$"
    )
    with pytest.raises(PcaError, match=message):
        fit_batches(batched(rows, 1), spec(solver=solver), D, workers=workers)


def test_rows_of_another_length_than_expected_are_a_fault():
    with pytest.raises(PcaError, match=rf"^PCA: column features: of {N} rows {N} have 40 values, not 41: correct"):
        fit_batches(batched(matrix(), 100), spec(), D + 1)


@pytest.mark.parametrize("solver", ["auto", "randomized"])
def test_no_rows(solver: str):
    with pytest.raises(PcaError, match=r"^PCA: column x has no rows to fit to$"):
        fit_batches(lambda: iter(()), spec(solver=solver), D, rules=RowRules("PCA", "x"))
    with pytest.raises(PcaError, match=r"^PCA: column features has no rows to fit to \(2 null rows left out\)$"):
        fit_batches(batched([None, None], 1), spec(solver=solver), D, workers=2)


def test_k_over_d_fails_before_a_row_is_read():
    def never() -> Iterator[pa.Array]:
        raise AssertionError

    with pytest.raises(ValueError, match=f"k must be from 1 to the number of features, {D}, got {D + 1}"):
        fit_batches(never, spec(k=D + 1), D)


def test_a_share_of_the_variance_and_maxk():
    exact = fit_batches(batched(matrix(), 100), spec(variance=0.95), D).pca
    found = fit_batches(batched(matrix(), 100), spec(variance=0.95, solver="randomized", max_k=20), D).pca
    assert found.n_components_ == exact.n_components_
    with pytest.raises(PcaError, match=r"components (hold|reach) 0\.\d+ of the variance, not 0\.99: raise maxK$"):
        fit_batches(batched(matrix(), 100), spec(variance=0.99, solver="randomized", max_k=3), D)


def test_a_flat_spectrum_brings_a_warning(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fit, "MOST_PASSES", 2)
    noise = np.random.default_rng(2).normal(size=(400, 100))
    with pytest.warns(UserWarning, match="after 2 passes a variance may still be off by"):
        fit_batches(batched(noise, 64), spec(k=2, solver="randomized"), 100)


@pytest.mark.parametrize(("budget", "workers"), [(8 * D * D * 3, 3), (8 * D * D - 1, 1), (1 << 30, 8)])
def test_threads_are_no_more_than_their_summaries_may_be(budget: int, workers: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(batches, "SUMMARY_BYTES", budget)
    assert batches._affordable(8, 8 * D * D) == workers


def test_a_fit_needs_no_pyspark_and_leaves_no_thread():
    script = """
import sys, threading
sys.modules["pyspark"] = None  # importing it fails
import pyarrow as pa
from sparkcider.pca.batches import fit_batches
from sparkcider.pca.solver_choice import PcaSpec
rows = [pa.array([[float(n), 1.0, n * n % 7]]) for n in range(40)]
for solver in ("auto", "randomized"):
    spec = PcaSpec(k=1, variance=None, standardize=False, solver=solver, max_k=256)
    print(fit_batches(lambda: rows, spec, 3, workers=2).pca.n_samples_, threading.active_count())
"""
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["40", "1"] * 2

"""`Moments` and `Pca` from Python: against scikit-learn, at the edges of Arrow, pickled."""

from __future__ import annotations

import doctest
import pickle
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.linalg import subspace_angles
from sklearn.decomposition import PCA

import sparkcider
from sparkcider import Moments, Pca, PcaError, SparkciderError
from sparkcider._native import RandomizedPca, Sketch

# The bounds. Both sides compute in f64, so the ratios come far closer.
RATIO = 1e-9
ANGLE = 1e-6


def features(rows: np.ndarray, kind: str = "fixed", dtype: pa.DataType | None = None) -> pa.Array:
    """A column of lists of each kind."""
    values = pa.array(rows.ravel(), dtype or pa.from_numpy_dtype(rows.dtype))
    n, width = rows.shape
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(values, width)
    offsets = np.arange(n + 1) * width
    if kind == "list":
        return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)
    return pa.LargeListArray.from_arrays(pa.array(offsets, pa.int64()), values)


def matrix(column: Any) -> np.ndarray:
    """(N, width) of a column of lists without nulls."""
    return np.array(column.to_pylist())


def decaying(n: int, width: int, dtype: type = np.float64) -> np.ndarray:
    """Rows of decaying variances, turned and shifted."""
    rng = np.random.default_rng(n + width)
    turn = np.linalg.qr(rng.normal(size=(width, width)))[0]
    return ((rng.normal(size=(n, width)) * 0.97 ** np.arange(width)) @ turn + 2).astype(dtype)


def moments_of(column: Any, **options: Any) -> Moments:
    """Moments of one column."""
    moments = Moments()
    moments.update(column, **options)
    return moments


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize(("n", "width", "k"), [(2000, 200, 25), (150, 200, 40), (60, 300, 20), (5000, 12, 12)])
def test_ratios_and_subspaces_are_scikit_learns(n: int, width: int, k: int, *, standardize: bool) -> None:
    rows = decaying(n, width)
    theirs_of = (rows - rows.mean(axis=0)) / rows.std(axis=0, ddof=1) if standardize else rows
    theirs = PCA(k, svd_solver="full").fit(theirs_of)
    ours = Pca(k=k, standardize=standardize).fit(moments_of(features(rows)))
    np.testing.assert_allclose(ours.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=RATIO)
    np.testing.assert_allclose(ours.explained_variance_, theirs.explained_variance_, rtol=RATIO)
    np.testing.assert_allclose(ours.singular_values_, theirs.singular_values_, rtol=RATIO)
    np.testing.assert_allclose(ours.noise_variance_, theirs.noise_variance_, rtol=1e-6, atol=1e-14)
    np.testing.assert_allclose(ours.mean_, rows.mean(axis=0), rtol=1e-12)
    assert subspace_angles(ours.components_.T, theirs.components_.T).max() <= ANGLE
    np.testing.assert_allclose(
        np.abs(matrix(ours.transform(features(rows)))), np.abs(theirs.transform(theirs_of)), atol=1e-6
    )
    if standardize:
        np.testing.assert_allclose(ours.scale_, rows.std(axis=0, ddof=1), rtol=1e-12)
    else:
        assert ours.scale_ is None
    assert (ours.n_samples_, ours.n_features_, ours.n_components_) == (n, width, k)
    assert ours.solver_ == ("gram" if 2 * n <= width else "covariance")


def test_signs_follow_scikit_learn() -> None:
    rows = decaying(500, 30)
    theirs = PCA(30, svd_solver="full").fit(rows).components_
    np.testing.assert_allclose(Pca(k=30).fit(moments_of(features(rows))).components_, theirs, atol=1e-8)


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kind_of_list_and_float_follow_the_input(kind: str, dtype: type) -> None:
    column = features(decaying(40, 6, dtype), kind)
    pca = Pca(k=3).fit(moments_of(column))
    projected = pca.transform(column)
    assert type(projected.type) is type(column.type)
    assert projected.type.value_type == column.type.value_type
    back = pca.inverse_transform(projected)
    assert back.type == column.type
    expected = np.linalg.norm(matrix(column) - matrix(back), axis=1)
    error = pca.reconstruction_error(column)
    assert error.type == column.type.value_type
    np.testing.assert_allclose(error.to_numpy(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["fixed", "list", "large"])
def test_slices_are_read_from_their_offset(kind: str) -> None:
    rows = decaying(50, 4)
    whole, part = features(rows, kind), features(rows[7:31].copy(), kind)
    assert moments_of(whole.slice(7, 24)).to_bytes() == moments_of(part).to_bytes()
    pca = Pca(k=2).fit(moments_of(whole))
    assert pca.transform(whole.slice(7, 24)).equals(pca.transform(part))


@pytest.mark.skipif(
    not hasattr(pa.ChunkedArray, "__arrow_c_stream__"), reason="pyarrow before 16 gives no stream of a ChunkedArray"
)
def test_streams_are_their_chunks() -> None:
    rows = decaying(90, 5)
    stream = pa.chunked_array([features(rows[:40]), features(rows[40:])])
    moments = Moments()
    assert moments.update(stream) == 90
    assert moments.to_bytes() == moments_of(features(rows)).to_bytes()
    pca = Pca(k=2).fit(moments)
    projected = pca.transform(stream)
    assert isinstance(projected, pa.ChunkedArray)
    assert projected.combine_chunks().equals(pca.transform(features(rows)))
    empty = pa.chunked_array([], type=stream.type)
    assert len(pca.transform(empty)) == 0
    assert moments.update(empty) == 0


def test_null_rows_stay_null_and_invalid_rows_become_null_if_asked() -> None:
    column = pa.array([[1.0, 2.0], None, [3.0, 5.0], [float("nan"), 1.0], [1.0, None], [1.0], [4.0, 4.5]])
    moments = moments_of(column, skip_invalid=True)
    assert (moments.n_samples, moments.n_invalid) == (3, 4)
    merged = Moments()
    merged.merge(moments)
    merged.merge(Moments.from_bytes(moments.to_bytes()))
    assert (merged.n_samples, merged.n_invalid) == (6, 8)
    pca = Pca(k=1).fit(moments)
    assert pca.transform(column.slice(0, 3)).is_null().to_pylist() == [False, True, False]
    assert pca.transform(column, skip_invalid=True).is_null().to_pylist() == [
        False,
        True,
        False,
        True,
        True,
        True,
        False,
    ]
    assert pca.reconstruction_error(column, skip_invalid=True).null_count == 4
    with pytest.raises(PcaError, match="row 3 has a NaN or an infinity in feature 0"):
        pca.transform(column)
    with pytest.raises(PcaError, match="row 1 is null or has a null inside"):
        Moments().update(column)


def test_a_merge_with_itself_counts_twice() -> None:
    moments = moments_of(features(decaying(30, 4)))
    moments.merge(moments)
    assert moments.n_samples == 60


def test_options_out_of_range_are_value_errors() -> None:
    moments = moments_of(features(decaying(30, 4)))
    for options, message in [
        ({}, "k or variance must be given, one of the two, got neither"),
        ({"k": 2, "variance": 0.5}, "k or variance must be given, one of the two, got both"),
        ({"k": 5}, "k must be from 1 to the number of features, 4, got 5"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": -1}, "k must be at least 1, got -1"),
        ({"variance": 0.0}, "variance must be over 0 and at most 1, got 0"),
        ({"k": 1, "solver": "svd"}, "solver must be auto, covariance, gram or randomized, got 'svd'"),
    ]:
        with pytest.raises(ValueError, match=message):
            Pca(**options).fit(moments)
    with pytest.raises(ValueError, match="cannot read moments"):
        Moments.from_bytes(b"something else")
    with pytest.raises(PcaError, match="column X has no rows to fit to"):
        Pca(k=1).fit(Moments())


@pytest.mark.parametrize("column", [pa.array(["a"]), pa.array([[1, 2]]), pa.array([1.0]), pa.array([["a"]])])
def test_other_columns_are_type_errors(column: pa.Array) -> None:
    with pytest.raises(TypeError, match="expected a column of lists of float32 or float64"):
        Moments().update(column)
    pca = Pca(k=1).fit(moments_of(features(decaying(9, 2))))
    with pytest.raises(TypeError, match="expected a column of lists of float32 or float64"):
        pca.transform(column)


def test_everything_pickles() -> None:
    column = features(decaying(30, 4))
    moments = pickle.loads(pickle.dumps(moments_of(column)))
    assert moments.to_bytes() == moments_of(column).to_bytes()
    pca = Pca(k=2, standardize=True).fit(moments)
    again = pickle.loads(pickle.dumps(pca))
    assert again.to_bytes() == pca.to_bytes()
    assert again.transform(column).equals(pca.transform(column))
    with pytest.raises(SparkciderError) as caught:
        Moments().update(pa.array([[1.0], None]))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (type(copy), str(copy)) == (PcaError, str(caught.value))


def test_eight_rows_of_8192_features_give_sixteen_components() -> None:
    rows = decaying(8, 64)
    rows = np.hstack([rows] * 128)
    with pytest.warns(UserWarning, match="16 components of 8 rows: the ratios past rank 7 are 0"):
        pca = Pca(k=16).fit(moments_of(features(rows)))
    assert pca.rank_ == 7
    np.testing.assert_allclose(pca.components_ @ pca.components_.T, np.eye(16), atol=1e-12)
    assert (pca.explained_variance_ratio_[7:] == 0).all()
    np.testing.assert_allclose(pca.explained_variance_ratio_.sum(), 1)


def test_the_randomized_solver_meets_scikit_learn_over_merged_partitions() -> None:
    rows = decaying(400, 300, np.float32)
    solver = RandomizedPca(300, width=40, standardize=True)
    for _ in range(5):
        merged = Sketch(solver.basis())
        for part in np.array_split(rows, 7):
            sketch = Sketch(solver.basis())
            sketch.update(features(part))
            merged.merge(Sketch.from_bytes(sketch.to_bytes()))
        solver.step(merged)
    pca = solver.finish(k=10)
    exact = rows.astype(np.float64)
    theirs = PCA(10, svd_solver="full").fit((exact - exact.mean(axis=0)) / exact.std(axis=0, ddof=1))
    np.testing.assert_allclose(pca.explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-3)
    assert pca.solver_ == "randomized"
    with pytest.raises(PcaError, match="can be merged, not updated"):
        Sketch.from_bytes(merged.to_bytes()).update(features(rows))


def test_examples_of_the_docstrings_run() -> None:
    for cls in (sparkcider.Moments, sparkcider.Pca, RandomizedPca):
        test = doctest.DocTestParser().get_doctest(cls.__doc__, {}, cls.__name__, None, None)
        assert test.examples
        assert doctest.DocTestRunner().run(test).failed == 0

"""`Pca` as scikit-learn uses it: its own checks, pipelines, clones, searches; and what `fit` takes and refuses."""

from __future__ import annotations

import pickle
import sys
import warnings
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils import estimator_checks
from sklearn.utils.validation import check_is_fitted

from sparkcider import Moments, Pca, PcaError
from sparkcider.pca import batches, solver_choice

EXCEPTIONS = "data that a PCA cannot take is a PcaError or a TypeError here, not a ValueError"
EXPECTED_TO_FAIL = dict.fromkeys(
    (
        "check_complex_data",
        "check_estimators_empty_data_messages",
        "check_estimators_nan_inf",
        "check_n_features_in_after_fitting",
        "check_transformer_general",
    ),
    EXCEPTIONS,
)


def rows(n: int = 200, width: int = 20) -> np.ndarray:
    random = np.random.default_rng(n + width)
    return random.normal(size=(n, width)) * np.arange(1, width + 1) + 3


@pytest.mark.filterwarnings("ignore:.*components of .* rows.*:UserWarning")
@pytest.mark.filterwarnings("ignore:Estimator Pca does not inherit from:UserWarning")
@pytest.mark.skipif(not hasattr(estimator_checks, "estimator_checks_generator"), reason="needs scikit-learn 1.6")
def test_scikit_learns_own_checks():
    outcomes = estimator_checks.check_estimator(
        Pca(k=1), expected_failed_checks=EXPECTED_TO_FAIL, on_skip=None, on_fail=None
    )
    failed = {outcome["check_name"]: outcome["exception"] for outcome in outcomes if outcome["status"] == "failed"}
    assert not failed
    assert sum(outcome["status"] == "passed" for outcome in outcomes) > 30
    refused = {outcome["check_name"] for outcome in outcomes if outcome["status"] == "xfail"}
    assert refused == set(EXPECTED_TO_FAIL)  # none of them passes by now


def test_the_numbers_of_a_pipeline_are_scikit_learns():
    x = rows()
    theirs = PCA(5, svd_solver="full").fit(x)
    ours = make_pipeline(Pca(k=5)).fit(x)
    np.testing.assert_allclose(ours.transform(x), theirs.transform(x), atol=1e-8)
    np.testing.assert_allclose(ours[0].explained_variance_ratio_, theirs.explained_variance_ratio_, rtol=1e-9)
    assert ours.get_feature_names_out().tolist() == theirs.get_feature_names_out().tolist()
    assert ours[0].n_features_in_ == 20


def test_a_grid_search_chooses_k():
    x = rows()
    y = x[:, 10] > 3
    search = GridSearchCV(make_pipeline(Pca(k=1), LogisticRegression()), {"pca__k": [1, 20]}, cv=3).fit(x, y)
    assert search.best_params_ == {"pca__k": 20}
    assert search.best_score_ > 0.9


def test_a_clone_has_the_arguments_and_not_the_fit():
    pca = Pca(variance=0.9, standardize=True, center=False, solver="covariance", max_k=5, skip_invalid=True).fit(rows())
    copy = clone(pca)
    assert copy.get_params() == pca.get_params()
    check_is_fitted(pca)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    assert not hasattr(copy, "components_")


def test_arguments_are_seen_and_set():
    pca = Pca(k=3, whiten=True)
    assert repr(pca) == "Pca(k=3, whiten=True)"
    assert repr(Pca()) == "Pca()"
    assert pca.set_params(k=4, whiten=False) is pca
    assert (pca.k, pca.whiten) == (4, False)
    with pytest.raises(ValueError, match=r"^Pca has no parameter n_components: the number of components is k=3$"):
        pca.set_params(n_components=3)


@pytest.mark.parametrize("call", ["transform", "inverse_transform", "reconstruction_error"])
def test_an_unfitted_pca_says_so(call):
    with pytest.raises(PcaError, match="this Pca is not fitted yet: call fit first"):
        getattr(Pca(k=1), call)(rows())
    with pytest.raises(PcaError, match="call fit first"):
        Pca(k=1).to_bytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "k or variance must be given, one of the two, got neither"),
        ({"k": 1, "variance": 0.5}, "k or variance must be given, one of the two, got both"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"k": 21}, "k must be from 1 to the number of features, 20, got 21"),
        ({"variance": 1.5}, "variance must be over 0 and at most 1, got 1.5"),
        ({"k": 1, "solver": "full"}, "solver must be auto, covariance, gram or randomized, got 'full'"),
        ({"k": 1, "max_k": 0}, "max_k must be at least 1, got 0"),
    ],
)
def test_arguments_are_checked_by_fit(arguments, message):
    pca = Pca(**arguments)
    moments = Moments()
    moments.update(rows())
    for x in (rows(), moments):
        with pytest.raises(ValueError, match=message):
            pca.fit(x)


def test_center_and_whiten_are_the_constructors_or_the_calls():
    x = rows()
    pca = Pca(k=3).fit(x)
    plain = Pca(k=3, center=False, whiten=True).fit(x)
    assert np.array_equal(plain.transform(x), pca.transform(x, center=False, whiten=True))
    assert np.array_equal(plain.transform(x, center=True, whiten=False), pca.transform(x))
    # without the centre coordinates are off by the mean's, a constant row
    offset = pca.transform(x, center=False) - pca.transform(x)
    np.testing.assert_allclose(offset, np.tile(pca.components_ @ pca.mean_, (len(x), 1)), atol=1e-9)
    for each in (pca, plain):
        full = Pca(k=20, center=each.center, whiten=each.whiten).fit(x)
        np.testing.assert_allclose(full.inverse_transform(full.transform(x)), x, atol=1e-9)


def test_moments_arrays_and_batches_give_one_fit(monkeypatch):
    x = rows(500, 30)
    moments = Moments()
    moments.update(x)
    expected = Pca(k=4).fit(moments)
    assert Pca(k=4).fit(x).to_bytes() == expected.to_bytes()
    monkeypatch.setattr(batches, "BATCH_BYTES", 8 * 30 * 7)
    shared = Pca(k=4).fit(x)  # summed by all threads in batches of 7 rows
    np.testing.assert_allclose(shared.components_, expected.components_, atol=1e-9)
    assert Pca(k=4).fit(x).to_bytes() == shared.to_bytes()


def test_wide_rows_are_read_by_the_randomized_solver(monkeypatch):
    monkeypatch.setattr(solver_choice, "MOST_FEATURES", 10)
    monkeypatch.setattr(solver_choice, "MOST_ROWS", 10)
    x = rows()
    pca = Pca(k=2).fit(x)
    assert pca.solver_ == "randomized"
    np.testing.assert_allclose(
        pca.explained_variance_ratio_, Pca(k=2, solver="covariance").fit(x).explained_variance_ratio_
    )


def test_a_bad_row_is_named_by_its_place_among_all_rows(monkeypatch):
    monkeypatch.setattr(batches, "BATCH_BYTES", 8 * 20 * 7)
    x = rows()
    x[123, 4] = np.inf
    column = pa.array(x.tolist())
    for given in (x, column, pa.chunked_array([column[:50], column[50:]])):
        with pytest.raises(
            PcaError, match=r"^row 123 has a NaN or an infinity in feature 4; skip_invalid=True leaves such rows out$"
        ):
            Pca(k=1).fit(given)
        assert Pca(k=1, skip_invalid=True).fit(given).n_invalid_ == 1


def test_the_length_is_that_of_the_first_row_that_has_one():
    column = pa.array([None, [], [1.0, 2.0], [3.0, 5.0], [1.0], [4.0, 4.0]])
    with pytest.raises(PcaError, match="row 0 is null or has a null inside"):
        Pca(k=1).fit(column)
    pca = Pca(k=1, skip_invalid=True).fit(column)
    assert (pca.n_features_, pca.n_samples_, pca.n_invalid_) == (2, 3, 3)
    with pytest.raises(PcaError, match=r"^Pca: column X has no rows to fit to \(2 invalid rows left out\)$"):
        Pca(k=1, skip_invalid=True).fit(pa.array([None, None], pa.list_(pa.float64())))
    with pytest.raises(PcaError, match=r"^Pca: column X has no rows to fit to$"):
        Pca(k=1).fit([])
    with pytest.raises(TypeError, match="expected a column of lists of float32 or float64"):
        Pca(k=1).fit(pa.array([1.0]))


def test_bytes_hold_the_fit_and_pickles_the_arguments_too():
    x = rows()
    pca = Pca(variance=0.5, standardize=True, center=False).fit(x)
    again = Pca.from_bytes(pca.to_bytes())
    assert again.to_bytes() == pca.to_bytes()
    assert repr(again) == f"Pca(k={pca.n_components_}, standardize=True, solver='covariance')"
    copy = pickle.loads(pickle.dumps(pca))
    assert copy.get_params() == pca.get_params()
    assert np.array_equal(copy.transform(x), pca.transform(x))
    assert pickle.loads(pickle.dumps(Pca(k=2))).get_params() == Pca(k=2).get_params()


def test_scikit_learn_is_not_needed(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.setitem(sys.modules, name, None)
    pca = Pca(k=2).set_params(whiten=True)
    assert pca.fit_transform(rows()).shape == (200, 2)
    assert pca.get_feature_names_out().tolist() == ["pca0", "pca1"]


# Names of columns


def test_names_of_columns_follow_scikit_learns_rules():
    estimator_checks.check_dataframe_column_names_consistency("Pca", Pca(k=1))


@pytest.mark.parametrize(
    "columns", [["b", "a", "c"], ["a", "b", "d"], ["a", "b"], [0, 1, 2]], ids=["order", "other", "fewer", "numbers"]
)
def test_other_names_get_scikit_learns_words(columns: list[Any]):
    pandas = pytest.importorskip("pandas")
    x = rows(30, 3)
    fitted = [estimator.fit(pandas.DataFrame(x, columns=["a", "b", "c"])) for estimator in (Pca(k=1), PCA(1))]
    said = []
    for estimator in fitted:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                estimator.transform(pandas.DataFrame(x[:, : len(columns)], columns=columns))
                said.append([str(warning.message).replace("PCA", "Pca") for warning in warned])
            except ValueError as error:
                said.append([str(error)])
    assert said[0] == said[1] != []
    with pytest.raises(ValueError, match="feature names should match"):
        fitted[0].reconstruction_error(pandas.DataFrame(x, columns=["c", "b", "a"]))


def test_names_are_kept_by_the_last_fit_and_by_pickles():
    pandas = pytest.importorskip("pandas")
    x = rows(30, 3)
    frame = pandas.DataFrame(x, columns=["a", "b", "c"])
    for pca in (Pca(k=1).fit(frame), pickle.loads(pickle.dumps(Pca(k=1).fit(frame)))):
        assert pca.feature_names_in_.tolist() == ["a", "b", "c"]
    pca = Pca(k=1)
    np.testing.assert_array_equal(pca.fit_transform(frame), pca.fit(frame).transform(frame))
    assert pca.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.warns(UserWarning, match="X does not have valid feature names, but Pca was fitted with") as warned:
        pca.transform(x)
    assert warned[0].filename == __file__
    assert not hasattr(pca.fit(x), "feature_names_in_")
    with pytest.warns(UserWarning, match="X has feature names, but Pca was fitted without feature names"):
        pca.transform(frame)
    with pytest.raises(TypeError, match="only supported if all input features have string names"):
        pca.fit(frame.rename(columns={"a": 1}))
    polars = pytest.importorskip("polars")
    assert pca.fit(polars.DataFrame(x, schema=["a", "b", "c"])).feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="same order"):
        pca.transform(polars.DataFrame(x, schema=["b", "a", "c"]))

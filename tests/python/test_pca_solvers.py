"""Solvers on Spark, and what a fitted model gives besides components: beside scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark import SparkFiles
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from sklearn import decomposition
from sklearn.preprocessing import StandardScaler as Scaler

from sparkcider import PcaError
from sparkcider.feature import PCA, PCAModel, StandardScaler
from sparkcider.functions import pca_project
from sparkcider.pca import fit, solver_choice
from sparkcider.spark import moments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

N, D = 90, 40

EXACT = 1e-6
"""The issue's bound for ratios and subspace angles of the exact solvers."""

RANDOMIZED = 1e-3
"""Likewise of the randomized one, on decaying spectra."""


def matrix() -> np.ndarray:
    """(N, D) float64 with deviations 0.8^i along its directions, away from the origin."""
    random = np.random.default_rng(5)
    left = np.linalg.qr(random.normal(size=(N, D)))[0]
    turn = np.linalg.qr(random.normal(size=(D, D)))[0]
    return left * 0.8 ** np.arange(D) @ turn * 30 + 4


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    rows = [(number, row.tolist()) for number, row in enumerate(matrix())]
    return spark.createDataFrame(rows, "id int, x array<double>").repartition(3).cache()


@pytest.fixture
def few_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wide for `auto` is 30 features here, not 8,192."""
    monkeypatch.setattr(solver_choice, "MOST_FEATURES", 30)


def pca(**params: Any) -> PCA:
    return PCA(**{"inputCol": "x", "outputCol": "y", **params})


def column(frame: DataFrame, name: str) -> np.ndarray:
    return np.array([row[name] for row in sorted(frame.select("id", name).collect())])


def subspace_angle(a: np.ndarray, b: np.ndarray) -> float:
    """Largest angle between the spaces of the rows of `a` and of `b`, by its sine."""
    outside = a - a @ b.T @ b
    return float(np.linalg.norm(outside, 2))


def rows_of(model: PCAModel) -> np.ndarray:
    return model.pc.toArray().T


# Which solver, and how well it does


@pytest.mark.parametrize("solver", ["covariance", "randomized"])
@pytest.mark.parametrize("standardize", [False, True])
def test_solvers_meet_scikit_learn(
    frame: DataFrame, solver: str, caplog: pytest.LogCaptureFixture, *, standardize: bool
) -> None:
    caplog.set_level("INFO", "sparkcider")
    model = pca(k=5, solver=solver, standardize=standardize).fit(frame)
    rows = matrix()
    rows = (rows - rows.mean(axis=0)) / (rows.std(axis=0, ddof=1) if standardize else 1)
    theirs = decomposition.PCA(5, svd_solver="full").fit(rows)
    bound = EXACT if solver == "covariance" else RANDOMIZED
    np.testing.assert_allclose(model.explainedVariance.toArray(), theirs.explained_variance_ratio_, atol=bound)
    assert subspace_angle(rows_of(model), theirs.components_) <= bound
    assert (model.fittedSolver, model.numRows) == (solver, N)
    assert f"PCA of {N} rows x {D} features by the {solver} solver: 5 components" in caplog.messages


def test_few_wide_rows_are_solved_by_their_products(spark: SparkSession) -> None:
    wide = np.random.default_rng(1).normal(size=(6, 500))
    rows = spark.createDataFrame([(row.tolist(),) for row in wide], "x array<double>")
    model = pca(k=5).fit(rows)
    theirs = decomposition.PCA(5, svd_solver="full").fit(wide)
    assert model.fittedSolver == "gram"
    np.testing.assert_allclose(model.explainedVariance.toArray(), theirs.explained_variance_ratio_, atol=EXACT)
    assert subspace_angle(rows_of(model), theirs.components_) <= EXACT


@pytest.mark.usefixtures("few_features")
@pytest.mark.parametrize("known", [False, True])
def test_auto_takes_the_randomized_solver_where_rows_are_wide_and_many(
    frame: DataFrame, monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    monkeypatch.setattr(solver_choice, "MOST_ROWS", N - 1)
    given = frame.withMetadata("x", {"ml_attr": {"num_attrs": D}}) if known else frame
    assert pca(k=3).fit(given).fittedSolver == "randomized"


def test_the_randomized_solver_leaves_no_basis_behind(spark: SparkSession, frame: DataFrame) -> None:
    folders = [Path(spark.sparkContext._temp_dir), Path(SparkFiles.getRootDirectory())]
    before = {path for folder in folders for path in folder.rglob("*")}
    assert pca(k=3, solver="randomized").fit(frame).fittedSolver == "randomized"
    left = {path for folder in folders for path in folder.rglob("*")} - before
    assert [path.name for path in left if path.is_file() and path.stat().st_size >= 8 * D * 3] == []


@pytest.mark.usefixtures("few_features")
def test_auto_takes_the_rows_where_they_are_wide_and_few(frame: DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    few = frame.where("id < 15")
    assert pca(k=3).fit(few).fittedSolver == "gram"
    monkeypatch.setattr(solver_choice, "MOST_BYTES", 1000)
    assert pca(k=3).fit(few).fittedSolver == "randomized"


@pytest.mark.usefixtures("few_features")
def test_rows_that_several_passes_read_are_kept_meanwhile(
    spark: SparkSession, frame: DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(solver_choice, "MOST_ROWS", 1)
    seen = spark.sparkContext.accumulator(0)

    def count(batches: Any) -> Any:
        for batch in batches:
            seen.add(batch.num_rows)
            yield batch

    counted = frame.select("x").mapInArrow(count, "x array<double>").withMetadata("x", {"ml_attr": {"num_attrs": D}})
    pca(k=3).fit(counted)
    assert seen.value == N


def test_maxk_bounds_what_variance_takes(frame: DataFrame) -> None:
    exact = pca(variance=0.95).fit(frame)
    found = pca(variance=0.95, solver="randomized", maxK=20).fit(frame)
    assert found.pc.numCols == exact.pc.numCols
    np.testing.assert_allclose(found.explainedVariance.toArray(), exact.explainedVariance.toArray(), atol=RANDOMIZED)
    with pytest.raises(PcaError, match=r"components (hold|reach) 0\.\d+ of the variance, not 0\.99: raise maxK$"):
        pca(variance=0.99, solver="randomized", maxK=3).fit(frame)


def test_a_flat_spectrum_brings_a_warning(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "MOST_PASSES", 2)
    noise = np.random.default_rng(2).normal(size=(400, 100))
    rows = spark.createDataFrame([(row.tolist(),) for row in noise], "x array<double>")
    with pytest.warns(UserWarning, match="after 2 passes a variance may still be off by"):
        pca(k=2, solver="randomized").fit(rows)


def test_null_and_wrong_rows_in_the_randomized_solver(spark: SparkSession, frame: DataFrame, tmp_path: Path) -> None:
    nulls = frame.union(spark.createDataFrame([(N, None), (N + 1, None)], frame.schema))
    model = pca(k=3, solver="randomized").fit(nulls)
    assert (model.numRows, model.numInvalid) == (N, 2)
    model.save(str(tmp_path / "model"))
    loaded = PCAModel.load(str(tmp_path / "model"))
    assert (loaded.numRows, loaded.numInvalid, loaded.fittedSolver) == (N, 2, "randomized")
    wrong = nulls.union(spark.createDataFrame([(N + 2, [1.0]), (N + 3, [float("nan")] * D)], frame.schema))
    message = rf"^PCA: column x: of {N + 4} rows 1 has 1 values, not {D} and 1 has a NaN, an infinity or a null inside"
    with pytest.raises(PcaError, match=message):
        pca(k=3, solver="randomized").fit(wrong)


@pytest.mark.parametrize("solver", ["randomized", "auto"])
def test_no_rows(spark: SparkSession, frame: DataFrame, solver: str) -> None:
    with pytest.raises(PcaError, match=r"column x has no rows to fit to$"):
        pca(k=3, solver=solver).fit(frame.limit(0))
    nulls = spark.createDataFrame([(0, None), (1, None)], frame.schema)
    with pytest.raises(PcaError, match=r"^PCA: column x has no rows to fit to \(2 null rows left out\)$"):
        pca(k=3, solver=solver).fit(nulls)


@pytest.mark.usefixtures("few_features")
def test_one_row_that_is_too_wide_does_not_take_over(spark: SparkSession) -> None:
    rows = [([float(at), at * 0.5, 1.0],) for at in range(50)] + [([1.0] * 31,)]
    frame = spark.createDataFrame(rows, "x array<double>").coalesce(1)
    with pytest.raises(PcaError, match=r"^PCA: column x: of 51 rows 1 has 31 values, not 3: correct what makes them"):
        pca(k=1).fit(frame)


WIDE = 100_352  # ResNet50's last map, 7 x 7 x 2,048: more than Spark's own PCA takes


@pytest.mark.parametrize("solver", ["auto", "randomized"])
def test_rows_of_a_hundred_thousand_features(spark: SparkSession, solver: str) -> None:
    def made(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            rows = [wide_row(number) for number in batch.column(0).to_pylist()]
            yield pa.RecordBatch.from_pydict({"x": pa.array(rows, pa.list_(pa.float32()))})

    frame = spark.range(0, 12, 1, 2).mapInArrow(made, "x array<float>")
    model = pca(k=3, solver=solver).fit(frame)
    theirs = decomposition.PCA(3, svd_solver="full").fit(np.array([wide_row(number) for number in range(12)], float))
    assert model.fittedSolver == {"auto": "gram", "randomized": "randomized"}[solver]
    bound = EXACT if solver == "auto" else RANDOMIZED
    np.testing.assert_allclose(model.explainedVariance.toArray(), theirs.explained_variance_ratio_, atol=bound)
    assert subspace_angle(rows_of(model), theirs.components_) <= bound


def wide_row(number: int) -> np.ndarray:
    row = np.random.default_rng(number).normal(size=WIDE) * 0.1
    row[number % 3 :: 3] += number
    return row.astype(np.float32)


@pytest.mark.parametrize("rows", [[[1.0, 2.0, 3.0]], [[1.0, 2.0, 3.0]] * 4])
def test_one_row_and_constant_rows_have_no_variance(spark: SparkSession, rows: list[list[float]]) -> None:
    frame = spark.createDataFrame([(row,) for row in rows], "x array<double>")
    if len(rows) == 1:
        with pytest.warns(UserWarning, match="1 components of 1 rows"):
            model = pca(k=1).fit(frame)
    else:
        model = pca(k=1, standardize=True).fit(frame)
    assert list(model.explainedVariance) == [0.0]
    assert np.isfinite([row.y for row in model.transform(frame).collect()]).all()


def test_bad_options_are_said(frame: DataFrame) -> None:
    with pytest.raises(ValueError, match="auto, covariance, gram or randomized"):
        pca(solver="arpack")
    with pytest.raises(ValueError, match=f"k must be from 1 to the number of features, {D}, got {D + 1}"):
        pca(k=D + 1, solver="randomized").fit(frame)


# The driver


@pytest.fixture
def small_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that takes 3 kB: less than 40 features' scatter (6.6 kB) or 13 directions (5.1 kB)."""
    monkeypatch.setattr(moments, "RESULT_DEFAULT", "3k")  # the setting itself is Spark's, for a session's whole life


@pytest.mark.usefixtures("small_driver")
def test_what_the_driver_would_refuse_fails_before_the_pass(frame: DataFrame) -> None:
    with pytest.raises(PcaError, match=r"the moments of 40 features take .* more than spark.driver.maxResultSize"):
        pca(k=3).fit(frame)  # D is not known before the rows are read
    known = frame.withMetadata("x", {"ml_attr": {"num_attrs": D}})
    with pytest.raises(PcaError, match=r"the moments of 40 features take .* more than spark.driver.maxResultSize"):
        pca(k=3).fit(known)
    with pytest.raises(PcaError, match=r"the sketches of 40 features take .* set it to 1g, with 1g of memory"):
        pca(k=10, solver="randomized").fit(known)
    with pytest.raises(PcaError, match=r"^10 rows of 40 features take 3,200 bytes on the driver"):
        pca(k=3).fit(known.where("id < 10"))
    assert pca(k=3).fit(known.where("id < 9")).numRows == 9


@pytest.mark.parametrize(
    ("text", "size"), [("1g", 1 << 30), ("512m", 512 << 20), ("100", 100), ("2GB", 2 << 30), ("0", 0), ("3kb", 3072)]
)
def test_sizes_are_read_as_spark_reads_them(text: str, size: int) -> None:
    assert moments._bytes(text) == size


# What a model gives


def test_the_models_numbers_are_scikit_learns(frame: DataFrame) -> None:
    model = pca(k=4, standardize=True).fit(frame)
    rows = Scaler().fit_transform(matrix()) * np.sqrt((N - 1) / N)
    theirs = decomposition.PCA(4, svd_solver="full").fit(rows)
    np.testing.assert_allclose(model.singularValues.toArray(), theirs.singular_values_, rtol=EXACT)
    np.testing.assert_allclose(model.mean.toArray(), matrix().mean(axis=0))
    np.testing.assert_allclose(model.scale.toArray(), matrix().std(axis=0, ddof=1))  # type: ignore[union-attr]
    assert model.noiseVariance == pytest.approx(theirs.noise_variance_, rel=EXACT)
    assert pca(k=1).fit(frame).scale is None


@pytest.mark.parametrize("standardize", [False, True])
def test_whitened_components_have_deviation_one(frame: DataFrame, *, standardize: bool) -> None:
    model = pca(k=3, whiten=True, standardize=standardize).fit(frame)
    found = column(model.transform(frame), "y")
    np.testing.assert_allclose(np.cov(found.T), np.eye(3), atol=EXACT)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=EXACT)


def test_pca_project_does_as_the_model_does(frame: DataFrame) -> None:
    model = pca(k=3).setWhiten(True).fit(frame)
    done = model.transform(frame).withColumn("z", pca_project("x", model=model, element_type="double"))
    np.testing.assert_array_equal(column(done, "z"), column(done, "y"))
    plain = pca_project("x", model=model, whiten=False, center=False, element_type="double")
    np.testing.assert_allclose(column(frame.withColumn("z", plain), "z"), matrix() @ rows_of(model).T, atol=1e-9)


@pytest.mark.parametrize("params", [{}, {"standardize": True}, {"whiten": True}, {"standardize": True, "whiten": True}])
def test_all_components_take_rows_back(frame: DataFrame, params: dict[str, bool]) -> None:
    model = pca(k=D, **params).fit(frame)
    back = model.inverse_transform(model.transform(frame), "back")
    np.testing.assert_allclose(column(back, "back"), matrix(), atol=1e-6)
    assert back.schema["back"].metadata["ml_attr"]["num_attrs"] == D
    with pytest.raises(ValueError, match="column x exists already"):
        model.inverse_transform(model.transform(frame), "x")


@pytest.mark.parametrize("standardize", [False, True])
def test_the_reconstruction_error_is_what_the_components_lose(frame: DataFrame, *, standardize: bool) -> None:
    model = pca(k=4, standardize=standardize, reconstructionErrorCol="lost").fit(frame)
    rows = matrix() - matrix().mean(axis=0)
    rows = rows / matrix().std(axis=0, ddof=1) if standardize else rows
    lost = rows - rows @ rows_of(model).T @ rows_of(model)
    done = model.transform(frame)
    assert done.dtypes[-1] == ("lost", "double")
    np.testing.assert_allclose(column(done, "lost"), np.linalg.norm(lost, axis=1), atol=1e-9)


def test_an_outlier_has_the_largest_error(spark: SparkSession, frame: DataFrame) -> None:
    odd = spark.createDataFrame([(N, (matrix()[0] + 50 * np.eye(D)[7]).tolist())], frame.schema)
    model = pca(k=4, reconstructionErrorCol="lost").fit(frame)
    worst = model.transform(frame.union(odd)).orderBy(F.desc("lost")).first()
    assert worst is not None
    assert worst.id == N


def test_the_scaler_leaves_null_rows_out_or_stops(spark: SparkSession, frame: DataFrame) -> None:
    rows = frame.union(spark.createDataFrame([(N, None)], frame.schema))
    kept = StandardScaler(inputCol="x", outputCol="y").fit(rows)
    np.testing.assert_allclose(kept.mean.toArray(), matrix().mean(axis=0))
    assert kept.transform(rows).where("y is null").select("id").collect() == [(N,)]
    left = StandardScaler(inputCol="x", outputCol="y", handleInvalid="skip").fit(rows).transform(rows)
    assert left.count() == N
    stopping = StandardScaler(inputCol="x", outputCol="y", handleInvalid="error")
    null = "null: handleInvalid='keep' or 'skip' leaves null rows out"
    with pytest.raises(PcaError, match=f"^StandardScaler: column x: of {N + 1} rows 1 is {null}$"):
        stopping.fit(rows)
    with pytest.raises(Exception, match=rf"StandardScalerModel: column x: of \d+ rows of a batch 1 is {null}"):
        stopping.fit(frame).transform(rows).collect()
    nulls = rows.where(f"id = {N}")
    with pytest.raises(PcaError, match=r"^StandardScaler: column x has no rows to fit to \(1 null rows left out\)$"):
        StandardScaler(inputCol="x", outputCol="y").fit(nulls)


@pytest.mark.parametrize(
    ("bad", "what"),
    [([], f"0 values, not {D}"), ([1.0], f"1 values, not {D}"), ([float("nan")] * D, "a NaN, an infinity or")],
)
@pytest.mark.parametrize("known", [False, True])
def test_wrong_rows_stop_the_scaler(
    spark: SparkSession, frame: DataFrame, bad: list[float], what: str, *, known: bool
) -> None:
    rows = frame.union(spark.createDataFrame([(N, bad)], frame.schema))
    if known:
        rows = rows.withMetadata("x", {"ml_attr": {"num_attrs": D}})
    for handle_invalid in ("keep", "skip", "error"):
        scaler = StandardScaler(inputCol="x", outputCol="y", handleInvalid=handle_invalid)
        with pytest.raises(PcaError, match=f"^StandardScaler: column x: of {N + 1} rows 1 has {what}"):
            scaler.fit(rows)
    with pytest.raises(Exception, match=rf"StandardScalerModel: column x: of \d+ rows of a batch 1 has {what}"):
        scaler.fit(frame).transform(rows).collect()


def test_a_column_of_another_length_fails_before_a_job(frame: DataFrame) -> None:
    other = frame.withMetadata("x", {"ml_attr": {"num_attrs": D + 1}})
    for estimator in (StandardScaler(inputCol="x", outputCol="y"), pca(k=2)):
        model = estimator.fit(frame)
        message = f"^{type(model).__name__}: column x: expected {D} values per row, got {D + 1}$"
        with pytest.raises(ValueError, match=message):
            model.transform(other)

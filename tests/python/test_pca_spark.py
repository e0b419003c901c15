"""PCA on Spark: beside pyspark.ml's own, beside scikit-learn, at the edges."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml import feature as spark_feature
from pyspark.ml.functions import array_to_vector
from pyspark.ml.linalg import DenseMatrix, DenseVector, SparseVector, Vectors
from pyspark.sql.functions import col
from sklearn import decomposition
from sklearn.preprocessing import StandardScaler

from sparkcider import Pca, PcaError, saved_stage
from sparkcider.feature import PCA, PCAModel
from sparkcider.functions import pca_project

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

N, D = 60, 5

RATIO_RTOL = 1e-6
"""The issue's bound for variance ratios against scikit-learn and Spark."""

COMPONENT_ATOL = 1e-6
"""Likewise for components, whose relative gaps here are wide."""


def matrix() -> np.ndarray:
    """(N, D) float64 with five clear directions, far from the origin, as float32 has them."""
    random = np.random.default_rng(3)
    mixed = random.normal(size=(N, D)) * [9, 5, 3, 2, 1] @ np.linalg.qr(random.normal(size=(D, D)))[0]
    return (mixed + 10).astype(np.float32).astype(np.float64)


@pytest.fixture(scope="module")
def arrays(spark: SparkSession) -> DataFrame:
    rows = [(number, row.tolist()) for number, row in enumerate(matrix())]
    return spark.createDataFrame(rows, "id int, x array<double>").repartition(3).cache()


@pytest.fixture(scope="module")
def vectors(arrays: DataFrame) -> DataFrame:
    return arrays.withColumn("x", array_to_vector("x"))


def pca(**params: Any) -> PCA:
    return PCA(**{"inputCol": "x", "outputCol": "y", **params})


def projected(model: Any, rows: DataFrame) -> np.ndarray:
    found = sorted(model.transform(rows).select("id", "y").collect())
    return np.array([row.y for row in found])


@pytest.mark.parametrize("k", [1, 3, D])
def test_numbers_are_those_of_pyspark_ml(vectors: DataFrame, k: int):
    theirs = spark_feature.PCA(k=k, inputCol="x", outputCol="y").fit(vectors)
    ours = pca(k=k).fit(vectors)
    assert isinstance(ours.pc, DenseMatrix)
    assert isinstance(ours.explainedVariance, DenseVector)
    signs = np.sign((ours.pc.toArray() * theirs.pc.toArray()).sum(axis=0))  # Spark's signs are LAPACK's
    np.testing.assert_allclose(ours.pc.toArray(), theirs.pc.toArray() * signs, atol=COMPONENT_ATOL)
    np.testing.assert_allclose(ours.explainedVariance, theirs.explainedVariance, rtol=RATIO_RTOL)
    np.testing.assert_allclose(projected(ours, vectors), projected(theirs, vectors) * signs, atol=1e-4)


def test_the_same_calls_work_on_both_classes(vectors: DataFrame, tmp_path: Path):
    for module in (spark_feature, __import__("sparkcider.feature", fromlist=["PCA"])):
        estimator = module.PCA(inputCol="x", outputCol="y").setK(2)
        model = estimator.fit(vectors, {estimator.outputCol: "z"})
        assert (model.getK(), model.getOutputCol(), model.uid) == (2, "z", estimator.uid)
        assert (model.pc.numRows, model.pc.numCols) == (D, 2)
        path = str(tmp_path / module.__name__)
        model.write().overwrite().save(path)
        loaded = module.PCAModel.load(path)
        assert loaded.pc == model.pc
        assert loaded.setOutputCol("w").transform(vectors).columns == ["id", "x", "w"]


@pytest.mark.parametrize("standardize", [False, True])
def test_ratios_equal_scikit_learns(arrays: DataFrame, *, standardize: bool):
    points = StandardScaler().fit_transform(matrix()) if standardize else matrix()
    reference = decomposition.PCA(svd_solver="full").fit(points)
    model = pca(k=D, standardize=standardize).fit(arrays)
    np.testing.assert_allclose(model.explainedVariance, reference.explained_variance_ratio_, rtol=RATIO_RTOL)


def test_transform_centres_and_scales_only_when_standardized(arrays: DataFrame):
    plain = pca(k=2).fit(arrays)
    np.testing.assert_allclose(projected(plain, arrays), matrix() @ plain.pc.toArray(), atol=1e-9)
    standard = pca(k=2, standardize=True).fit(arrays)
    deviation = matrix().std(axis=0, ddof=1)
    expected = (matrix() - matrix().mean(axis=0)) / deviation @ standard.pc.toArray()
    np.testing.assert_allclose(projected(standard, arrays), expected, atol=1e-9)


def test_centred_coordinates_are_scikit_learns_and_others_sparks(arrays: DataFrame, vectors: DataFrame):
    reference = decomposition.PCA(3, svd_solver="full").fit(matrix())
    theirs = spark_feature.PCA(k=3, inputCol="x", outputCol="y").fit(vectors)
    plain, centred = (pca(k=3, center=center).fit(arrays) for center in (False, True))
    assert (plain.centers, centred.centers) == (False, True)
    assert centred.pc == plain.pc
    signs = np.sign((reference.components_ * centred.pc.toArray().T).sum(axis=1))
    expected = reference.transform(matrix()) * signs
    np.testing.assert_allclose(projected(centred, arrays), expected, atol=1e-9)
    signs = np.sign((plain.pc.toArray() * theirs.pc.toArray()).sum(axis=0))
    np.testing.assert_allclose(projected(plain, arrays), projected(theirs, vectors) * signs, atol=1e-9)
    np.testing.assert_array_equal(projected(plain.setCenter(True), arrays), projected(centred, arrays))


@pytest.mark.parametrize("params", [{"standardize": True}, {"whiten": True}, {"standardize": True, "whiten": True}])
def test_standardized_and_whitened_rows_are_centred_whatever_center_says(arrays: DataFrame, params: dict[str, bool]):
    model = pca(k=2, center=False, **params).fit(arrays)
    assert model.centers
    assert not model.getCenter()
    found = projected(model, arrays)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_array_equal(projected(model.setCenter(True), arrays), found)


def test_center_goes_wherever_the_model_goes(arrays: DataFrame, tmp_path: Path):
    model = pca(k=2).setCenter(True).fit(arrays)
    expected = projected(model, arrays)
    assert model.getCenter()
    assert model.update(arrays).getCenter()
    model.save(str(tmp_path / "model"))
    np.testing.assert_array_equal(projected(PCAModel.load(str(tmp_path / "model")), arrays), expected)
    column = arrays.withColumn("y", pca_project("x", model=model, element_type="double"))
    np.testing.assert_array_equal([row.y for row in sorted(column.select("id", "y").collect())], expected)
    model = pca(k=D, center=True, reconstructionErrorCol="lost").fit(arrays)
    back = model.inverse_transform(model.transform(arrays), "back").sort("id").collect()
    np.testing.assert_allclose([row.back for row in back], matrix(), atol=1e-9)
    np.testing.assert_allclose([row.lost for row in back], 0, atol=1e-9)


@pytest.mark.parametrize("variance", [0.5, 0.9, 1.0])
def test_variance_takes_the_fewest_components_that_hold_it(arrays: DataFrame, variance: float):
    cumulative = decomposition.PCA(svd_solver="full").fit(matrix()).explained_variance_ratio_.cumsum()
    fewest = int(np.argmax(cumulative >= variance - 1e-12)) + 1
    assert pca(variance=variance).fit(arrays).pc.numCols == fewest


@pytest.mark.parametrize(("kind", "cast"), [("array<float>", "float"), ("array<double>", "double"), ("vector", None)])
def test_the_kind_of_column_given_is_the_kind_given_back(arrays: DataFrame, kind: str, cast: str | None):
    column = col("x").cast(f"array<{cast}>") if cast else array_to_vector("x")
    rows = arrays.withColumn("x", column)
    out = pca(k=2).fit(rows).transform(rows)
    assert out.schema["y"].dataType.simpleString() == kind
    assert out.schema["y"].metadata == {"ml_attr": {"num_attrs": 2}}
    np.testing.assert_allclose(
        [row.y for row in out.sort("id").collect()], projected(pca(k=2).fit(arrays), arrays), rtol=1e-5
    )


def test_sparse_vectors_count_as_dense_ones(spark: SparkSession):
    dense = [[1.0, 0.0, 2.0], [0.0, 0.0, 5.0], [0.0, 3.0, 0.0], [4.0, 0.0, 0.0]]
    sparse = [SparseVector(3, {i: value for i, value in enumerate(row) if value}) for row in dense]
    models = [
        pca(k=3).fit(spark.createDataFrame([(row,) for row in rows], ["x"]))
        for rows in ([Vectors.dense(row) for row in dense], sparse)
    ]
    np.testing.assert_allclose(models[0].pc.toArray(), models[1].pc.toArray(), atol=1e-12)


def test_any_partitioning_gives_the_same_components(arrays: DataFrame):
    first = pca(k=D).fit(arrays.coalesce(1))
    for partitions in (2, 7, 150):  # 150 are more than one merging task takes
        other = pca(k=D).fit(arrays.repartition(partitions))
        np.testing.assert_allclose(other.pc.toArray(), first.pc.toArray(), atol=1e-9)
        np.testing.assert_allclose(other.explainedVariance, first.explainedVariance, rtol=1e-9)


def test_the_fit_reads_the_rows_once(arrays: DataFrame, tmp_path: Path):
    report = str(tmp_path / "report")

    def reported(batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        for batch in batches:
            with Path(report).open("a") as file:
                file.write(f"{batch.num_rows}\n")
            yield batch

    pca(k=2, standardize=True).fit(arrays.mapInArrow(reported, arrays.schema))
    assert sum(int(line) for line in Path(report).read_text().split()) == N


def with_rows(arrays: DataFrame, rows: list[list[float] | None]) -> DataFrame:
    """`arrays` and more rows, of ids from N on."""
    more = [(N + at, row) for at, row in enumerate(rows)]
    return arrays.unionByName(arrays.sparkSession.createDataFrame(more, arrays.schema))


@pytest.mark.parametrize("handle_invalid", [None, "keep", "skip"])
def test_null_rows_are_left_out_and_counted(arrays: DataFrame, handle_invalid: str | None):
    rows = with_rows(arrays, [None, None])
    model = pca(k=2, handleInvalid=handle_invalid).fit(rows)
    assert (model.numRows, model.numInvalid) == (N, 2)
    np.testing.assert_allclose(model.pc.toArray(), pca(k=2).fit(arrays).pc.toArray(), atol=1e-9)
    out = {row.id: row.y for row in model.transform(rows).collect()}
    assert len(out) == (N if handle_invalid == "skip" else N + 2)
    assert out.get(N) is None
    assert [row.y for row in sorted(model.update(rows).transform(rows).collect())][
        -1
    ] is None or handle_invalid == "skip"
    assert model.update(rows).numInvalid == 4


def test_null_rows_are_an_error_where_that_is_asked_for(arrays: DataFrame):
    rows = with_rows(arrays, [None, None])
    remedy = "are null: handleInvalid='keep' or 'skip' leaves null rows out$"
    with pytest.raises(PcaError, match=f"^PCA: column x: of {N + 2} rows 2 {remedy}"):
        pca(k=2, handleInvalid="error").fit(rows)
    model = pca(k=2, handleInvalid="error").fit(arrays)
    with pytest.raises(
        Exception, match=r"PcaError: PCAModel: column x: of \d+ rows of a batch \d (is|are) null: handleInvalid="
    ):
        model.transform(rows).collect()
    with pytest.raises(PcaError, match=f"^PCAModel: column x: of {N + 2} rows 2 are null"):
        model.update(rows)


NOT_FINITE = {"NaN": [float("nan")] * D, "infinite": [float("inf")] * D, "null inside": [*[1.0] * (D - 1), None]}
WRONG = {
    **{name: (row, "a NaN, an infinity or a null inside") for name, row in NOT_FINITE.items()},
    "short": ([1.0] * (D - 1), f"{D - 1} values, not {D}"),
    "long": ([1.0] * (D + 1), f"{D + 1} values, not {D}"),
}


@pytest.mark.parametrize("wrong", list(WRONG))
def test_wrong_rows_stop_whatever_becomes_of_null_ones(arrays: DataFrame, wrong: str):
    row, what = WRONG[wrong]
    rows = with_rows(arrays, [row, None, row]).repartition(3)
    remedy = "correct what makes them, or set these rows to null, which leaves them out"
    model = pca(k=2).fit(arrays)
    for handle_invalid in ("keep", "skip", "error"):
        message = f"^PCA: column x: of {N + 3} rows 2 have {what}: {remedy}$"
        with pytest.raises(PcaError, match=message):
            pca(k=2, handleInvalid=handle_invalid).fit(rows)
        failing = model.copy().setHandleInvalid(handle_invalid).transform(rows)
        found = rf"\d ha(s|ve) {what}: correct"
        if handle_invalid == "error":  # the null row may lie in a batch that comes first
            found = rf"({found}|\d is null: handleInvalid=)"
        with pytest.raises(Exception, match=rf"PcaError: PCAModel: column x: of \d+ rows of a batch {found}"):
            failing.collect()
    with pytest.raises(PcaError, match=f"^PCAModel: column x: of {N + 3} rows 2 have {what}"):
        model.update(rows)


def test_a_length_in_the_metadata_counts_for_more_than_that_of_most_rows(arrays: DataFrame):
    known = arrays.withMetadata("x", {"ml_attr": {"num_attrs": D + 2}})
    with pytest.raises(PcaError, match=f"^PCA: column x: of {N} rows {N} have {D} values, not {D + 2}: correct"):
        pca(k=2).fit(known)


def test_standardize_of_a_fitted_model_cannot_be_changed(arrays: DataFrame):
    for fitted in (False, True):
        model = pca(k=2, standardize=fitted).fit(arrays)
        before = projected(model, arrays)
        message = (
            f"^PCAModel: standardize is {fitted} since the fit and cannot be {not fitted}: "
            rf"fit PCA\(standardize={not fitted}\) instead$"
        )
        with pytest.raises(ValueError, match=message):
            model.copy().set(model.standardize, not fitted)
        with pytest.raises(ValueError, match=message):
            model.transform(arrays, {model.standardize: not fitted})
        np.testing.assert_array_equal(projected(model.copy(), arrays), before)


def test_a_fitted_model_knows_its_k(arrays: DataFrame):
    model = PCA(variance=0.9, inputCol="x", outputCol="y").fit(arrays)
    assert model.getK() == model.pc.numCols
    assert model.getVariance() == 0.9


def test_null_vectors_stay_null(spark: SparkSession, vectors: DataFrame):
    rows = vectors.unionByName(spark.createDataFrame([(N, None)], vectors.schema))
    model = pca(k=2, handleInvalid="keep").fit(rows)
    assert (model.numRows, model.numInvalid) == (N, 1)
    assert model.transform(rows).where("y IS NULL").select("id").collect() == [(N,)]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({}, ValueError, "PCA: give either k or variance, got neither"),
        ({"k": 2, "variance": 0.5}, ValueError, "give either k or variance"),
        ({"k": 1, "inputCol": "id"}, TypeError, "column id: expected array<float>, array<double> or vector, got int"),
        ({"k": 1, "inputCol": "z"}, ValueError, "there is no column z; there are id, x"),
        ({"k": D + 1}, ValueError, f"k must be from 1 to the number of features, {D}, got {D + 1}"),
    ],
)
def test_a_bad_fit_is_one_line(arrays: DataFrame, params: dict, error: type[Exception], message: str):
    with pytest.raises(error, match=message) as raised:
        pca(**params).fit(arrays)
    assert "\n" not in str(raised.value)


def test_k_over_a_known_length_fails_before_the_rows_are_read(arrays: DataFrame):
    def never(_batches: Iterable[pa.RecordBatch]) -> Iterable[pa.RecordBatch]:
        raise AssertionError

    known = arrays.mapInArrow(never, arrays.schema).withMetadata("x", {"ml_attr": {"num_attrs": D}})
    with pytest.raises(ValueError, match=f"k must be from 1 to the number of features, {D}, got {D + 1}"):
        pca(k=D + 1).fit(known)


def test_no_rows_are_an_error(spark: SparkSession, arrays: DataFrame):
    with pytest.raises(PcaError, match=r"column x has no rows to fit to$"):
        pca(k=1).fit(arrays.where("id < 0"))
    nulls = spark.createDataFrame([(0, None), (1, None)], arrays.schema)
    with pytest.raises(PcaError, match=r"^PCA: column x has no rows to fit to \(2 null rows left out\)$"):
        pca(k=1).fit(nulls)
    with pytest.raises(PcaError, match=r"^PCA: column x: of 2 rows 2 are null: handleInvalid='keep' or 'skip' leaves"):
        pca(k=1, handleInvalid="error").fit(nulls)


def test_more_components_than_rows_warn_once(arrays: DataFrame):
    with pytest.warns(UserWarning, match="3 components of 3 rows: the ratios past rank 2 are 0") as warned:
        model = pca(k=3).fit(arrays.where("id < 3"))
    assert len([warning for warning in warned if "components" in str(warning.message)]) == 1
    assert model.explainedVariance[2] == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(model.pc.toArray().T @ model.pc.toArray(), np.eye(3), atol=1e-9)


def test_a_saved_model_comes_back_with_its_moments(arrays: DataFrame, tmp_path: Path):
    model = pca(k=3, standardize=True).fit(arrays)
    path = str(tmp_path / "model")
    model.save(path)
    loaded = PCAModel.load(path)
    assert loaded.extractParamMap() == model.extractParamMap()
    assert (loaded.numRows, loaded.mean) == (N, model.mean)
    np.testing.assert_array_equal(projected(loaded, arrays), projected(model, arrays))


def test_a_large_model_is_saved_in_chunks(arrays: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(saved_stage, "CHUNK_BYTES", 64)
    model = pca(k=2).fit(arrays)
    path = str(tmp_path / "model")
    model.save(path)
    assert arrays.sparkSession.read.parquet(f"{path}/moments").count() > 3
    assert PCAModel.load(path).pc == model.pc


def test_a_damaged_model_does_not_load(spark: SparkSession, arrays: DataFrame, tmp_path: Path):
    path = str(tmp_path / "model")
    pca(k=2).fit(arrays).save(path)
    spark.read.parquet(f"{path}/pca").limit(0).write.mode("overwrite").parquet(f"{path}/copy")
    spark.read.parquet(f"{path}/copy").write.mode("overwrite").parquet(f"{path}/pca")
    with pytest.raises(Exception, match="pca is incomplete or damaged"):
        PCAModel.load(path)


@pytest.mark.parametrize("element", ["float", "double"])
def test_pca_project_takes_a_model_or_a_pca(arrays: DataFrame, element: str):
    model = pca(k=2).fit(arrays)
    column = col("x").cast(f"array<{element}>")
    rows = arrays.withColumn("x", column).withColumns(
        {
            "as_model": pca_project("x", model=model, element_type=element),
            "as_pca": pca_project("x", model=model.pca, element_type=element),
        }
    )
    assert rows.schema["as_pca"].dataType.simpleString() == f"array<{element}>"
    found = rows.sort("id").collect()
    plain = matrix() @ model.pc.toArray()
    np.testing.assert_allclose([row.as_model for row in found], plain, rtol=1e-4, atol=1e-4)
    assert [row.as_pca for row in found] == [row.as_model for row in found]  # it centres as the model does
    centred = arrays.select("id", pca_project(column, model=model.setCenter(True).pca, element_type=element).alias("y"))
    theirs = plain - plain.mean(axis=0)
    np.testing.assert_allclose([row.y for row in centred.sort("id").collect()], theirs, rtol=1e-4, atol=1e-4)
    assert isinstance(model.pca, Pca)


def test_pca_project_gives_null_for_null_only(arrays: DataFrame):
    model = pca(k=1).fit(arrays)
    rows = with_rows(arrays, [None]).coalesce(1)
    projected = rows.select("id", pca_project("x", model=model).alias("y"))
    assert projected.where("y IS NULL").select("id").collect() == [(N,)]
    with pytest.raises(
        Exception, match=r"PcaError: pca_project: column x: of .* null: on_error='null' leaves null rows"
    ):
        rows.select(pca_project("x", model=model, on_error="raise")).collect()
    wrong = with_rows(arrays, [[float("nan")] * D]).coalesce(1)
    with pytest.raises(
        Exception, match=r"PcaError: pca_project: column x: of .* 1 has a NaN, an infinity or a null inside"
    ):
        wrong.select(pca_project("x", model=model)).collect()

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

from sparkcider import Pca, PcaError
from sparkcider.feature import PCA, PCAModel
from sparkcider.functions import pca_project
from sparkcider.spark import worker

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


BAD_ROWS = {"null": None, "NaN": [float("nan")] * D, "infinite": [float("inf")] * D, "short": [1.0] * (D - 1)}


@pytest.fixture(params=list(BAD_ROWS))
def with_bad_row(request: pytest.FixtureRequest, spark: SparkSession, arrays: DataFrame) -> DataFrame:
    bad = spark.createDataFrame([(N, BAD_ROWS[request.param])], arrays.schema)
    return arrays.unionByName(bad)


def test_an_invalid_row_is_an_error_by_default(with_bad_row: DataFrame, arrays: DataFrame):
    with pytest.raises(PcaError) as raised:
        pca(k=2).fit(with_bad_row)
    assert "\n" not in str(raised.value)
    with pytest.raises(Exception, match="PcaError"):
        pca(k=2).fit(arrays).transform(with_bad_row).collect()


@pytest.mark.parametrize("handle_invalid", ["keep", "skip"])
def test_an_invalid_row_is_left_out_and_counted(with_bad_row: DataFrame, arrays: DataFrame, handle_invalid: str):
    model = pca(k=2, handleInvalid=handle_invalid).fit(with_bad_row)
    assert (model.numRows, model.numInvalid) == (N, 1)
    np.testing.assert_allclose(model.pc.toArray(), pca(k=2).fit(arrays).pc.toArray(), atol=1e-9)
    out = {row.id: row.y for row in model.transform(with_bad_row).collect()}
    assert len(out) == (N + 1 if handle_invalid == "keep" else N)
    assert out.get(N) is None


def test_null_vectors_stay_null(spark: SparkSession, vectors: DataFrame):
    rows = vectors.unionByName(spark.createDataFrame([(N, None)], vectors.schema))
    model = pca(k=2, handleInvalid="keep").fit(rows)
    assert (model.numRows, model.numInvalid) == (N, 1)
    assert model.transform(rows).where("y IS NULL").select("id").collect() == [(N,)]


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({}, ValueError, "give either k or variance"),
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
    with pytest.raises(PcaError, match=r"column x has no rows to fit to \(2 invalid ones left out\)"):
        pca(k=1, handleInvalid="skip").fit(nulls)
    with pytest.raises(PcaError, match="null"):
        pca(k=1).fit(nulls)


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
    monkeypatch.setattr(worker, "CHUNK_BYTES", 64)
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
    np.testing.assert_allclose([row.as_pca for row in found], plain - plain.mean(axis=0), rtol=1e-4, atol=1e-4)
    assert isinstance(model.pca, Pca)


def test_pca_project_refuses_unknown_words(arrays: DataFrame):
    model = pca(k=1).fit(arrays)
    with pytest.raises(ValueError, match="element_type must be float or double, got half"):
        pca_project("x", model=model, element_type="half")
    with pytest.raises(ValueError, match="on_error must be null or raise, got skip"):
        pca_project("x", model=model, on_error="skip")

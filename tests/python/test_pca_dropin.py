"""One test body over pyspark.ml's classes and ours: what changes with the import is the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml import feature as spark_feature
from pyspark.ml.evaluation import RegressionEvaluator
from pyspark.ml.linalg import DenseMatrix, DenseVector, SparseVector, Vectors, VectorUDT
from pyspark.ml.regression import LinearRegression
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder

from sparkcider import feature

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

    from pyspark.sql import DataFrame, SparkSession

N, D = 80, 6

ATOL = 1e-9
"""Both work in f64 on values of a few tens."""

BOTH = pytest.mark.parametrize("package", [spark_feature, feature], ids=["pyspark.ml", "sparkcider"])


def matrix() -> np.ndarray:
    """(N, D) float64: six clear directions away from the origin, and zeros, so that sparse vectors have a point."""
    random = np.random.default_rng(11)
    rows = random.normal(size=(N, D)) * [8, 5, 3, 2, 1, 0.5] @ np.linalg.qr(random.normal(size=(D, D)))[0] + 3
    rows[random.uniform(size=rows.shape) < 0.2] = 0
    return rows


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    """Dense and sparse vectors, and a label that depends on three directions."""
    rows = [
        (number, Vectors.dense(row) if number % 2 else sparse(row), float(row @ [1, -2, 0.5, 0, 0, 0]))
        for number, row in enumerate(matrix())
    ]
    return spark.createDataFrame(rows, ["id", "features", "label"]).repartition(3).cache()


def sparse(row: np.ndarray) -> SparseVector:
    return SparseVector(len(row), {at: value for at, value in enumerate(row) if value})


def column(frame: DataFrame, name: str) -> np.ndarray:
    """A vector column as (N, k), in the order of `id`."""
    return np.array([row[name].toArray() for row in sorted(frame.select("id", name).collect())])


def reference() -> tuple[np.ndarray, np.ndarray]:
    """Components (D, D) as columns, the largest entry of each positive, and variance ratios (D)."""
    values, vectors = np.linalg.eigh(np.cov(matrix().T))
    return aligned(vectors[:, ::-1]), values[::-1] / values.sum()


def aligned(columns: np.ndarray) -> np.ndarray:
    """Spark leaves the signs to LAPACK: here the largest entry of each column is made positive."""
    return columns * np.sign(columns[np.abs(columns).argmax(axis=0), range(columns.shape[1])])


@BOTH
def test_pc_and_ratios(package: ModuleType, frame: DataFrame) -> None:
    model = package.PCA(k=3, inputCol="features", outputCol="pca").fit(frame)
    components, ratios = reference()
    assert isinstance(model.pc, DenseMatrix)
    assert isinstance(model.explainedVariance, DenseVector)
    np.testing.assert_allclose(aligned(model.pc.toArray()), components[:, :3], atol=ATOL)
    np.testing.assert_allclose(model.explainedVariance.toArray(), ratios[:3], atol=ATOL)


@BOTH
def test_transform_multiplies_rows_as_they_are(package: ModuleType, frame: DataFrame) -> None:
    model = package.PCA(k=2, inputCol="features", outputCol="pca").fit(frame)
    done = model.transform(frame)
    assert done.columns == ["id", "features", "label", "pca"]
    assert isinstance(done.schema["pca"].dataType, VectorUDT)
    np.testing.assert_allclose(column(done, "pca"), matrix() @ model.pc.toArray(), atol=ATOL)


@BOTH
def test_params(package: ModuleType) -> None:
    pca = package.PCA(k=2, inputCol="features", outputCol="pca")
    assert (pca.getK(), pca.getInputCol(), pca.getOutputCol()) == (2, "features", "pca")
    assert pca.setK(4) is pca
    assert pca.setInputCol("a").setOutputCol("b").getK() == 4
    assert (pca.getInputCol(), pca.getOutputCol()) == ("a", "b")
    assert pca.setParams(k=5).getK() == 5
    assert pca.isSet("k")
    assert pca.hasParam("outputCol")
    assert "number of" in pca.explainParam("k")
    with pytest.raises(TypeError):
        package.PCA(k="many")
    with pytest.raises(TypeError):
        package.PCA(components=2)


@BOTH
def test_copies_and_param_maps(package: ModuleType, frame: DataFrame) -> None:
    pca = package.PCA(k=2, inputCol="features", outputCol="pca")
    other = pca.copy({pca.k: 3})
    assert (pca.getK(), other.getK(), other.uid) == (2, 3, pca.uid)
    model = pca.fit(frame, {pca.k: 4, pca.outputCol: "wide"})
    assert model.pc.numCols == 4
    assert model.getOutputCol() == "wide"
    assert model.uid == pca.uid
    renamed = model.transform(frame, {model.outputCol: "other"})
    assert renamed.columns[-1] == "other"
    models = pca.fit(frame, [{pca.k: 1}, {pca.k: 2}])
    assert [fitted.pc.numCols for fitted in models] == [1, 2]


@BOTH
def test_save_and_load(package: ModuleType, frame: DataFrame, tmp_path: Path) -> None:
    pca = package.PCA(k=2, inputCol="features", outputCol="pca")
    pca.save(str(tmp_path / "pca"))
    loaded = package.PCA.load(str(tmp_path / "pca"))
    assert (loaded.uid, loaded.getK(), loaded.getOutputCol()) == (pca.uid, 2, "pca")
    model = pca.fit(frame)
    model.write().overwrite().save(str(tmp_path / "model"))
    again = package.PCAModel.load(str(tmp_path / "model"))
    np.testing.assert_array_equal(again.pc.toArray(), model.pc.toArray())
    np.testing.assert_array_equal(again.explainedVariance.toArray(), model.explainedVariance.toArray())
    np.testing.assert_array_equal(column(again.transform(frame), "pca"), column(model.transform(frame), "pca"))
    with pytest.raises(Exception, match=r"exists|overwrite"):
        model.save(str(tmp_path / "model"))


@BOTH
def test_pipelines_save_and_load(package: ModuleType, frame: DataFrame, tmp_path: Path) -> None:
    scaler = package.StandardScaler(withMean=True, inputCol="features", outputCol="scaled")
    pca = package.PCA(k=2, inputCol="scaled", outputCol="pca")
    model = Pipeline(stages=[scaler, pca]).fit(frame)
    model.save(str(tmp_path / "pipeline"))
    loaded = PipelineModel.load(str(tmp_path / "pipeline"))
    assert [type(stage) for stage in loaded.stages] == [package.StandardScalerModel, package.PCAModel]
    np.testing.assert_allclose(column(loaded.transform(frame), "pca"), column(model.transform(frame), "pca"), atol=ATOL)


@BOTH
@pytest.mark.filterwarnings("ignore:unclosed running multiprocessing pool")  # CrossValidator leaves its threads
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_cross_validation_over_k(package: ModuleType, frame: DataFrame) -> None:
    pca = package.PCA(inputCol="features", outputCol="pca")
    line = LinearRegression(featuresCol="pca", labelCol="label")
    search = CrossValidator(
        estimator=Pipeline(stages=[pca, line]),
        estimatorParamMaps=ParamGridBuilder().addGrid(pca.k, [1, D]).build(),
        evaluator=RegressionEvaluator(metricName="rmse"),
        numFolds=2,
        seed=1,
    )
    best = search.fit(frame)
    assert best.bestModel.stages[0].pc.numCols == D
    assert best.avgMetrics[1] < best.avgMetrics[0] / 10


@BOTH
def test_k_over_the_number_of_features(package: ModuleType, frame: DataFrame) -> None:
    with pytest.raises(Exception, match=rf"(?i)({D + 1}.*{D}|{D}.*{D + 1})"):
        package.PCA(k=D + 1, inputCol="features", outputCol="pca").fit(frame)


@BOTH
@pytest.mark.parametrize(("with_mean", "with_std"), [(False, True), (True, True), (True, False), (False, False)])
def test_the_scaler(package: ModuleType, frame: DataFrame, *, with_mean: bool, with_std: bool) -> None:
    scaler = package.StandardScaler(withMean=with_mean, withStd=with_std, inputCol="features", outputCol="scaled")
    model = scaler.fit(frame)
    rows = matrix()
    np.testing.assert_allclose(model.mean.toArray(), rows.mean(axis=0), atol=ATOL)
    np.testing.assert_allclose(model.std.toArray(), rows.std(axis=0, ddof=1), atol=ATOL)
    expected = (rows - (rows.mean(axis=0) if with_mean else 0)) / (rows.std(axis=0, ddof=1) if with_std else 1)
    done = model.transform(frame)
    assert isinstance(done.schema["scaled"].dataType, VectorUDT)
    np.testing.assert_allclose(column(done, "scaled"), expected, atol=ATOL)


@BOTH
def test_the_scalers_defaults_and_files(package: ModuleType, frame: DataFrame, tmp_path: Path) -> None:
    scaler = package.StandardScaler(inputCol="features", outputCol="scaled")
    assert (scaler.getWithMean(), scaler.getWithStd()) == (False, True)
    assert scaler.setWithMean(True).getWithMean()
    model = scaler.fit(frame)
    model.save(str(tmp_path / "scaler"))
    loaded = package.StandardScalerModel.load(str(tmp_path / "scaler"))
    np.testing.assert_array_equal(column(loaded.transform(frame), "scaled"), column(model.transform(frame), "scaled"))


@BOTH
def test_a_constant_feature_is_scaled_to_zero(package: ModuleType, spark: SparkSession) -> None:
    rows = spark.createDataFrame([(0, Vectors.dense(1.0, 7.0)), (1, Vectors.dense(3.0, 7.0))], ["id", "x"])
    done: Any = package.StandardScaler(inputCol="x", outputCol="y").fit(rows).transform(rows)
    np.testing.assert_allclose(column(done, "y"), [[0.5**0.5, 0], [3 * 0.5**0.5, 0]], atol=ATOL)

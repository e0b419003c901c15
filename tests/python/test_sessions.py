"""Stages leave the session's configuration as they found it, in any number of threads; their columns do not clash."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.ml.evaluation import Evaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.spark import moments
from sparkcider.spark.sessions import lowered

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def arrays(spark: SparkSession) -> DataFrame:
    rows = np.random.default_rng(3).normal(size=(60, 5))
    return spark.createDataFrame([(row.tolist(),) for row in rows], "x array<double>").repartition(3).cache()


def pca(**params: Any) -> PCA:
    return PCA(**{"inputCol": "x", "outputCol": "y", **params})


def configuration(spark: SparkSession) -> dict[str, str]:
    return {row["key"]: row["value"] for row in spark.sql("SET").collect()}


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function Pool.__del__:pytest.PytestUnraisableExceptionWarning"
)
def test_fits_in_several_threads_leave_the_configuration_as_it_was(spark: SparkSession, arrays: DataFrame):
    before = configuration(spark)
    estimator = pca()
    grid = ParamGridBuilder().addGrid(estimator.k, [1, 2, 3]).build()
    tuned = CrossValidator(
        estimator=estimator, estimatorParamMaps=grid, evaluator=Captured(), numFolds=2, parallelism=2, seed=1
    )
    assert tuned.fit(arrays).bestModel.pc.numCols == 3
    assert configuration(spark) == before
    gc.collect()  # CrossValidator leaves its pool of threads to the garbage collector


def test_no_thread_sees_another_configuration_during_a_fit(spark: SparkSession, arrays: DataFrame):
    if version(spark) < moments.BYTES_COUNTED:
        pytest.skip("Spark before 4.1 counts the rows of a batch only: the number of rows is lowered for wide ones")
    wide = spark.range(20).select(F.sequence(F.lit(1), F.lit(9_000)).cast("array<float>").alias("x"))
    before, seen = configuration(spark), []
    fits = [threading.Thread(target=pca(k=1).fit, args=(rows,)) for rows in (arrays, wide, arrays)]
    for fit in fits:
        fit.start()
    while any(fit.is_alive() for fit in fits):
        seen.append(configuration(spark))
    assert seen
    assert all(found == before for found in seen)


def version(spark: SparkSession) -> tuple[int, ...]:
    return tuple(int(part) for part in spark.version.split(".")[:2])


class Captured(Evaluator):
    """The variance that the components of a column hold: more of them hold more."""

    def _evaluate(self, dataset: DataFrame) -> float:
        size = dataset.select(F.size("y")).first()
        return 0.0 if size is None else float(size[0])


def test_overlapping_blocks_lower_a_setting_and_the_last_restores_it(spark: SparkSession):
    name = moments.BATCH_CONF
    spark.conf.set(name, "7000")
    before = configuration(spark)
    first, second, third = (lowered(spark, name, value) for value in (500, 200, 9000))
    first.__enter__()
    assert spark.conf.get(name) == "500"
    second.__enter__()
    assert spark.conf.get(name) == "200"
    first.__exit__(None, None, None)  # in another order than they began
    assert spark.conf.get(name) == "200"
    with pytest.raises(KeyError), third:
        raise KeyError
    assert spark.conf.get(name) == "200"
    second.__exit__(None, None, None)
    assert configuration(spark) == before
    spark.conf.unset(name)


def test_threads_that_lower_a_setting_leave_it_as_it_was(spark: SparkSession):
    before = configuration(spark)

    def block(value: int) -> None:
        for _ in range(20):
            with lowered(spark, moments.BATCH_CONF, value):
                assert int(spark.conf.get(moments.BATCH_CONF) or 0) <= value

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(block, [100, 200, 300, 400]))
    after = configuration(spark)
    assert after.pop(moments.BATCH_CONF, "10000") == before.get(moments.BATCH_CONF, "10000")
    assert after == {key: value for key, value in before.items() if key != moments.BATCH_CONF}


@pytest.mark.parametrize(
    ("stage", "columns", "both"),
    [
        (ImageFeaturizer, {"inputCol": "a", "outputCol": "b", "errorCol": "b"}, "outputCol and errorCol"),
        (ImageFeaturizer, {"inputCol": "a", "outputCol": "B", "errorCol": "b"}, "outputCol and errorCol"),
        (ImageFeaturizer, {"inputCol": "a", "outputCol": "a"}, "inputCol and outputCol"),
        (ImageFeaturizer, {"inputCol": "a", "outputCol": "b", "errorCol": "a"}, "inputCol and errorCol"),
        (
            PCA,
            {"inputCol": "a", "outputCol": "b", "reconstructionErrorCol": "b"},
            "outputCol and reconstructionErrorCol",
        ),
        (PCA, {"inputCol": "a", "outputCol": "a"}, "inputCol and outputCol"),
        (StandardScaler, {"inputCol": "a", "outputCol": "a"}, "inputCol and outputCol"),
    ],
)
def test_two_params_with_one_column_are_refused_in_the_constructor(stage: Any, columns: dict[str, str], both: str):
    with pytest.raises(ValueError, match=f"^{stage.__name__}: {both} must be two columns, got . for both$"):
        stage(**columns)


def test_two_params_with_one_column_are_refused_before_a_job_wherever_they_were_set(arrays: DataFrame):
    clash = "must be two columns, got y for both"
    with pytest.raises(ValueError, match=clash):
        pca(k=1).setReconstructionErrorCol("y").fit(arrays)
    stage = pca(k=1)
    with pytest.raises(ValueError, match=clash):
        stage.fit(arrays, {stage.reconstructionErrorCol: "y"})
    images = arrays.selectExpr("cast('x' as binary) as content")
    featurizer = ImageFeaturizer(inputCol="content", outputCol="y", model="pixels").setErrorCol("y")
    with pytest.raises(ValueError, match=clash):
        featurizer.transform(images)

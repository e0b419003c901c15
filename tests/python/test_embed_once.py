"""Each image is embedded once where features are written or cached; where not, a fit warns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.ml import Pipeline
from spark_images import GOOD, N_ROWS, TINY_MODEL, ReportingWorker, encoded_images

from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.functions import image_features, register
from sparkcider.spark import udf

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

AGAIN = r"reads features that image_features makes: every image is embedded for this call, and again for each other use"
pca = PCA(k=2, inputCol="features", outputCol="pca", handleInvalid="skip")
featurizer = ImageFeaturizer(inputCol="content", outputCol="features", model=str(TINY_MODEL), handleInvalid="skip")


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images(), "id int, content binary")


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[], int]:
    """Counts the images that workers have embedded since the last call."""
    worker = ReportingWorker(tmp_path / "report")
    monkeypatch.setattr(udf, "worker", worker)
    return lambda: sum(line["rows"] for line in worker.lines())


def fitted_and_used(features: DataFrame) -> int:
    return len(pca.fit(features).transform(features).collect())  # a warning would be an error here


def test_written_features_are_embedded_once(images: DataFrame, embedded: Callable[[], int], tmp_path: Path):
    featurizer.transform(images).drop("content").write.parquet(str(tmp_path / "features"))
    assert fitted_and_used(images.sparkSession.read.parquet(str(tmp_path / "features"))) == GOOD
    assert embedded() == N_ROWS


def test_cached_features_are_embedded_once(images: DataFrame, embedded: Callable[[], int]):
    features = featurizer.transform(images).drop("content").cache()
    assert fitted_and_used(features) == GOOD
    assert embedded() == N_ROWS
    features.unpersist()
    with pytest.warns(UserWarning, match=rf"^PCA\.fit {AGAIN}"):
        pca.fit(features)


def test_a_pipeline_of_both_embeds_twice_and_warns(images: DataFrame, embedded: Callable[[], int]):
    with pytest.warns(UserWarning, match=rf"^PCA\.fit {AGAIN}"):
        model = Pipeline(stages=[featurizer, pca]).fit(images)
    assert len(model.transform(images).collect()) == GOOD
    assert embedded() == 2 * N_ROWS


def test_every_fit_and_an_update_warn_of_any_uncached_features(images: DataFrame):
    images = images.cache()  # the images are kept, not the features
    features = images.select(image_features("content", model=TINY_MODEL, with_error=True).alias("f"))
    features = features.selectExpr("f.features AS features").where("features IS NOT NULL")
    with pytest.warns(UserWarning, match=rf"^PCA\.fit {AGAIN}") as caught:
        model = PCA(k=2, inputCol="features", outputCol="pca").fit(features)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=rf"^PCAModel\.update {AGAIN}"):
        model.update(features)
    with pytest.warns(UserWarning, match=rf"^StandardScaler\.fit {AGAIN}"):
        StandardScaler(inputCol="features", outputCol="scaled").fit(features)
    images.unpersist()


def test_features_of_a_function_of_sql_warn_likewise(spark: SparkSession, images: DataFrame):
    register(spark, "my_vectors", model=TINY_MODEL)
    images.createOrReplaceTempView("images_of_sql")
    features = spark.sql("SELECT my_vectors(content) AS features FROM images_of_sql")
    with pytest.warns(UserWarning, match=rf"^PCA\.fit {AGAIN}"):
        pca.fit(features)


def test_a_column_that_is_not_used_warns_of_nothing(images: DataFrame):
    other = images.selectExpr("content", "array(float(id), float(id * id)) AS features")
    other = other.withColumn("not used", image_features("content", model="pixels"))
    assert fitted_and_used(other.drop("content").select("features", "not used").select("features")) == N_ROWS
    assert fitted_and_used(other.select("features")) == N_ROWS

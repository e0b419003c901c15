"""Runs on one kind of Spark and prints what came out as JSON: `spark_script.py MASTER | connect`.

A process can hold classic Spark or Spark Connect, not both, so the tests start this once per kind.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.sql import DataFrame, SparkSession
from spark_clusters import QUICK_JVM
from spark_images import TINY_MODEL, encoded_images

from sparkcider import plots
from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.functions import image_features, list_images
from sparkcider.spark.probe import probe
from sparkcider.spark.progress import watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def session(kind: str) -> SparkSession:
    """Spark of that kind."""
    builder = SparkSession.builder.config("spark.driver.defaultJavaOptions", QUICK_JVM)
    if kind == "connect":
        return builder.remote("local[2]").getOrCreate()
    return (
        builder.master(kind)
        .config("spark.executor.defaultJavaOptions", QUICK_JVM)
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.executorEnv.PYTHONPATH", os.environ["PYTHONPATH"])
        .getOrCreate()
    )


def shares(spark: SparkSession) -> list[float]:
    """What `watch` tells of a job that takes some seconds: Connect reports every two."""

    def slow(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(0.8)
            yield batch

    seen: list[float] = []
    with watch(spark, seen.append):
        spark.range(0, 12, 1, 12).mapInArrow(slow, "id long").collect()
    reported = len(seen)
    spark.range(0, 4, 1, 4).mapInArrow(slow, "id long").collect()
    return seen if len(seen) == reported else []


def drawn(images: DataFrame, vectors: DataFrame) -> list[int]:
    """How many points and how many images are drawn; nothing is where there is no matplotlib."""
    if importlib.util.find_spec("matplotlib") is None:
        return []
    os.environ["MPLBACKEND"] = "agg"
    points = plots.scatter(vectors, "out").collections[0].get_offsets()
    return [len(points), sum(len(ax.images) for ax in plots.image_grid(images, max_images=50).flat)]


def listed(spark: SparkSession) -> dict[str, Any]:
    """Images as files, listed and fetched by the workers."""
    with tempfile.TemporaryDirectory() as folder:
        for number, content in encoded_images():
            path = Path(folder, f"label {number % 2}", f"{number:02}.jpg")
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content or b"")
        images = list_images(spark, folder, glob="*[0-9].jpg")
        column = image_features("path", model=TINY_MODEL, with_error=True).alias("f")
        rows = images.where("length > 0").select("path", "label", "length", column).collect()
        rows.sort(key=lambda row: row.path.rpartition("/")[2])
        features = np.array([row.f.features for row in rows if row.f.error is None], np.float32)
        return {
            "fetched": sha256(features.tobytes()).hexdigest(),
            "errors": [row.f.error for row in rows if row.f.error is not None],
            "labels": sorted({row.label for row in rows}),
            "bytes": sum(row.length for row in rows),
        }


def main(kind: str) -> None:
    """Features, a pipeline fitted, saved and loaded, and a PCA of vectors."""
    spark = session(kind)
    images = spark.createDataFrame(encoded_images(), "id int, content binary").repartition(4)
    rows = images.select("id", image_features("content", model=TINY_MODEL).alias("features")).collect()
    features = np.array([row.features for row in sorted(rows) if row.features is not None], np.float32)

    stages = [
        ImageFeaturizer(inputCol="content", outputCol="features", model=str(TINY_MODEL), handleInvalid="skip"),
        PCA(k=2, inputCol="features", outputCol="pca", standardize=True),
    ]
    model = Pipeline(stages=stages).fit(images)
    projected = sorted(model.transform(images).select("id", "pca").collect())
    with tempfile.TemporaryDirectory() as folder:
        model.write().overwrite().save(f"{folder}/model")
        loaded = PipelineModel.load(f"{folder}/model")
        same = sorted(loaded.transform(images).select("id", "pca").collect()) == projected

    vectors = model.transform(images).withColumn("vector", array_to_vector("features"))
    of_vectors = PCA(k=2, inputCol="vector", outputCol="out", standardize=True).fit(vectors)
    out = of_vectors.transform(vectors)
    wide = PCA(k=2, inputCol="vector", outputCol="wide", solver="randomized", reconstructionErrorCol="lost").fit(
        vectors
    )
    errors = wide.transform(vectors).agg({"lost": "max"}).first()
    scaler = StandardScaler(withMean=True, inputCol="vector", outputCol="scaled").fit(vectors)
    scaled = scaler.transform(vectors).select(vector_to_array("scaled").alias("scaled")).collect()
    found = {
        "randomized": [*wide.explainedVariance, errors[0]],
        "scaled": sorted(row.scaled for row in scaled),
        "updated_rows": of_vectors.update(vectors).numRows,
        "features": sha256(features.tobytes()).hexdigest(),
        "shape": features.shape,
        "loaded_gives_the_same": same,
        "pca": [row.pca for row in projected],
        "ratios": list(model.stages[1].explainedVariance),
        "vector_type": out.schema["out"].dataType.simpleString(),
        "vector_ratios": list(of_vectors.explainedVariance),
        "rows_out": out.count(),
        "drawn": drawn(images, out),
        **listed(spark),
        "shares": shares(spark),
        "probe": probe(spark)._asdict(),
    }
    Path(sys.argv[2]).write_text(json.dumps(found))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1])

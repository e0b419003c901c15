"""One side of a conversation with Spark ML: `ml_script.py train|apply MASTER|connect FOLDER`, the answer is JSON.

`train` fits a classifier of images and saves it; `apply` is another process, where the network's file is gone.

    FOLDER/images/LABEL/*.jpg   what is read
    FOLDER/network.onnx         what `train` embeds with
    FOLDER/embedded             how many images the Python workers embedded, a line per slice
    FOLDER/model                the pipeline that `train` saves
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.feature import IndexToString, StringIndexer
from pyspark.ml.functions import vector_to_array
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from spark_images import ReportingWorker
from spark_script import session

from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.functions import register
from sparkcider.spark import udf

FILES = "path string, modificationTime timestamp, length long, content binary"


def read(reader: Any, folder: Path) -> DataFrame:
    """The images and their labels, as a table or as a stream."""
    files = reader.schema(FILES).format("binaryFile").option("recursiveFileLookup", "true").load(str(folder / "images"))
    return files.withColumn("label", F.regexp_extract("path", "([^/]+)/[^/]+$", 1))


def train(spark: SparkSession, folder: Path, worker: ReportingWorker) -> dict[str, Any]:
    """Featurizes once, cross-validates over what is kept, and saves one pipeline from image to label."""
    images = read(spark.read, folder)
    featurizer = ImageFeaturizer(
        inputCol="content",
        outputCol="features",
        model=folder / "network.onnx",
        outputType="vector",
        handleInvalid="skip",
    )
    features = featurizer.transform(images).select("path", "label", "features").persist()
    n_features = features.count()
    once = sum(line["rows"] for line in worker.lines())

    scaler = StandardScaler(inputCol="features", outputCol="scaled", withMean=True).fit(features)
    indexer = StringIndexer(inputCol="label", outputCol="number").fit(features)
    pca = PCA(inputCol="scaled", outputCol="pca", k=2)
    classifier = LogisticRegression(featuresCol="pca", labelCol="number", maxIter=20)
    grid = ParamGridBuilder().addGrid(pca.k, [2, 8]).addGrid(classifier.regParam, [0.01, 0.1]).build()
    validator = CrossValidator(
        estimator=Pipeline(stages=[pca, classifier]),
        estimatorParamMaps=grid,
        evaluator=MulticlassClassificationEvaluator(labelCol="number", metricName="accuracy"),
        numFolds=3,
        parallelism=2,
        seed=1,
    )
    tuned = validator.fit(indexer.transform(scaler.transform(features)))
    again = sum(line["rows"] for line in worker.lines())

    names = IndexToString(inputCol="prediction", outputCol="predicted", labels=list(indexer.labels))
    model = PipelineModel([featurizer, scaler, *tuned.bestModel.stages, names])
    model.write().overwrite().save(str(folder / "model"))
    return {
        "features": n_features,
        "embedded_once": once,
        "embedded_by_validation": again,
        "accuracies": tuned.avgMetrics,
        "k": tuned.bestModel.stages[0].getK(),
        "predicted": predicted(model.transform(images)),
        "embedded_by_transform": sum(line["rows"] for line in worker.lines()),
    }


def apply(spark: SparkSession, folder: Path, worker: ReportingWorker) -> dict[str, Any]:
    """Loads the pipeline and names the images of a table and of a stream."""
    assert not (folder / "network.onnx").exists()
    model = PipelineModel.load(str(folder / "model"))
    batch = predicted(model.transform(read(spark.read, folder)))
    same = same_in_sql(spark, model, folder)
    worker.lines()
    stream = model.transform(read(spark.readStream, folder)).select("path", "predicted")
    writer = stream.writeStream.option("checkpointLocation", str(folder / "checkpoint"))
    query = writer.trigger(availableNow=True).start(str(folder / "out"), "parquet")
    assert query.awaitTermination(240)
    return {
        "predicted": batch,
        "same_in_sql": same,
        "streamed": predicted(spark.read.parquet(str(folder / "out"))),
        "embedded_by_stream": sum(line["rows"] for line in worker.lines()),
    }


def same_in_sql(spark: SparkSession, model: PipelineModel, folder: Path) -> int:
    """How many images have the pipeline's features in SQL, too, which has the same network by its name."""
    images = read(spark.read, folder)
    images.createOrReplaceTempView("images")
    register(spark, "image_features", model="fruits-tiny")
    rows = spark.sql("SELECT path, image_features(content) AS features FROM images").collect()
    vectors = model.stages[0].transform(images).select("path", vector_to_array("features", "float32").alias("features"))
    of_stage = {row.path: row.features for row in vectors.collect()}
    return sum(row.features is not None and row.features == of_stage.get(row.path) for row in rows)


def predicted(rows: DataFrame) -> dict[str, str]:
    """The label that each image was given, by the path below `images`."""
    return {row.path.split("/images/")[1]: row.predicted for row in rows.select("path", "predicted").collect()}


def main(side: str, kind: str, folder: Path) -> None:
    """Runs one side and writes its answer to `FOLDER/SIDE.json`."""
    spark = session(kind)
    udf.worker = worker = ReportingWorker(folder / "embedded")
    answer = {"train": train, "apply": apply}[side](spark, folder, worker)
    (folder / f"{side}.json").write_text(json.dumps(answer))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))

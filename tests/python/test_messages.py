"""Messages of common mistakes: what was expected, what was found, and the command or setting that helps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from told import message

import sparkcider
from sparkcider import FeatureExtractor, Moments, Pca
from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.functions import image_features, nearest, neighbors, pca_project
from sparkcider.job import JobConfig, run
from sparkcider.plots import scatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

TINY = Path(__file__).parent.parent / "data" / "tiny_nchw.onnx"
UNSCALED = Path(__file__).parent.parent / "data" / "tiny_nhwc.onnx"
ROWS = np.array([[0.0, 1.0], [1.0, 3.0], [np.nan, 2.0]])


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda: FeatureExtractor("fruits-tiny", normalisation="tf"),
            "TypeError: FeatureExtractor has no option normalisation; near: normalization",
        ),
        (
            lambda: FeatureExtractor("fruits-tiny", inputsize=64),
            "TypeError: FeatureExtractor has no option inputsize; near: input_size",
        ),
        (
            lambda: FeatureExtractor("fruits-tiny", input_size="64"),
            "ValueError: input_size must be a side or (height, width) of 1 to 4096 pixels, got '64' (str)",
        ),
        (
            lambda: FeatureExtractor(UNSCALED),
            (
                "ValueError: normalization is required (tf, caffe, torch, unit, raw or (mean, std)): "
                f"{UNSCALED} does not say how its pixels are scaled"
            ),
        ),
        (
            lambda: FeatureExtractor(TINY, layer="top"),
            (
                "ValueError: layer must be a tensor of the model's graph, such as its outputs (features, map), got "
                f"'top'; `sparkcider model layers {TINY}` lists the tensors"
            ),
        ),
        (
            lambda: FeatureExtractor("google/vit-base-patch16-224"),
            (
                "FileNotFoundError: model file not found: google/vit-base-patch16-224; for a model of the Hugging Face "
                "Hub write hf://google/vit-base-patch16-224"
            ),
        ),
        (
            lambda: FeatureExtractor("models/net.onnx"),
            "FileNotFoundError: model file not found: models/net.onnx",
        ),
        (
            lambda: FeatureExtractor("resnet5O"),
            "ValueError: no model is called resnet5O; near: resnet50, resnet152, resnet50_v2",
        ),
        (
            lambda: Pca(k=1).fit(ROWS),
            "PcaError: row 2 has a NaN or an infinity in feature 0; skip_invalid=True leaves such rows out",
        ),
        (
            lambda: Moments().update(pa.array([[0.0, 1.0], None])),
            "PcaError: row 1 is null or has a null inside; skip_invalid=True leaves such rows out",
        ),
        (
            lambda: run(JobConfig(input="in", output="out", model="fruits-tiny", options={"colour_order": "RGB"})),
            "TypeError: FeatureExtractor has no option colour_order; near: color_order",
        ),
    ],
)
def test_without_spark(call: Callable[[], Any], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    assert message(call) == expected


def test_what_a_message_says_helps():
    assert Pca(k=1, skip_invalid=True).fit(ROWS).n_components_ == 1
    moments = Moments()
    moments.update(pa.array([[0.0, 1.0], None]), skip_invalid=True)
    assert (moments.n_samples, moments.n_invalid) == (1, 1)


def test_the_hub_without_its_library(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert message(lambda: FeatureExtractor("hf://google/vit-base-patch16-224")) == (
        "ImportError: hf:// needs huggingface_hub: pip install huggingface_hub"
    )


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame([(1, "a.jpg", [1.0, 2.0])], "n int, path string, features array<double>")


def test_columns_and_params_of_spark(frame: DataFrame):
    pca = Pca(k=1).fit(ROWS[:2])
    told = {
        "a wrong type": message(lambda: frame.select(image_features("n", model="pixels")).collect()),
        "a relative path": message(lambda: frame.select(image_features("path", model="pixels")).collect()),
        "features": message(lambda: frame.select(pca_project("path", model=pca)).collect()),
        "a misspelled option": message(lambda: image_features("path", model="fruits-tiny", normalisation="tf")),
        "no inputCol": message(lambda: PCA(k=1, outputCol="pca").fit(frame)),
        "no model": message(lambda: ImageFeaturizer(inputCol="path", outputCol="f").transform(frame)),
        "a wrong inputCol": message(
            lambda: ImageFeaturizer(inputCol="n", outputCol="f", model="pixels").transform(frame)
        ),
        "a missing column": message(lambda: PCA(k=1, inputCol="f", outputCol="pca").fit(frame)),
    }
    # before Spark 4.1 pandas is between Spark and the function, and tells the types of its own
    if frame.sparkSession.version < "4.1":
        told["a wrong type"] = told["a wrong type"].replace("int64", "int32")
        told["features"] = told["features"].replace("expected", "pca_project: column path: expected") + "ing"
    assert {name: text.partition(": ")[2] for name, text in told.items()} == {
        "a wrong type": "image_features: expected a column of binary (encoded images, as content of binaryFile) or "
        "string (absolute paths or URIs), got int32",
        "a relative path": "expected an absolute path or a URI such as s3://bucket/key (with one of file://, s3://, "
        "gs://, abfss://, hdfs://, https://), got 'a.jpg'",
        "features": "pca_project: column path: expected array<float> or array<double>, got string",
        "a misspelled option": "FeatureExtractor has no option normalisation; near: normalization",
        "no inputCol": "PCA: inputCol is not set: give it by PCA(inputCol=...) or setInputCol(...)",
        "no model": "ImageFeaturizer: model is not set: give it by ImageFeaturizer(model=...) or setModel(...)",
        "a wrong inputCol": "ImageFeaturizer: column n: expected binary (encoded images), array<binary> or string "
        "(paths and URIs of files), got int",
        "a missing column": "PCA: there is no column f; there are n, path, features",
    }


NOT_FITTED = "TypeError: model must be a fitted sparkcider.Pca or sparkcider.feature.PCAModel, got"
IN_PROCESS = "TypeError: expected encoded images in this process, got pyspark"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda frame: FeatureExtractor("pixels").extract(frame),
            f"{IN_PROCESS} DataFrame: sparkcider.functions.image_features embeds a column of them",
        ),
        (
            lambda frame: FeatureExtractor("pixels").extract(frame.path),
            f"{IN_PROCESS} Column: sparkcider.functions.image_features embeds a column of them",
        ),
        (
            lambda frame: Pca(k=1).fit(frame),
            (
                "TypeError: expected features in this process, got pyspark DataFrame: sparkcider.feature.PCA fits to a "
                "column of them"
            ),
        ),
        (
            lambda frame: nearest(frame, frame.features),
            (
                "TypeError: expected queries in this process, got pyspark Column: pass [row.features for row in "
                "df.collect()] of the few rows that are meant"
            ),
        ),
        (
            lambda frame: nearest(frame, frame.first().features),
            "TypeError: row 0: expected a list of numbers, got float: one row is [row]",
        ),
        (lambda frame: nearest(frame, [[1.0, 2.0]], k="3"), "TypeError: k must be a whole number, got '3' (str)"),
        (
            lambda frame: neighbors(frame.withColumn("features", frame.path)),
            "TypeError: neighbors: column features: expected array<float>, array<double> or vector, got string",
        ),
        (
            lambda frame: neighbors(frame.toPandas()),
            "TypeError: expected a DataFrame of Spark, got pandas DataFrame: sparkcider.findings takes tables",
        ),
        (
            lambda _: pca_project("features", model="models/pca"),
            (
                f"{NOT_FITTED} 'models/pca' (str): load it by PCAModel.load(...), or by "
                "Pca.from_bytes(Path(...).read_bytes())"
            ),
        ),
        (lambda _: pca_project("features", model=PCA(k=1)), f"{NOT_FITTED} sparkcider PCA: what its fit gives"),
        (
            lambda _: pca_project("features", model=Pca(k=1)),
            "NotFittedError: this Pca is not fitted yet: call fit first",
        ),
        (lambda _: PCA(input_col="x"), "TypeError: PCA has no option input_col; near: inputCol"),
        (lambda _: PCA().setParams(input_col="x"), "TypeError: PCA has no option input_col; near: inputCol"),
        (lambda _: PCA(n_components=5), "TypeError: PCA has no option n_components: the number of components is k=5"),
        (lambda _: PCA(5), "TypeError: PCA takes its arguments by name: PCA(k=5)"),
        (lambda _: PCA(0.9), "TypeError: PCA takes its arguments by name: PCA(variance=0.9)"),
        (
            lambda _: PCA(k=0.9),
            (
                'TypeError: Invalid param value given for param "k". k must be a whole number, got 0.9: a share of the '
                "variance is variance=0.9"
            ),
        ),
        (lambda _: StandardScaler(with_mean=True), "TypeError: StandardScaler has no option with_mean; near: withMean"),
        (
            lambda _: ImageFeaturizer("content"),
            "TypeError: ImageFeaturizer takes its arguments by name: ImageFeaturizer(inputCol=...)",
        ),
        (
            lambda _: ImageFeaturizer(batchSize=8),
            (
                "TypeError: ImageFeaturizer has no option batchSize: extract takes all images that it is given; how "
                "many the network takes in a run is chosen for the processor"
            ),
        ),
        (
            lambda frame: scatter(frame, "n"),
            "TypeError: scatter: column n: expected array<float>, array<double> or vector, got int",
        ),
    ],
)
def test_on_spark(call: Callable[[DataFrame], Any], expected: str, frame: DataFrame):
    assert message(lambda: call(frame)) == expected


@pytest.mark.parametrize("solver", ["covariance", "randomized"])
def test_products_that_overflow_in_tasks(solver: str, spark: SparkSession):
    rows = (np.random.default_rng(0).normal(size=(50, 3)) * 1e154).tolist()
    frame = spark.createDataFrame([(row,) for row in rows], "x array<double>").repartition(4)
    assert message(lambda: PCA(k=1, inputCol="x", outputCol="y", solver=solver).fit(frame)) == (
        "PcaError: PCA: column x: the values are so large that their products overflow: divide all of them by one "
        "number"
    )


def test_features_are_selected_before_they_are_aggregated(spark: SparkSession):
    images = spark.createDataFrame([("Fig", b"x"), ("Fig", None)], "label string, content binary")
    embedded = image_features("content", model="pixels", with_error=True).getField("error")
    told = message(lambda: images.groupBy("label").agg(F.max(embedded)))
    assert "should not appear in the arguments of an aggregate function" in told
    first = images.select("label", embedded.alias("error"))
    assert first.groupBy("label").agg(F.max("error").alias("error")).first().error.startswith("unknown format")


def test_an_old_pyspark_is_named_with_the_one_that_is_needed():
    code = "import pyspark; pyspark.__version__ = '3.4.1'; import sparkcider.feature"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: sparkcider needs PySpark 3.5 or later, and this is 3.4.1: pip install 'pyspark>=3.5', on a "
        "cluster a release with Spark 3.5 or later"
    )


def test_no_message_asks_for_a_package_that_no_index_has():
    package = Path(sparkcider.__file__).parent
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert len(sources) > 50
    assert not [text for text in sources if "pip install 'sparkcider" in text]

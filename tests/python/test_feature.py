"""ImageFeaturizer as a pyspark.ml stage, and Params."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pyspark.ml import Pipeline, PipelineModel
from spark_images import GOOD, N_ROWS, TINY_MODEL, ReportingWorker, encoded_images

from sparkcider.feature import PCA, ImageFeaturizer, PCAModel
from sparkcider.spark import udf

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images(), "id int, content binary")


def featurizer(**params: object) -> ImageFeaturizer:
    return ImageFeaturizer(**{"inputCol": "content", "outputCol": "features", "model": "pixels", **params})


def test_the_features_column_knows_its_length(images: DataFrame):
    out = featurizer(inputSize=[2, 3]).transform(images)
    assert out.columns == ["id", "content", "features"]
    assert out.schema["features"].dataType.simpleString() == "array<float>"
    assert out.schema["features"].metadata == {"ml_attr": {"num_attrs": 18}}


@pytest.mark.parametrize(
    ("handle_invalid", "error_col"),
    [("keep", None), ("keep", "why"), ("skip", None), ("error", None), ("error", "why")],
)
def test_each_image_is_embedded_once_whatever_becomes_of_bad_ones(
    images: DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, handle_invalid: str, error_col: str | None
):
    worker = ReportingWorker(tmp_path / "report")
    monkeypatch.setattr(udf, "worker", worker)
    if handle_invalid == "error":
        images = images.where(f"id < {GOOD}")
    out = featurizer(handleInvalid=handle_invalid, errorCol=error_col).transform(images)
    expected = images.count() if handle_invalid != "skip" else GOOD
    rows = out.where("features IS NULL OR size(features) > 0").collect()
    assert len(rows) == expected
    assert sum(line["rows"] for line in worker.lines()) == images.count()
    if error_col is not None:
        assert [row.why is None for row in rows] == [row.features is not None for row in rows]


def test_the_kind_of_an_error_has_a_column_of_its_own(images: DataFrame):
    for params in ({"errorKindCol": "kind"}, {"errorCol": "why", "errorKindCol": "kind"}):
        out = featurizer(**params).transform(images)
        assert out.columns == ["id", "content", "features", *params.values()]
        assert out.schema["kind"].dataType.simpleString() == "string"
        kinds = {row.id: row.kind for row in out.where("features IS NULL").collect()}
        assert kinds == {GOOD: "not_an_image", GOOD + 1: "null"}
        assert out.where("kind IS NULL").count() == GOOD


def test_the_plan_has_one_python_node(images: DataFrame, capsys: pytest.CaptureFixture[str]):
    out = featurizer(errorCol="why", outputType="vector").transform(images)
    out.where("why IS NULL").explain()
    plan = capsys.readouterr().out
    assert plan.count("EvalPython") == 1
    assert plan.count("pythonUDF0") == plan.count("pythonUDF")


def test_error_stops_with_the_reason(images: DataFrame):
    with pytest.raises(Exception, match=r"ImageDecodeError: image \d+ of this task: "):
        featurizer(handleInvalid="error").transform(images).collect()


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (
            {"outputCol": "id"},
            ValueError,
            "ImageFeaturizer: outputCol: column id exists already: choose another name, or",
        ),
        ({"outputCol": "ID"}, ValueError, "ImageFeaturizer: outputCol: column id exists already"),
        ({"errorCol": "id"}, ValueError, "ImageFeaturizer: errorCol: column id exists already"),
        ({"errorKindCol": "id"}, ValueError, "ImageFeaturizer: errorKindCol: column id exists already"),
        ({"model": "nowhere.onnx"}, FileNotFoundError, "model file not found: nowhere.onnx"),
        ({"inputSize": 5000}, ValueError, "input_size must be a side"),
    ],
)
def test_what_the_driver_can_know_fails_on_transform(
    images: DataFrame, params: dict, error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        featurizer(**params).transform(images)


OPTIONS = {
    "inputSize": [3, 2],
    "resizeMode": "letterbox",
    "filter": "box",
    "normalization": [[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]],
    "colorOrder": "BGR",
    "intraThreads": 1,
    "decode": "scaled",
    "applyExif": False,
    "maxPixels": 10**6,
    "background": [1, 2, 3],
}


def test_a_saved_featurizer_comes_back_as_it_was(images: DataFrame, tmp_path: Path):
    stage = featurizer(errorCol="why", errorKindCol="kind", outputType="vector", saveModel=False, inFlight=7, **OPTIONS)
    stage.save(str(tmp_path / "stage"))
    loaded = ImageFeaturizer.load(str(tmp_path / "stage"))
    assert loaded.uid == stage.uid
    assert loaded.extractParamMap() == stage.extractParamMap()
    assert loaded.transform(images).collect() == stage.transform(images).collect()


def test_saving_over_a_stage_needs_overwrite(spark: SparkSession, tmp_path: Path):
    assert spark is not None
    path = str(tmp_path / "stage")
    featurizer().save(path)
    with pytest.raises(Exception, match="already exists"):
        featurizer().save(path)
    featurizer(inputSize=5).write().overwrite().save(path)
    assert ImageFeaturizer.load(path).extractorOptions() == {"input_size": 5}
    with pytest.raises(
        Exception, match=r"holds a sparkcider\.feature\.ImageFeaturizer, expected a sparkcider\.feature\.PCA"
    ):
        PCA.load(path)


def test_params_are_the_options_in_snake_case():
    options = featurizer(**OPTIONS).extractorOptions()
    assert options["normalization"] == [[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]]
    assert {"input_size", "resize_mode", "color_order", "intra_threads", "apply_exif", "max_pixels"} <= set(options)
    assert not {"model", "in_flight"} & set(options)  # of the worker, not of the extractor


def test_a_copy_with_other_params_leaves_the_first_alone():
    stage = featurizer()
    other = stage.copy({stage.handleInvalid: "skip"})
    assert (stage.getHandleInvalid(), other.getHandleInvalid()) == ("keep", "skip")


def test_a_pipeline_of_both_is_saved_and_loaded(images: DataFrame, tmp_path: Path):
    stages = [
        featurizer(model=str(TINY_MODEL), handleInvalid="skip"),
        PCA(k=2, inputCol="features", outputCol="pca", standardize=True),
    ]
    pipeline = Pipeline(stages=stages)
    with pytest.warns(UserWarning, match="every image is embedded for this call"):
        model = pipeline.fit(images)
    expected = model.transform(images).select("id", "pca").collect()
    assert len(expected) == GOOD
    assert model.stages[1].numRows == N_ROWS - 2
    pipeline.write().overwrite().save(str(tmp_path / "pipeline"))
    model.write().overwrite().save(str(tmp_path / "model"))
    loaded = PipelineModel.load(str(tmp_path / "model"))
    assert isinstance(loaded.stages[1], PCAModel)
    assert loaded.transform(images).select("id", "pca").collect() == expected
    with pytest.warns(UserWarning, match="every image is embedded for this call"):
        again = Pipeline.load(str(tmp_path / "pipeline")).fit(images)
    assert again.transform(images).select("id", "pca").collect() == expected

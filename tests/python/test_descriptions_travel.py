"""A description beside a model reaches executors, saved stages, jobs and int8 models, none of which has the file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider import FeatureExtractor, cli, job
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples

pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")

from spark_images import encoded_images

from sparkcider.feature import ImageFeaturizer
from sparkcider.functions import image_features

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

FOREIGN = Path(__file__).parents[1] / "data" / "tiny_nhwc.onnx"
CLIP = {"image_processor_type": "CLIPImageProcessor", "size": 20, "crop_size": 16}
VIT = {"image_processor_type": "ViTImageProcessor", "size": 16}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that says nothing of itself, with a description beside it."""
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(CLIP))
    return Path(shutil.copy(FOREIGN, tmp_path / "model.onnx"))


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images()[:4], "id int, content binary").coalesce(1).cache()


def expected(model: Path, **options: Any) -> list[list[float]]:
    contents = [content for _, content in encoded_images()[:4]]
    return FeatureExtractor(model, **options).extract(contents)[0].to_pylist()


def embedded(stage: ImageFeaturizer, images: DataFrame) -> list[list[float]]:
    return [row.f for row in stage.transform(images).orderBy("id").collect()]


def test_executors_get_what_the_description_says(model: Path, images: DataFrame):
    column = image_features("content", model=model)
    rows = images.select("id", column.alias("f")).orderBy("id").collect()
    assert [row.f for row in rows] == expected(model)


def test_executors_and_saved_stages_get_the_pooling_of_the_library(images: DataFrame, tmp_path: Path):
    hubs = pytest.importorskip("hub_networks")
    path = hubs.of_type(hubs.merged(tmp_path / "swin.onnx"), model_type="swin")
    stage = ImageFeaturizer(inputCol="content", outputCol="f", model=path, inputSize=48, normalization="torch")
    rows = expected(path, pooling="avg", **hubs.OPTIONS)
    assert embedded(stage, images) == rows
    stage.save(str(tmp_path / "stage"))
    path.unlink()
    (tmp_path / "config.json").unlink()
    assert embedded(ImageFeaturizer.load(str(tmp_path / "stage")), images) == rows


def test_a_param_names_a_description(model: Path, images: DataFrame, tmp_path: Path):
    path = tmp_path / "vit.json"
    path.write_text(json.dumps(VIT))
    stage = ImageFeaturizer(inputCol="content", outputCol="f", model=model, preprocessing=path)
    assert stage.getPreprocessing() == str(path)
    assert embedded(stage, images) == expected(model, preprocessing=path) != expected(model)


def test_a_saved_stage_needs_neither_model_nor_description(model: Path, images: DataFrame, tmp_path: Path):
    before = expected(model)
    ImageFeaturizer(inputCol="content", outputCol="f", model=model).save(str(tmp_path / "stage"))
    model.unlink()
    (tmp_path / "preprocessor_config.json").unlink()
    loaded = ImageFeaturizer.load(str(tmp_path / "stage"))
    assert embedded(loaded, images) == before
    loaded.save(str(tmp_path / "again"))
    assert embedded(ImageFeaturizer.load(str(tmp_path / "again")), images) == before


def test_a_param_that_is_set_after_the_load_wins(model: Path, images: DataFrame, tmp_path: Path):
    path = tmp_path / "vit.json"
    path.write_text(json.dumps(VIT))
    ImageFeaturizer(inputCol="content", outputCol="f", model=model).save(str(tmp_path / "stage"))
    loaded = ImageFeaturizer.load(str(tmp_path / "stage")).setPreprocessing(path)
    assert embedded(loaded, images) == expected(model, preprocessing=path)


def test_a_job_is_resumed_with_the_same_description_only(model: Path, tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=1)
    config = JobConfig(
        input=str(tmp_path / "images"),
        output=str(tmp_path / "out"),
        model=str(model),
        pca=False,
        engine="embedded",
        resume=True,
    )
    found = job.run(config, progress=lambda _: None)["model"]
    assert found["description"] == str(tmp_path / "preprocessor_config.json")
    assert found["preprocessing"] == FeatureExtractor(model).preprocessing
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "open_clip_config.json")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"preprocess_cfg": {"size": 16}}))
    with pytest.raises(ValueError, match=r"cannot be resumed: preprocessing was \{.*'transformers'.*\} and is \{"):
        job.run(config, progress=lambda _: None)


def test_a_command_names_a_description(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_samples(tmp_path / "images", images_per_label=1)
    words = ["run", "--input", f"{tmp_path}/images", "--output", f"{tmp_path}/out", "--model", str(model), "--no-pca"]
    assert cli.main([*words, "--engine", "embedded", "--preprocessing", "none"]) == 2
    assert "normalization is required" in capsys.readouterr().err
    assert cli.main([*words, "--engine", "embedded", "--quiet"]) == 0


def test_show_prints_what_holds(model: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["model", "show", str(model)]) == 0
    lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    assert ["description", str(model.parent / "preprocessor_config.json")] in lines
    assert ["resize_size", "20x20"] in lines
    (model.parent / "preprocessor_config.json").write_text(json.dumps({**CLIP, "shade": 1}))
    assert cli.main(["model", "show", str(model)]) == 0
    assert "shade must be left out: it is not known, got 1" in capsys.readouterr().out


def test_an_int8_model_says_what_the_description_said(model: Path, tmp_path: Path):
    pytest.importorskip("onnxruntime.quantization", reason="needs the extra sparkcider[quantize]")
    from sparkcider.models import show
    from sparkcider.models.quantize import quantize

    write_samples(tmp_path / "images", images_per_label=4)
    before = FeatureExtractor(model).preprocessing
    quantize(model, str(tmp_path / "images"), tmp_path / "elsewhere.onnx", n=16)
    (tmp_path / "preprocessor_config.json").unlink()
    assert FeatureExtractor(tmp_path / "elsewhere.onnx").preprocessing == before
    assert show(tmp_path / "elsewhere.onnx").metadata["resize_size"] == "20x20"

"""A saved ImageFeaturizer holds its network; one saved without it says what it needs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from pyspark.ml import PipelineModel
from spark_images import GOOD, TINY_MODEL, encoded_images

from sparkcider import FeatureExtractor, ModelError, SparkciderError
from sparkcider.feature import PCA, ImageFeaturizer
from sparkcider.models import cache as model_cache
from sparkcider.saved_stage import read_stage
from sparkcider.storage.files import ArrowFiles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

STAGES = Path(__file__).parents[1] / "data" / "stages"
TINY_CHECKSUM = model_cache.checksum_of(TINY_MODEL)


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images()[:4], "id int, content binary").coalesce(1).cache()


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return Path(shutil.copy(TINY_MODEL, tmp_path / "network.onnx"))


def replace(network: Path) -> str:
    """Puts a network with other weights there; its checksum."""
    model = onnx.load(str(network))
    weights = model.graph.initializer[0]
    weights.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weights), weights.name))
    onnx.save(model, str(network))
    return model_cache.checksum_of(network)


def featurizer(network: Path | str, **params: Any) -> ImageFeaturizer:
    return ImageFeaturizer(inputCol="content", outputCol="features", model=str(network), **params)


def features(stage: ImageFeaturizer, images: DataFrame) -> list[list[float]]:
    return [row.features for row in stage.transform(images).orderBy("id").collect()]


def edit(stage: Path, change: Any) -> None:
    """Changes the metadata of a saved stage."""
    (part,) = stage.glob("metadata/part-*")
    metadata = json.loads(part.read_text())
    change(metadata)
    part.write_text(json.dumps(metadata))
    part.with_name(f".{part.name}.crc").unlink(missing_ok=True)


# The file inside the stage


def test_a_loaded_stage_embeds_with_the_file_it_was_saved_with(images: DataFrame, network: Path, tmp_path: Path):
    stage = featurizer(network)
    before = features(stage, images)
    stage.save(str(tmp_path / "stage"))
    replace(network)
    assert features(stage, images) != before
    loaded = ImageFeaturizer.load(str(tmp_path / "stage"))
    assert loaded.getModel() == str(network)
    assert features(loaded, images) == before
    network.unlink()
    assert features(loaded.copy(), images) == before
    loaded.save(str(tmp_path / "again"))
    assert features(ImageFeaturizer.load(str(tmp_path / "again")), images) == before


def test_another_name_replaces_the_file_of_a_loaded_stage(images: DataFrame, network: Path, tmp_path: Path):
    featurizer(network).save(str(tmp_path / "stage"))
    loaded = ImageFeaturizer.load(str(tmp_path / "stage"))
    other = Path(shutil.copy(network, tmp_path / "other.onnx"))
    replace(other)
    expected = features(featurizer(other), images)
    assert features(loaded.setModel(str(other)), images) == expected


def test_a_damaged_file_is_refused(network: Path, images: DataFrame, tmp_path: Path):
    assert images is not None
    featurizer(network).save(str(tmp_path / "stage"))
    edit(tmp_path / "stage", lambda metadata: metadata["arrays"].update(model="0" * 64))
    message = (
        rf"stage/model is incomplete or damaged: its checksum is {TINY_CHECKSUM}, the metadata says {'0' * 64}: "
        "save the stage again"
    )
    with pytest.raises(ModelError, match=message):
        ImageFeaturizer.load(str(tmp_path / "stage"))


def test_a_model_that_is_no_file_saves_none(spark: SparkSession, tmp_path: Path):
    assert spark is not None
    featurizer("pixels", inputSize=2).save(str(tmp_path / "stage"))
    assert not (tmp_path / "stage" / "model").exists()
    loaded = ImageFeaturizer.load(str(tmp_path / "stage"))
    assert loaded.extractorOptions() == {"input_size": 2}
    ImageFeaturizer(inputCol="content").save(str(tmp_path / "no model"))
    assert not ImageFeaturizer.load(str(tmp_path / "no model")).isSet("model")


def test_a_model_that_cannot_be_opened_is_not_saved(spark: SparkSession, tmp_path: Path):
    assert spark is not None
    with pytest.raises(FileNotFoundError, match=r"model file not found: nowhere\.onnx"):
        featurizer("nowhere.onnx").save(str(tmp_path / "stage"))
    assert not (tmp_path / "stage").exists()


# What is read without Spark


def test_what_is_saved_of_a_network_is_read_without_spark(spark: SparkSession, network: Path, tmp_path: Path):
    assert spark is not None
    featurizer(network, resizeMode="center_crop", cropRatio=0.9).save(str(tmp_path / "stage"))
    saved = read_stage(ArrowFiles("file:/"), f"file:{tmp_path}/stage", "ImageFeaturizer")
    assert saved.arrays == {"model": network.read_bytes()}
    assert saved.facts is not None
    said = saved.facts["model"]
    assert (said["checksum"], said["embedding_dim"]) == (TINY_CHECKSUM, 4)
    assert (said["preprocessing"]["crop_ratio"], said["preprocessing"]["normalization"]) == (0.9, "torch")
    again = FeatureExtractor(network, **said["preprocessing"])
    assert json.loads(json.dumps(again.preprocessing)) == said["preprocessing"]


# Saved without the file


@pytest.fixture
def light(network: Path, images: DataFrame, tmp_path: Path) -> str:
    """A stage saved without its model."""
    assert images is not None
    featurizer(network, saveModel=False).save(str(tmp_path / "light"))
    assert not (tmp_path / "light" / "model").exists()
    return str(tmp_path / "light")


def test_a_stage_without_its_file_finds_it_by_name(light: str, network: Path, images: DataFrame):
    loaded = ImageFeaturizer.load(light)
    assert features(loaded, images) == features(featurizer(network), images)
    found = replace(network)  # after the load: still not another network without a word
    with pytest.raises(ModelError, match=f"has checksum {found}, expected {TINY_CHECKSUM}"):
        loaded.transform(images)


def test_another_file_under_the_name_is_refused_with_both_checksums(light: str, network: Path):
    found = replace(network)
    message = (
        rf"light was saved without its model \(saveModel=False\) and needs the file with checksum {TINY_CHECKSUM}; "
        rf".*network\.onnx has checksum {found}: put the right file there, or save the stage with its model$"
    )
    with pytest.raises(ModelError, match=message):
        ImageFeaturizer.load(light)


def test_no_file_under_the_name_is_a_file_not_found(light: str, network: Path):
    network.unlink()
    found_nothing = r"model file not found: .*network\.onnx: put the right file there"
    message = f"needs the file with checksum {TINY_CHECKSUM}; {found_nothing}"
    with pytest.raises(FileNotFoundError, match=message):
        ImageFeaturizer.load(light)


def test_a_copy_in_the_cache_serves(light: str, network: Path, images: DataFrame):
    before = features(featurizer(network), images)
    model_cache.keep(network.read_bytes(), TINY_CHECKSUM)
    replace(network)
    assert features(ImageFeaturizer.load(light), images) == before
    network.unlink()
    assert features(ImageFeaturizer.load(light), images) == before


# Other versions


def test_another_preparation_of_images_is_refused(light: str):
    edit(Path(light), lambda metadata: metadata["facts"]["model"]["preprocessing"].update(filter="box", layout="NHWC"))
    message = (
        r"light was saved with filter='box', layout='NHWC'; sparkcider \S+ takes its model and Params for "
        r"filter='bilinear', layout='NCHW': load it with the version that saved it, set these options there, and save"
    )
    with pytest.raises(ModelError, match=message):
        ImageFeaturizer.load(light)


def test_a_later_format_is_refused(light: str):
    edit(Path(light), lambda metadata: metadata.update(format=9, sparkciderVersion="7.1"))
    with pytest.raises(
        SparkciderError,
        match=r"light was saved by sparkcider 7\.1 in format 9; \S+ reads formats up to 2: install the version that",
    ):
        ImageFeaturizer.load(light)


@pytest.mark.parametrize("params", ["paramMap", "defaultParamMap"])
def test_a_param_of_a_later_version_is_refused(light: str, params: str):
    edit(Path(light), lambda metadata: (metadata[params].update(shadow=1), metadata.update(sparkciderVersion="7.1")))
    message = (
        r"light was saved by sparkcider 7\.1 with the Param shadow, which ImageFeaturizer of sparkcider \S+ does not "
        "have: install the version that saved it, or a later one"
    )
    with pytest.raises(SparkciderError, match=message):
        ImageFeaturizer.load(light)


def test_a_pipeline_that_an_earlier_version_saved_loads(spark: SparkSession):
    images = spark.createDataFrame(encoded_images(), "id int, content binary").coalesce(1)
    model = PipelineModel.load(str(STAGES / "with-model"))
    expected = json.loads((STAGES / "with-model" / "expected.json").read_text())
    rows = model.transform(images).select("id", "pca").orderBy("id").collect()
    assert [row.id for row in rows] == list(range(GOOD))
    np.testing.assert_allclose([row.pca for row in rows], expected, atol=1e-4)  # sums of f32 on another processor


def test_stages_of_paths_only_load(spark: SparkSession):
    images = spark.createDataFrame(encoded_images(), "id int, content binary").coalesce(1)
    model = PipelineModel.load(str(STAGES / "paths-only" / "pipeline"))
    rows = model.transform(images).select("id", "pca").orderBy("id").collect()
    expected = [[-0.6794535, -0.49535212], [-0.44019282, 0.5291372], [0.363534, -1.8433063]]
    np.testing.assert_allclose([row.pca for row in rows][:3], expected, atol=1e-5)
    assert (len(rows), model.stages[2].numRows) == (GOOD, GOOD)
    scaled = model.stages[1].transform(model.stages[0].transform(images)).cache()
    assert model.stages[2].update(scaled).numRows == 2 * GOOD  # its moments are there
    featurizer = ImageFeaturizer.load(str(STAGES / "paths-only" / "featurizer"))
    assert (featurizer.getModel(), featurizer.getSaveModel()) == ("fruits-tiny", True)
    outcome = featurizer.transform(images).where(f"id >= {GOOD - 1}").orderBy("id").collect()
    assert [row.features is None for row in outcome] == [False, True, True]
    assert outcome[2].error == "null image"


def test_another_class_is_still_refused(light: str):
    with pytest.raises(SparkciderError, match=r"holds a sparkcider\.feature\.ImageFeaturizer, expected a"):
        PCA.load(light)

"""Several layers of a network in one pass: with Arrow, as a column function, as a stage."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest
from spark_images import GOOD, N_ROWS, TINY_MODEL, ReportingWorker, encoded_images

from sparkcider import FeatureExtractor
from sparkcider.feature import PCA, ImageFeaturizer
from sparkcider.functions import image_features
from sparkcider.job import JobConfig, open_model
from sparkcider.spark import udf, worker

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

LAYERS = ["map", "features"]
IMAGES = [content for _, content in encoded_images()]


def alone(layer: str) -> list[list[float] | None]:
    """What one layer gives by itself."""
    features, _ = FeatureExtractor(TINY_MODEL, layer=layer).extract(IMAGES)
    values: list[list[float] | None] = features.to_pylist()
    return values


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images(), "id int, content binary").coalesce(1)


def featurizer(**params: Any) -> ImageFeaturizer:
    return ImageFeaturizer(
        **{"inputCol": "content", "outputCol": "features", "model": TINY_MODEL, "layer": LAYERS, **params}
    )


def test_an_extractor_gives_a_struct_of_what_each_layer_gives_alone():
    extractor = FeatureExtractor(TINY_MODEL, layer=LAYERS)
    features, errors = extractor.extract(IMAGES)
    assert [field.name for field in features.type] == LAYERS
    assert extractor.layer_dims == {name: features.type.field(name).type.list_size for name in LAYERS}
    assert extractor.embedding_dim == sum(extractor.layer_dims.values())
    for name in LAYERS:
        assert features.field(name).to_pylist() == alone(name)
    assert features.is_null().to_pylist() == errors.is_valid().to_pylist() == [False] * GOOD + [True] * 2
    assert FeatureExtractor(TINY_MODEL).layer_dims is None
    for same in (extractor.twin(), pickle.loads(pickle.dumps(extractor))):
        assert same.extract(IMAGES)[0].equals(features)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ([], "layer must be at least one name, got an empty list"),
        (["map", "map"], "layer must be several different names, got 'map' twice"),
        (["map", "top"], r"layer must be a tensor of the model's graph, such as its outputs \(.*\), got 'top'"),
        ([1], r"layer must be the name of a tensor or a list of names, got \[1\]"),
    ],
)
def test_wrong_layers_are_named(layer: Any, message: str):
    with pytest.raises(ValueError, match=message):
        FeatureExtractor(TINY_MODEL, layer=layer)


def test_a_column_is_a_struct_of_arrays_and_each_image_is_embedded_once(
    images: DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    reporting = ReportingWorker(tmp_path / "report")
    monkeypatch.setattr(udf, "worker", reporting)
    both = images.select("id", image_features("content", model=TINY_MODEL, layer=LAYERS, with_error=True).alias("f"))
    kind = both.schema["f"].dataType["features"].dataType.simpleString()
    assert kind == "struct<map:array<float>,features:array<float>>"
    rows = both.select("f.features.map", "f.features.features", "f.error_kind").collect()
    assert sum(line["rows"] for line in reporting.lines()) == N_ROWS
    assert [row.map for row in rows] == alone("map")
    assert [row.features for row in rows] == alone("features")
    assert [row.error_kind for row in rows][GOOD:] == ["not_an_image", "null"]


@pytest.mark.parametrize("with_error", [True, False])
def test_pandas_gives_the_same_as_arrow(*, with_error: bool):
    extractor = FeatureExtractor(TINY_MODEL)
    options = (("layer", tuple(LAYERS)),)
    model = worker.ModelFile(str(TINY_MODEL), extractor.checksum, options)
    how: Any = {"on_error": "null", "with_error": with_error}
    batch = pa.array(IMAGES, pa.binary())
    arrow = [row for rows in worker.embed(iter([batch]), model, str, **how) for row in rows.to_pylist()]
    pandas = worker.embed_pandas(iter([pd.Series(IMAGES, dtype=object)]), model, str, **how)
    frames = pd.concat(list(pandas), ignore_index=True)
    for name in LAYERS:
        ours = frames["features"].map(lambda row, name=name: row[name]) if with_error else frames[name]
        theirs = [(row["features"] if with_error else row)[name] for row in arrow]
        assert [None if row is None else list(row) for row in ours] == theirs == alone(name)


def test_a_stage_adds_a_struct_whose_fields_others_read(images: DataFrame, tmp_path: Path):
    stage = featurizer(handleInvalid="skip")
    out = stage.transform(images)
    assert out.schema["features"].dataType == stage.transformSchema(images.schema)["features"].dataType
    features = out.cache()
    rows = features.orderBy("id").collect()
    assert [row.features["map"] for row in rows] == alone("map")[:GOOD]
    assert [row.features["features"] for row in rows] == alone("features")[:GOOD]
    pca = PCA(k=1, inputCol="features.map", outputCol="pca").fit(features)
    assert pca.numRows == GOOD
    stage.save(str(tmp_path / "stage"))
    again = ImageFeaturizer.load(str(tmp_path / "stage"))
    assert again.getLayer() == LAYERS
    assert again.transform(images).orderBy("id").collect() == rows


def test_many_images_per_row_have_an_array_of_structs(spark: SparkSession):
    table = spark.createDataFrame([(0, IMAGES[:2]), (1, [IMAGES[2], None]), (2, None)], "id int, many array<binary>")
    out = featurizer(inputCol="many").transform(table).orderBy("id").collect()
    maps = [None if row.features is None else [image["map"] for image in row.features] for row in out]
    assert maps == [alone("map")[:2], [alone("map")[2], None], None]
    skipped = featurizer(inputCol="many", handleInvalid="skip").transform(table)
    assert [row.id for row in skipped.collect()] == [0]


def test_what_several_layers_cannot_be_is_refused(images: DataFrame):
    message = (
        r"^ImageFeaturizer: layer names 2 layers, and outputCol can hold only one vector: use outputType='array' and "
        r"pyspark\.ml\.functions\.array_to_vector\('features\.map'\)$"
    )
    with pytest.raises(TypeError, match=message):
        featurizer(outputType="vector").transform(images)
    config = JobConfig(input="images", output="out", model=str(TINY_MODEL), options={"layer": LAYERS})
    with pytest.raises(ValueError, match=r"^layer must be one name: a job fits one PCA; run one job for each layer$"):
        open_model(config)

"""`image_features` on classic Spark, and its worker without Spark; what `pca_project` refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark import cloudpickle
from spark_images import GOOD, N_ROWS, TINY_MODEL, ReportingWorker, encoded_images

import sparkcider
from sparkcider import FeatureExtractor, ImageDecodeError, ModelError, Pca
from sparkcider.functions import image_features, pca_project
from sparkcider.spark import udf, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

CLOSURE_BYTES = 4096
"""A reference, two words and code: a model would be hundreds of times as long."""

LIMIT_EMBEDS = 256
"""Images that `limit(10)` may embed of a table of any size: the small slices that come before its task ends."""


@pytest.fixture
def images(spark: SparkSession) -> DataFrame:
    return spark.createDataFrame(encoded_images(), "id int, content binary").repartition(4)


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ReportingWorker:
    worker = ReportingWorker(tmp_path / "report")
    monkeypatch.setattr(udf, "worker", worker)
    return worker


def expected_features(model: str) -> tuple[list[list[float] | None], list[str | None]]:
    features, errors = FeatureExtractor(model).extract(pa.array([content for _, content in encoded_images()]))
    return features.to_pylist(), errors.to_pylist()


def test_the_workers_run_the_sparkcider_that_is_tested(spark: SparkSession):
    def ask(_batches: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        import sparkcider

        yield pd.DataFrame({"file": [sparkcider.__file__]})

    (row,) = spark.range(1).repartition(1).mapInPandas(ask, "file string").collect()
    assert row.file == sparkcider.__file__


@pytest.mark.parametrize("model", ["pixels", str(TINY_MODEL)])
def test_features_equal_those_of_the_extractor_bit_for_bit(images: DataFrame, model: str):
    features, errors = expected_features(model)
    outcome = image_features("content", model=model, with_error=True)
    rows = images.select("id", outcome.alias("f")).select("id", "f.*").collect()
    assert {row.id: row.features for row in rows} == dict(enumerate(features))
    assert {row.id: row.error for row in rows} == dict(enumerate(errors))
    assert {row.id: row.error_kind for row in rows if row.error} == {GOOD: "not_an_image", GOOD + 1: "null"}
    assert not any(row.error_kind for row in rows if not row.error)
    assert errors[:GOOD] == [None] * GOOD
    assert errors[GOOD + 1] == "null image"


def test_a_filter_by_kind_embeds_each_image_once(images: DataFrame, reporting: ReportingWorker):
    outcome = image_features("content", model="pixels", with_error=True)
    rows = images.select("id", outcome.alias("f")).where("f.error_kind = 'null'").select("id", "f.error").collect()
    assert [(row.id, row.error) for row in rows] == [(GOOD + 1, "null image")]
    assert sum(line["rows"] for line in reporting.lines()) == N_ROWS


def test_features_alone_are_an_array_of_floats(images: DataFrame):
    features = images.select(image_features(images["content"], model="pixels", input_size=(2, 3)).alias("f"))
    assert features.schema["f"].dataType.simpleString() == "array<float>"
    assert sorted(len(row.f or []) for row in features.collect()) == [0, 0, *[18] * GOOD]


def test_a_bad_image_raises_with_its_reason(images: DataFrame):
    with pytest.raises(Exception, match=r"ImageDecodeError: image \d+ of this task: (unknown format|null image)"):
        images.select(image_features("content", model="pixels", on_error="raise")).collect()


def test_a_column_of_numbers_is_a_type_error_in_the_worker(spark: SparkSession):
    numbers = spark.createDataFrame([(1,)], "content int")
    with pytest.raises(Exception, match=r"TypeError: image_features: expected a column of binary .* got int(32|64)"):
        numbers.select(image_features("content", model="pixels")).collect()


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("nowhere.onnx", {}, FileNotFoundError, "model file not found: nowhere.onnx"),
        (__file__, {}, ModelError, "test_functions.py"),
        (str(TINY_MODEL.with_name("text_input.onnx")), {}, ModelError, "image"),
        (
            "pixels",
            {"input_size": 0},
            ValueError,
            r"input_size must be a side or \(height, width\) of 1 to 4096 pixels, got",
        ),
        (
            "pixels",
            {"input_size": -3},
            ValueError,
            r"input_size must be a side or \(height, width\) of 1 to 4096 pixels, got",
        ),
        ("pixels", {"filter": "sharp"}, ValueError, "filter must be"),
        ("pixels", {"on_error": "ignore"}, ValueError, "on_error must be null or raise, got ignore"),
        ("pixels", {"colour": "RGB"}, TypeError, "colour"),
    ],
)
def test_a_bad_model_or_option_fails_before_any_job(
    spark: SparkSession, model: str, options: dict, error: type[Exception], message: str
):
    assert spark is not None
    with pytest.raises(error, match=message) as raised:
        image_features("content", model=model, **options)
    assert "\n" not in str(raised.value)


def test_a_struct_that_is_split_and_filtered_embeds_each_image_once(images: DataFrame, reporting: ReportingWorker):
    outcome = image_features("content", model="pixels", with_error=True)
    split = images.withColumn("f", outcome).selectExpr("id", "f.features AS features", "f.error AS error")
    split.where("error IS NULL AND size(features) > 2 AND id % 2 = 0").write.format("noop").mode("overwrite").save()
    assert sum(line["rows"] for line in reporting.lines()) == N_ROWS


def test_a_process_opens_a_model_once_for_all_its_tasks(images: DataFrame, reporting: ReportingWorker):
    features = images.repartition(6).select(image_features("content", model=TINY_MODEL, input_size=16))
    before: dict[int, int] = {}
    for _ in range(2):
        features.write.format("noop").mode("overwrite").save()
    lines = reporting.lines()
    assert len(lines) == 12
    for line in lines:
        assert before.setdefault(line["pid"], line["opened"]) == line["opened"]


def test_the_pickled_closure_is_a_reference(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    closures = []

    def taken(_session: object, *both: object) -> object:
        closures.extend(both[:2])
        return lambda column: column

    monkeypatch.setattr(udf, "_iterator_udf", taken)
    udf.features_column(spark, "content", TINY_MODEL, on_error="null", with_error=True, options={})
    sizes = [len(cloudpickle.dumps(closure)) for closure in closures]
    assert len(sizes) == 2
    assert max(sizes) < CLOSURE_BYTES


PIXELS = worker.ModelFile(None, "pixels", (("input_size", 2),))


def embed(batches: list[pa.Array], **options: object) -> list[pa.Array]:
    return list(worker.embed(iter(batches), PIXELS, str, **{"on_error": "null", "with_error": False, **options}))


def test_a_large_batch_is_given_back_in_slices():
    content = encoded_images()[0][1]
    pieces = embed([pa.array([content] * 600), pa.array([], pa.binary()), pa.array([None, None])])
    assert [len(piece) for piece in pieces] == [16, 32, 64, 128, 256, 104, 0, 2]  # small ones first, for limit(10)
    assert {str(piece.type) for piece in pieces} == {"list<item: float>"}


def test_pandas_gets_the_same_rows_as_arrow():
    contents = [content for _, content in encoded_images()]
    options = {"on_error": "null", "with_error": True}
    arrow = pa.concat_arrays(embed([pa.array(contents)], with_error=True))
    frame = pd.concat(worker.embed_pandas(iter([pd.Series(contents)]), PIXELS, str, **options))
    assert [None if pd.isna(error) else error for error in frame["error"]] == arrow.field("error").to_pylist()
    assert [None if row is None else row.tolist() for row in frame["features"]] == arrow.field("features").to_pylist()
    kinds = [None if pd.isna(kind) else kind for kind in frame["error_kind"]]
    assert kinds == arrow.field("error_kind").to_pylist() == [None] * GOOD + ["not_an_image", "null"]


def test_the_row_of_a_bad_image_is_counted_over_slices():
    content = encoded_images()[0][1]
    with pytest.raises(ImageDecodeError, match="image 301 of this task: unknown format"):
        embed([pa.array([content] * 300), pa.array([content, b"no image"])], on_error="raise")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (worker.ModelFile("gone.onnx", "0" * 64, ()), "model file gone.onnx has not reached this executor"),
        (worker.ModelFile(str(TINY_MODEL), "0" * 64, ()), "has checksum .*, expected 000"),
    ],
)
def test_a_file_that_is_not_the_one_sent_is_refused(model: worker.ModelFile, message: str):
    with pytest.raises(ModelError, match=message):
        list(worker.embed(iter([]), model, str, on_error="null", with_error=False))


def test_a_limit_embeds_little_more_than_it_gives(spark: SparkSession, reporting: ReportingWorker):
    content = encoded_images()[0][1]
    many = spark.createDataFrame([(number, content) for number in range(4000)], "id int, content binary").repartition(4)
    many = many.localCheckpoint()
    features = many.select("id", image_features("content", model="pixels", input_size=64).alias("features"))
    assert len(features.limit(10).collect()) == 10
    assert sum(line["rows"] for line in reporting.lines()) <= LIMIT_EMBEDS


@pytest.mark.usefixtures("spark")
def test_pca_project_refuses_unknown_words():
    pca = Pca(k=1).fit(np.eye(3))
    with pytest.raises(ValueError, match="element_type must be float or double, got half"):
        pca_project("x", model=pca, element_type="half")
    with pytest.raises(ValueError, match="on_error must be null or raise, got skip"):
        pca_project("x", model=pca, on_error="skip")

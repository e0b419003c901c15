"""`image_features` as a function of SQL; Spark Connect has it in test_spark_ml_conversation.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from spark_images import GOOD, N_ROWS, TINY_MODEL, ReportingWorker, encoded_images

from sparkcider.functions import image_features, register
from sparkcider.spark import udf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture(scope="module")
def images(spark: SparkSession) -> Iterator[DataFrame]:
    frame = spark.createDataFrame(encoded_images(), "id int, content binary")
    frame.createOrReplaceTempView("encoded_images")
    yield frame
    spark.catalog.dropTempView("encoded_images")


def test_a_query_embeds_each_image_once(
    spark: SparkSession, images: DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    worker = ReportingWorker(tmp_path / "report")
    monkeypatch.setattr(udf, "worker", worker)
    register(spark, "embedded", model=TINY_MODEL, with_error=True)
    query = (
        "SELECT id, f.features, f.error_kind FROM (SELECT id, embedded(content) AS f FROM encoded_images) "
        "WHERE f.error IS NULL OR f.error_kind = 'null'"
    )
    rows = sorted(spark.sql(query).collect(), key=lambda row: row.id)  # ORDER BY would sample, and so embed twice
    assert sum(line["rows"] for line in worker.lines()) == N_ROWS
    expected = images.select("id", image_features("content", model=TINY_MODEL).alias("features")).orderBy("id")
    assert [row.features for row in rows] == [row.features for row in expected.collect() if row.id != GOOD]
    assert [row.error_kind for row in rows] == [None] * GOOD + ["null"]


def test_a_column_is_called_what_it_is(spark: SparkSession, images: DataFrame):
    register(spark, "image_features", model="pixels", input_size=2)
    table = spark.sql("SELECT image_features(content) FROM encoded_images")
    assert table.columns == ["image_features(content)"]
    assert images.select(image_features("content", model="pixels")).columns == ["image_features(content)"]
    assert {None if row[0] is None else len(row[0]) for row in table.collect()} == {12, None}


def test_wrong_options_fail_when_the_function_is_registered(spark: SparkSession):
    with pytest.raises(FileNotFoundError, match=r"model file not found: nowhere\.onnx"):
        register(spark, "never", model="nowhere.onnx")
    with pytest.raises(ValueError, match="on_error must be null or raise, got never"):
        register(spark, "never", model="pixels", on_error="never")

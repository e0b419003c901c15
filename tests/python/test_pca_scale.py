"""A fit in many pieces: any partitioning, retried tasks, five hundred partitions, more rows later, streams."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from sparkcider import PcaError
from sparkcider.feature import PCA, PCAModel
from sparkcider.spark import moments

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

N, D = 120, 12

ATOL = 1e-9
"""The issue's bound for components whose relative gap exceeds 1e-5."""


def matrix() -> np.ndarray:
    """(N, D) float32 with clear directions, far from the origin."""
    random = np.random.default_rng(8)
    turn = np.linalg.qr(random.normal(size=(D, D)))[0]
    return (random.normal(size=(N, D)) * 2.0 ** -np.arange(D) @ turn + 100).astype(np.float32)


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    rows = [(number, row.tolist()) for number, row in enumerate(matrix())]
    return spark.createDataFrame(rows, "id int, x array<float>").repartition(3).cache()


def pca(**params: Any) -> PCA:
    return PCA(**{"k": 4, "inputCol": "x", "outputCol": "y", **params})


def assert_same(found: PCAModel, expected: PCAModel) -> None:
    assert (found.numRows, found.numInvalid) == (expected.numRows, expected.numInvalid)
    np.testing.assert_allclose(found.pc.toArray(), expected.pc.toArray(), atol=ATOL)
    np.testing.assert_allclose(found.explainedVariance.toArray(), expected.explainedVariance.toArray(), atol=ATOL)


# Any order


@pytest.mark.parametrize("partitions", [1, 2, 7, 40])
@pytest.mark.parametrize("solver", ["auto", "randomized"])
def test_any_partitioning_and_order_gives_the_same_components(frame: DataFrame, partitions: int, solver: str) -> None:
    shuffled = frame.orderBy(F.rand(partitions)).repartition(partitions)
    expected = pca(standardize=True).fit(frame)
    found = pca(standardize=True, solver=solver).fit(shuffled)
    if solver == "randomized":  # converged to its tolerance, not to rounding
        np.testing.assert_allclose(found.explainedVariance, expected.explainedVariance, atol=1e-6)
        again = pca(standardize=True, solver=solver).fit(frame)
        np.testing.assert_allclose(found.pc.toArray(), again.pc.toArray(), atol=ATOL)
    else:
        assert_same(found, expected)


def test_a_retried_task_counts_once(frame: DataFrame, tmp_path: Path) -> None:
    mark = tmp_path / "failed"

    def fail_once(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        yield from batches
        try:
            os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return
        raise RuntimeError("lost after its rows were given")

    assert_same(pca().fit(frame.mapInArrow(fail_once, frame.schema)), pca().fit(frame))
    assert mark.exists()


@pytest.mark.timeout(900)  # a Python task of PySpark costs a tenth of a second, whatever it does
def test_five_hundred_partitions_are_one_summary_for_the_driver(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = 200
    columns = [(F.rand(seed) * (seed + 1)).alias(f"c{seed}") for seed in range(wide)]
    rows = spark.range(0, 500, 1, 500).select(F.array(*columns).alias("x"))
    brought = []
    read = moments.worker.summary_of

    def reading(rows: list[Any], kind: type[Any]) -> Any:
        brought.append(b"".join(bytes(row["data"] or b"") for row in rows))
        return read(rows, kind)

    monkeypatch.setattr(moments.worker, "summary_of", reading)
    model = pca().fit(rows)
    assert model.numRows == 500
    size = 8 * (wide * (wide + 1) // 2 + wide)
    assert len(brought) == 1
    assert len(brought[0]) < 1.1 * size


# More rows later


@pytest.mark.parametrize("standardize", [False, True])
def test_an_update_is_a_fit_to_old_and_new_rows(frame: DataFrame, *, standardize: bool) -> None:
    model = pca(standardize=standardize).fit(frame.where("id < 70"))
    before = model.pc.toArray()
    updated = model.update(frame.where("id >= 70"))
    assert_same(updated, pca(standardize=standardize).fit(frame))
    assert (model.numRows, updated.uid, updated.getOutputCol()) == (70, model.uid, "y")
    np.testing.assert_array_equal(model.pc.toArray(), before)


def test_an_update_by_variance_chooses_k_again(frame: DataFrame) -> None:
    by_share = PCA(variance=0.99, inputCol="x", outputCol="y")
    model = by_share.fit(frame.where("id < 3"))
    assert model.pc.numCols < by_share.fit(frame).pc.numCols
    assert_same(model.update(frame.where("id >= 3")), by_share.fit(frame))


def test_a_loaded_model_can_be_updated(frame: DataFrame, tmp_path: Path) -> None:
    pca().fit(frame.where("id < 70")).save(str(tmp_path / "model"))
    assert_same(PCAModel.load(str(tmp_path / "model")).update(frame.where("id >= 70")), pca().fit(frame))


def test_what_an_update_cannot_do_is_said(spark: SparkSession, frame: DataFrame) -> None:
    with pytest.raises(PcaError, match="a model of the randomized solver keeps no moments to add to"):
        pca(solver="randomized").fit(frame).update(frame)
    model = pca().fit(frame)
    shorter = spark.createDataFrame([([1.0] * (D - 1),)], "x array<float>")
    with pytest.raises(PcaError, match=f"^PCAModel: column x: of 1 rows 1 has {D - 1} values, not {D}: correct"):
        model.update(shorter)
    nulls = spark.createDataFrame([(None,)], "x array<float>")
    assert (model.update(nulls).numRows, model.update(nulls).numInvalid) == (N, 1)


# Streams


@pytest.fixture
def stream(spark: SparkSession, frame: DataFrame, tmp_path: Path) -> DataFrame:
    """The rows as a stream of three files, one per batch."""
    for third in range(3):
        rows = frame.where(f"id % 3 = {third}").coalesce(1)
        rows.write.mode("append").parquet(str(tmp_path / "in"))
    reader = spark.readStream.schema(frame.schema).option("maxFilesPerTrigger", 1)
    return reader.parquet(str(tmp_path / "in"))


def test_a_stream_of_updates_ends_where_a_fit_does(stream: DataFrame, frame: DataFrame, tmp_path: Path) -> None:
    models: list[PCAModel] = []

    def update(batch: DataFrame, _number: int) -> None:
        models.append(models[-1].update(batch) if models else pca().fit(batch))

    writer = stream.writeStream.foreachBatch(update).option("checkpointLocation", str(tmp_path / "checkpoint"))
    assert writer.trigger(availableNow=True).start().awaitTermination(240)
    assert [model.numRows for model in models] == [N // 3, 2 * N // 3, N]
    assert_same(models[-1], pca().fit(frame))


def test_a_stream_is_transformed(spark: SparkSession, stream: DataFrame, frame: DataFrame, tmp_path: Path) -> None:
    model = pca().fit(frame)
    writer = model.transform(stream).writeStream.option("checkpointLocation", str(tmp_path / "checkpoint"))
    assert writer.trigger(availableNow=True).start(str(tmp_path / "out"), "parquet").awaitTermination(240)
    found = sorted(spark.read.parquet(str(tmp_path / "out")).select("id", "y").collect())
    expected = sorted(model.transform(frame).select("id", "y").collect())
    assert [row.y for row in found] == [row.y for row in expected]

"""Nearest neighbours: exact, with ties in order, the same over Arrow and on Spark, and by the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor, findings
from sparkcider.cli import main
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def table_of(vectors: np.ndarray, label: list[str] | None = None) -> pa.Table:
    features = pa.array(vectors.astype(np.float32).tolist(), pa.list_(pa.float32()))
    columns = {"path": [f"{at:05}" for at in range(len(vectors))], "features": features}
    return pa.table(columns if label is None else {**columns, "label": label})


def brute_force(vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    products = unit @ unit.T
    np.fill_diagonal(products, -np.inf)
    order = np.argsort(-products, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(products, order, axis=1)


def assert_nearest(found: pa.Table, vectors: np.ndarray, k: int) -> None:
    """Each neighbour is as near as brute force in float64 finds, up to the rounding of float32."""
    _, products = brute_force(vectors.astype(np.float64), k)
    np.testing.assert_allclose(found["similarity"].to_numpy().reshape(-1, k), products, atol=2e-6)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    ours, theirs = (np.array([int(name) for name in found[column].to_pylist()]) for column in ("path", "neighbor"))
    assert (ours != theirs).all()
    np.testing.assert_allclose((unit[ours] * unit[theirs]).sum(axis=1), found["similarity"].to_numpy(), atol=2e-6)


def test_neighbors_are_those_of_brute_force():
    vectors = np.random.default_rng(0).standard_normal((1300, 40))
    found = findings.neighbors(table_of(vectors, ["x"] * 1300), 7)
    assert found.schema.names == ["path", "rank", "neighbor", "neighbor_label", "similarity"]
    assert found["rank"].to_pylist() == list(range(1, 8)) * 1300
    assert_nearest(found, vectors, 7)


def test_neighbors_of_real_embeddings_are_those_of_brute_force(test_data: Path):
    files = sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))[::2]
    model = FeatureExtractor(
        str(test_data / "models" / "mobilenetv2_imagenet.onnx"), normalization="tf", intra_threads=2
    )
    features, _ = model.extract(pa.array([path.read_bytes() for path in files]))
    vectors = features.flatten().to_numpy().reshape(len(files), -1)
    assert_nearest(findings.neighbors(table_of(vectors), 10), vectors, 10)


def test_ties_go_to_the_earlier_row():
    found = findings.neighbors(table_of(np.ones((5, 3))), 2)
    assert found["neighbor"].to_pylist() == [f"{at:05}" for at in (1, 2, 0, 2, 0, 1, 0, 1, 0, 1)]


def test_nearest_takes_queries_of_any_kind_and_says_what_is_wrong_with_them():
    vectors = np.random.default_rng(3).standard_normal((300, 8)).astype(np.float32)
    rows = table_of(vectors, ["y"] * 300)
    expected = findings.nearest(rows, vectors[[5, 9]], 3)
    assert [row["path"] for row in expected.to_pylist() if row["rank"] == 1] == ["00005", "00009"]
    assert expected["query"].to_pylist() == [0, 0, 0, 1, 1, 1]
    for queries in (vectors[[5, 9]].tolist(), pa.array(vectors[[5, 9]].tolist(), pa.list_(pa.float32()))):
        assert findings.nearest(rows, queries, 3).equals(expected)
    with pytest.raises(ValueError, match="queries must have 8 features as the rows have, got 5"):
        findings.nearest(rows, np.ones((1, 5)))
    assert findings.nearest(rows.slice(0, 0), vectors[:1]).num_rows == 0
    with pytest.raises(ValueError, match="1 of 2 have none"):
        findings.nearest(rows, pa.array([[1.0] * 8, None]))
    with pytest.raises(ValueError, match="k must be at least 1"):
        findings.nearest(rows, vectors, 0)


def test_spark_finds_the_same_neighbors_in_pairs_of_blocks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    from sparkcider import functions
    from sparkcider.spark import neighbors

    monkeypatch.setattr(neighbors, "BLOCK_ROWS", 60)
    vectors = np.random.default_rng(8).standard_normal((200, 12))
    rows = table_of(vectors, [f"label {at % 3}" for at in range(200)])
    frame = spark.createDataFrame(
        [(*row.values(),) for row in rows.to_pylist()], "path string, features array<float>, label string"
    )
    found = functions.neighbors(frame, 4).orderBy("path", "rank").toPandas()
    expected = findings.neighbors(rows, 4).to_pandas()
    assert found.drop(columns="similarity").equals(expected.drop(columns="similarity"))
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)


def test_spark_finds_the_same_nearest(spark: SparkSession):
    from sparkcider import functions

    vectors = np.random.default_rng(9).standard_normal((150, 6)).astype(np.float32)
    rows = table_of(vectors, ["z"] * 150)
    values = [(*row.values(),) for row in rows.to_pylist()]
    frame = spark.createDataFrame(
        [*values, ("bad", None, None)], "path string, features array<float>, label string"
    ).repartition(3)
    found = functions.nearest(frame, vectors[:2], 5).orderBy("query", "rank").toPandas()
    expected = findings.nearest(rows, vectors[:2], 5).to_pandas()
    assert found.drop(columns="similarity").equals(expected.drop(columns="similarity"))
    np.testing.assert_allclose(found.similarity, expected.similarity, atol=1e-6)
    with pytest.raises(ValueError, match="expected the columns path and features, found path"):
        functions.neighbors(frame.select("path"))


def test_cosines_are_at_most_1(spark: SparkSession):
    from sparkcider import functions

    vectors = np.repeat(np.random.default_rng(3).standard_normal((60, 40)), 7, axis=0)
    signed = np.concatenate([vectors, -vectors[:7]]).astype(np.float32)
    rows = table_of(signed)
    frame = spark.createDataFrame([(*row.values(),) for row in rows.to_pylist()], "path string, features array<float>")
    for found in (
        findings.neighbors(rows, len(signed) - 1)["similarity"].to_numpy(),
        findings.nearest(rows, signed, len(signed))["similarity"].to_numpy(),
        functions.neighbors(frame, 6).toPandas()["similarity"].to_numpy(),
        functions.nearest(frame, signed[:50], 7).toPandas()["similarity"].to_numpy(),
    ):
        assert found.max() == 1
        assert found.min() >= -1


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nearest")
    write_samples(folder / "images", images_per_label=4)
    words = ["--input", str(folder / "images"), "--output", str(folder / "out"), "--model", "fruits-tiny"]
    assert main(["run", *words, "--engine", "embedded", "--quiet"]) == 0
    return folder


def test_the_command_finds_an_image_in_a_result(result: Path, capsys: pytest.CaptureFixture[str]):
    image = next((result / "images").glob("Lime/*.jpg"))
    assert main(["nearest", str(result / "out"), "--image", str(image), "--k", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["rank", "similarity", "label", "path"]
    assert lines[1].split()[:3] == ["1", "1.0000", "Lime"]
    assert lines[1].endswith(str(image))
    assert main(["nearest", str(result / "out"), "--image", str(image), "--k", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [row["rank"] for row in found] == [1, 2]
    assert found[0]["path"] == f"file:{image}"


def test_the_command_says_what_is_wrong(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    for words, message in (
        ([str(result / "out"), "--image", str(bad)], "cannot be embedded: unknown format"),
        ([str(tmp_path), "--image", str(bad)], "has no summary.json"),
        ([str(result / "out"), "--image", str(bad), "--model", "pixels"], "was made with a model of checksum"),
    ):
        assert main(["nearest", *words]) == 2
        assert message in capsys.readouterr().err

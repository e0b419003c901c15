"""`image_features` and `ImageFeaturizer` over paths: fetched in the Python workers, on disks and in S3."""

from __future__ import annotations

import base64
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from object_store import ObjectStore, serving
from pyspark.sql.functions import unbase64
from spark_images import GOOD, N_ROWS, TINY_MODEL, encoded_images

from sparkcider import FeatureExtractor, ImageDecodeError
from sparkcider.cli import explain
from sparkcider.columns import is_base64_image
from sparkcider.feature import ImageFeaturizer
from sparkcider.functions import image_features
from sparkcider.samples import encode_jpeg
from sparkcider.spark import image_slices, udf, worker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

PIXELS = worker.ModelFile(None, "pixels", (("input_size", 2),))


class ElsewhereWorker:
    """The worker on a machine with another environment: the keys of a store."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment

    def embed(self, *args: Any, **options: Any) -> Iterator[Any]:
        os.environ.update(self.environment)
        return worker.embed(*args, **options)

    def embed_pandas(self, *args: Any, **options: Any) -> Iterator[Any]:
        os.environ.update(self.environment)
        return worker.embed_pandas(*args, **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images as files, by their ids; the null one is missing."""
    folder = tmp_path_factory.mktemp("images") / "a b%20é"
    folder.mkdir()
    for number, content in encoded_images():
        if content is not None:
            (folder / f"{number}.jpg").write_bytes(content)
    return folder


def expected() -> tuple[list[Any], list[Any]]:
    features, errors = FeatureExtractor(str(TINY_MODEL)).extract(pa.array([content for _, content in encoded_images()]))
    return features.to_pylist(), errors.to_pylist()


def outcome_of(frame: DataFrame, **options: Any) -> list[Any]:
    column = image_features("path", model=TINY_MODEL, with_error=True, **options)
    return frame.select("id", column.alias("f")).select("id", "f.*").orderBy("id").collect()


@pytest.mark.parametrize("start", ["", "file:", "file://"])
def test_files_give_what_their_content_gives(spark: SparkSession, folder: Path, start: str):
    rows = [(number, f"{start}{folder}/{number}.jpg") for number in range(N_ROWS)] + [(N_ROWS, None)]
    frame = spark.createDataFrame(rows, "id int, path string").repartition(4)
    found = outcome_of(frame)
    features, errors = expected()
    assert [row.features for row in found] == [*features, None]
    assert [row.error for row in found] == [*errors[: GOOD + 1], "not found", "null path"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The images as objects `b/0.jpg`, in a store that only the workers know."""
    objects = {f"b/{number}.jpg": content for number, content in encoded_images() if content is not None}
    with serving(ObjectStore(objects)) as store:
        monkeypatch.setattr(udf, "worker", ElsewhereWorker(store.environment))
        yield store


def test_objects_are_fetched_in_the_worker(spark: SparkSession, bucket: ObjectStore):
    bucket.faults.update({"b/0.jpg": ["503"], "b/1.jpg": ["reset"], "b/2.jpg": ["half"], "b/3.jpg": ["500", "503"]})
    bucket.always.update({"b/4.jpg": "403 AccessDenied"})
    rows = [(number, f"s3a://b/{number}.jpg") for number in range(N_ROWS)]
    found = outcome_of(spark.createDataFrame(rows, "id int, path string").repartition(2))
    features, errors = expected()
    features[4], errors[4] = (
        None,
        "no permission: AccessDenied: said by the store",
    )
    errors[-1] = "not found"
    assert [row.features for row in found] == features
    assert [row.error for row in found] == errors


@pytest.mark.parametrize("in_flight", [1, 6])
def test_as_many_are_fetched_at_a_time_as_asked_for(spark: SparkSession, bucket: ObjectStore, in_flight: int):
    bucket.delay = 0.03
    rows = [(number, f"s3://b/{number % GOOD}.jpg") for number in range(60)]
    frame = spark.createDataFrame(rows, "id int, path string").coalesce(1)
    if in_flight == 1:
        found = outcome_of(frame, in_flight=1)
        assert all(row.error is None for row in found)
    else:
        stage = ImageFeaturizer(inputCol="path", outputCol="f", model="pixels", inFlight=in_flight)
        assert all(row.f is not None for row in stage.transform(frame).collect())
    assert bucket.most_at_once == in_flight


def test_bad_files_stop_a_job_that_asks_for_it(spark: SparkSession, folder: Path):
    frame = spark.createDataFrame([(f"{folder}/0.jpg",), (f"{folder}/gone.jpg",)], "path string").coalesce(1)
    with pytest.raises(Exception, match=r"ImageDecodeError: image 1 of this task: not found"):
        frame.select(image_features("path", model="pixels", on_error="raise")).collect()


@pytest.mark.parametrize("path", ["images/a.jpg", "wasb:/images/a.jpg", "a.jpg", ""])
def test_a_string_that_is_no_path_fails_the_job(spark: SparkSession, path: str):
    frame = spark.createDataFrame([(path,)], "path string")
    message = rf"TypeError: expected an absolute path or a URI such as s3://bucket/key \(with .*\), got '{path}'"
    with pytest.raises(Exception, match=message):
        frame.select(image_features("path", model="pixels")).collect()


def jpeg(side: int) -> bytes:
    return encode_jpeg(np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8))


@pytest.mark.parametrize("side", [1, 8, 100])
@pytest.mark.parametrize("head", ["", "data:image/jpeg;base64,"])
def test_a_column_of_base64_fails_the_job_and_says_how_to_decode_it(spark: SparkSession, side: int, head: str):
    rows = [(None,), (head + base64.b64encode(jpeg(side)).decode(),)]
    frame = spark.createDataFrame(rows, "image string")
    with pytest.raises(Exception, match=r"TypeError: expected a column of paths or of binary, got .*") as caught:
        frame.select(image_features("image", model="pixels", input_size=2)).collect()
    line = explain(caught.value)
    assert "unbase64(...)" in line
    assert len(line) <= 200
    if not head:
        decoded = frame.select(image_features(unbase64("image"), model="pixels", input_size=2).alias("f")).collect()
        assert [row.f and len(row.f) for row in decoded] == [None, 12]


def test_a_path_that_begins_as_base64_does_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also one whose whole text is the base64 of a JPEG: what exists is never refused."""
    text = base64.b64encode(b"\xff\xd8\xff\xe0" + bytes(80)).decode()
    assert is_base64_image(text)
    exists = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: exists(tmp_path if path == text else path))
    [piece] = embed([pa.array(["/9j/x.jpg", "/9j/abc", text])])
    assert piece.field("error").to_pylist() == ["not found"] * 3


@pytest.mark.parametrize("text", ["/" + "a" * 5000, "/dev/" + "a" * 300, "/" + "a/" * 3000, "file:/" + "a" * 5000])
def test_a_text_that_is_longer_than_a_path_is_no_file_that_is_missing(text: str):
    with pytest.raises(TypeError, match=r"got a text of [\d,]+ characters, more than a path can have") as caught:
        embed([pa.array([text])])
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("uri", ["s3://b/" + "a" * 5000, "https://a.example/" + "a" * 5000])
def test_a_long_uri_is_not_a_path_that_is_too_long(uri: str):
    assert image_slices._path(uri) == uri


@pytest.mark.parametrize("in_flight", [0, 1025, 2.5, True, "8"])
def test_a_wrong_in_flight_fails_before_any_job(spark: SparkSession, in_flight: Any):
    assert spark is not None
    with pytest.raises(ValueError, match="in_flight must be a whole number from 1 to 1,024, got "):
        image_features("path", model="pixels", in_flight=in_flight)


# The worker without Spark


def embed(batches: list[pa.Array], **options: Any) -> list[pa.Array]:
    return list(worker.embed(iter(batches), PIXELS, str, **{"on_error": "null", "with_error": True, **options}))


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), getattr(pa, "string_view", pa.string)()])
def test_the_worker_knows_paths_by_their_type(folder: Path, kind: pa.DataType):
    [piece] = embed([pa.array([f"{folder}/0.jpg", None, "/gone"], kind)])
    assert piece.field("error").to_pylist() == [None, "null path", "not found"]
    assert len(piece.field("features")[0].as_py()) == 12


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.null()])
def test_nulls_and_batches_without_rows_of_any_type(kind: pa.DataType):
    found = embed([pa.array([], kind), pa.array([None, None], kind), pa.array([], kind)])
    assert [error for piece in found for error in piece.field("error").to_pylist()] == [
        "null path" if kind == pa.string() else "null image"
    ] * 2
    assert [len(piece) for piece in embed([pa.array([], kind)])] == [0]


@pytest.mark.parametrize("first", [[], [None] * 300])
def test_pandas_tells_paths_by_their_values(folder: Path, first: list[None]):
    """Spark before 4.1 hands over Series, whose type says nothing where all is null."""
    good = f"{folder}/0.jpg"
    batches = [pd.Series(first, dtype=object), pd.Series([good, None]), pd.Series([None], dtype=object)]
    frames = list(worker.embed_pandas(iter(batches), PIXELS, str, on_error="null", with_error=True))
    errors = [None if pd.isna(error) else error for frame in frames for error in frame["error"]]
    assert errors == ["null path"] * len(first) + [None, "null path", "null path"]
    content = (folder / "0.jpg").read_bytes()
    batches = [pd.Series(first, dtype=object), pd.Series([content, None])]
    frames = list(worker.embed_pandas(iter(batches), PIXELS, str, on_error="null", with_error=True))
    assert pd.concat(frames)["error"].iloc[-1] == "null image"


def test_a_column_of_numbers_is_a_type_error():
    with pytest.raises(TypeError, match=r"expected a column of binary .* or string .*, got int64"):
        embed([pa.array([1, 2])])


def test_fetched_images_come_in_slices_of_rows_and_bytes(folder: Path, monkeypatch: pytest.MonkeyPatch):
    paths = pa.array([f"{folder}/{number % GOOD}.jpg" for number in range(600)])
    assert [len(piece) for piece in embed([paths[:500], paths[500:]])] == [16, 32, 64, 128, 256, 104]
    content = (folder / "0.jpg").read_bytes()
    monkeypatch.setattr(image_slices, "SLICE_BYTES", 3 * len(content))
    pieces = embed([pa.array([f"{folder}/0.jpg"] * 10)])
    assert [len(piece) for piece in pieces] == [3, 3, 3, 1]


def test_the_row_of_a_bad_file_is_counted_over_slices(folder: Path):
    paths = [f"{folder}/0.jpg"] * 301
    with pytest.raises(ImageDecodeError, match="image 301 of this task: not found"):
        embed([pa.array(paths), pa.array(["/gone"])], on_error="raise")


def test_files_are_fetched_while_others_are_embedded(monkeypatch: pytest.MonkeyPatch):
    """A slice is on its way while the slice before it, and the batch before it, is worked on."""
    content = encoded_images()[0][1]
    assert content is not None
    store = ObjectStore({f"b/{number}": content for number in range(400)}, delay=0.005)
    monkeypatch.setattr(image_slices, "FIRST_ROWS", 100)
    monkeypatch.setattr(image_slices, "SLICE_ROWS", 100)
    with serving(store):
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        uris = [f"s3://b/{number}" for number in range(400)]
        pieces = worker.embed(
            iter([pa.array(uris[:150]), pa.array(uris[150:])]), PIXELS, str, on_error="raise", with_error=False
        )
        assert len(next(pieces)) == 100
        deadline = time.monotonic() + 30
        while sum(store.requests.values()) < 2 * 400 and time.monotonic() < deadline:
            time.sleep(0.01)  # Spark takes its time with the first slice
        assert sum(store.requests.values()) == 2 * 400
        assert [len(piece) for piece in pieces] == [100, 100, 100]
    assert not [thread for thread in threading.enumerate() if thread.name == "sparkcider-read"]

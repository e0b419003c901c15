"""`list_images`: what Spark lists, once, without reading."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

import pytest
from object_store import ObjectStore, serving

from sparkcider.functions import image_features, list_images
from sparkcider.spark import listing
from sparkcider.spark.listing import listed, listed_by_spark
from sparkcider.storage.listing import LISTING, list_files

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

NAMES = [
    "Lime/1.jpg", "Lime/a b%20c.jpg", "Lime/2.png", "Fig 1/3.jpg", "Fig 1/deep/4.jpg", "5.jpg", "_h/6.jpg",
    "Lime/_7.jpg", "Lime/_metadata.jpg", "Lime/empty.jpg", "é/n\nl.jpg",
    "Lime/; isDirectory=false; length=3; x modification_time=4;.jpg",
]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("listed")
    for number, name in enumerate(NAMES):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"" if "empty" in name else b"x" * (number + 1))
        os.utime(path, ns=(0, 1_700_000_000_123_456_789 + number))
    return folder


def test_the_frame_has_what_spark_knows_of_the_files(spark: SparkSession, folder: Path):
    images = list_images(spark, str(folder))
    kinds = {field.name: field.dataType.simpleString() for field in images.schema}
    assert kinds == {"path": "string", "label": "string", "length": "bigint", "modificationTime": "timestamp"}
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    expected = reader.load(str(folder)).select("path", "length", "modificationTime").orderBy("path").collect()
    found = images.where("length > 0").select("path", "length", "modificationTime").collect()
    assert found == expected
    assert [row.path for row in images.where("length = 0").collect()] == [f"file:{folder}/Lime/empty.jpg"]
    labels = {row.path[len(f"file:{folder}/") :]: row.label for row in images.collect()}
    assert labels.pop("5.jpg") == folder.name
    assert all(label == name.split("/")[-2] for name, label in labels.items())
    assert images.rdd.getNumPartitions() <= 2


@pytest.mark.parametrize("glob", [None, "*.jpg", "{1,5}.jpg", "*.gif"])
def test_the_listing_is_that_of_a_job_without_spark(spark: SparkSession, folder: Path, glob: str | None):
    table = listed(spark, str(folder), glob)
    assert table.schema == LISTING
    assert table == list_files(str(folder), glob=glob) == listed_by_spark(spark, str(folder), glob)
    assert list_images(spark, str(folder), glob=glob).count() == len(table)


def test_an_index_of_another_kind_is_asked_for_columns(
    spark: SparkSession, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(listing, "_STATUS", re.compile("what another kind of index says"))
    files = list_files(str(folder))
    assert listed_by_spark(spark, str(folder), None) == files.filter([length.as_py() > 0 for length in files["length"]])
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    reader.load(str(folder)).select("path", "length", "modificationTime").explain()
    plan = capsys.readouterr().out
    assert "ReadSchema: struct<path:string,modificationTime:timestamp,length:bigint>" in plan  # no content is read


def test_links_that_lead_back_are_not_followed(spark: SparkSession, tmp_path: Path):
    """Spark's own reader follows one 40 times, and does not end with two."""
    names = ["cat/0.jpg", "cat/1.jpg", "dog/2.jpg"]
    for name in [*names, "_SUCCESS", ".hidden/3.jpg", "dog/_x.jpg"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "cat/latest").symlink_to("..")
    (tmp_path / "dog/up").symlink_to(tmp_path)
    (tmp_path / "dog/cats").symlink_to(tmp_path / "cat")
    expected = [f"file:{tmp_path}/{name}" for name in [*names, "dog/cats/0.jpg", "dog/cats/1.jpg"]]
    for uri in (str(tmp_path), f"file://{tmp_path}", f"{tmp_path}/[a-z]*"):
        assert [row.path for row in list_images(spark, uri).collect()] == expected
        assert list_files(uri)["path"].to_pylist() == expected


def test_labels_are_found_by_pythons_expressions(spark: SparkSession, folder: Path):
    images = list_images(spark, f"{folder}/{{Lime,Fig 1}}", label_regex=r"/(?P<name>[A-Z][a-z]+)(?: \d)?/[^/]*\.jpg$")
    assert {(row.path.rpartition("/")[2], row.label) for row in images.where("length < 6").collect()} >= {
        ("1.jpg", "Lime"),
        ("2.png", None),
        ("3.jpg", "Fig"),
        ("4.jpg", None),
    }


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"label_regex": "("}, ValueError, r"label_regex \( is not a regular expression of Python: "),
        ({"label_regex": "a"}, ValueError, "label_regex a must have a group"),
        ({"uri": "/nothing/here"}, FileNotFoundError, "^input file:/nothing/here does not exist$"),
        ({"uri": "/nothing/h*"}, FileNotFoundError, r"^input file:/nothing/h\* does not exist$"),
        ({"uri": "gs://KEY:SECRET@b/a"}, ValueError, "^gs://b/a has a password in it"),
    ],
)
def test_what_cannot_be_listed_is_an_error_at_once(
    spark: SparkSession, folder: Path, options: dict[str, Any], error: type[Exception], message: str
):
    with pytest.raises(error, match=message):
        list_images(spark, **{"uri": str(folder), **options})


def test_a_store_that_spark_has_no_connector_for_is_listed(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    """hadoop-aws is not there: pyarrow lists on the driver, and the workers fetch with it."""
    with serving(ObjectStore({f"b/images/{number % 3}/{number}.jpg": b"x" * number for number in range(30)})) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        images = list_images(spark, "s3://b/images", glob="*[05].jpg", label_regex="images/(.)")
        found = [(row.path, row.label, row.length) for row in images.collect()]
        numbers = sorted((str(number) for number in range(0, 30, 5)), key=lambda n: (int(n) % 3, n))
        assert found == [(f"s3://b/images/{int(n) % 3}/{n}.jpg", str(int(n) % 3), int(n)) for n in numbers]
        assert not [request for request in store.requests if request.startswith(("GET b/images/", "HEAD b/images/"))]


def test_listed_files_are_embedded_where_they_lie(spark: SparkSession, folder: Path):
    outcome = image_features("path", model="pixels", with_error=True).alias("f")
    rows = list_images(spark, str(folder), glob="?.*").select("path", outcome).orderBy("path").collect()
    assert [row.f.error[:14] for row in rows] == ["unknown format"] * 5


def test_labels_are_composed_and_paths_stay(spark: SparkSession, tmp_path: Path):
    (tmp_path / "Cafe\u0301").mkdir()
    (tmp_path / "Cafe\u0301" / "1.jpg").write_bytes(b"x")
    row = list_images(spark, str(tmp_path)).first()
    assert row is not None
    assert (row.label, row.path) == ("Caf\u00e9", f"file:{tmp_path}/Cafe\u0301/1.jpg")

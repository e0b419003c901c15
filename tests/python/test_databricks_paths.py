"""Paths of Databricks: `dbfs:/` names files that are mounted on every node."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkcider import FeatureExtractor, job, models
from sparkcider.job import JobConfig, choose_engine
from sparkcider.samples import write_samples
from sparkcider.spark import worker
from sparkcider.storage.fetch import fetch
from sparkcider.storage.listing import list_files
from sparkcider.storage.uri import mounted

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What Databricks has at /dbfs."""
    monkeypatch.setattr("sparkcider.storage.uri.DBFS_MOUNT", str(tmp_path / "dbfs"))
    (tmp_path / "dbfs").mkdir()
    return tmp_path / "dbfs"


def test_volumes_and_the_root_have_their_mounts():
    assert mounted("dbfs:/Volumes/main/default/images") == "file:/Volumes/main/default/images"
    assert mounted("dbfs:///FileStore/a b.onnx") == "file:/dbfs/FileStore/a b.onnx"
    assert mounted("/Volumes/main") == "/Volumes/main"


def test_a_model_is_found(mount: Path):
    model = models.available()["fruits-tiny"]
    (mount / "net.onnx").write_bytes(model.read_bytes())
    assert models.resolve("dbfs:/net.onnx") == str(mount / "net.onnx")
    assert FeatureExtractor("dbfs:/net.onnx").checksum == FeatureExtractor("fruits-tiny").checksum
    with pytest.raises(FileNotFoundError, match=r"model file not found: .*/dbfs/none\.onnx"):
        models.resolve("dbfs:/none.onnx")


def test_images_are_listed_and_fetched(mount: Path):
    write_samples(mount / "images", images_per_label=1)
    assert len(list_files("dbfs:/images")) == 21
    (found,) = fetch(["dbfs:/images/Lime/000.jpg"])
    assert found.content == (mount / "images" / "Lime" / "000.jpg").read_bytes()
    batches = iter([pa.array(["dbfs:/images/Lime/000.jpg", "dbfs:/images/none.jpg"])])
    pixels = worker.ModelFile(None, "pixels", ())
    (rows,) = worker.embed(batches, pixels, str, on_error="null", with_error=True)
    assert rows.field("error_kind").to_pylist() == [None, "missing"]


def test_the_embedded_job_reads_and_writes_there(mount: Path):
    write_samples(mount / "images", images_per_label=2)
    job.run(JobConfig(input="dbfs:/images", output="dbfs:/out", model="fruits-tiny", engine="embedded"))
    assert pq.read_table(mount / "out" / "features").num_rows == 41
    assert (mount / "out" / "report.html").is_file()


def test_spark_reads_it_where_nothing_else_is_said():
    config = JobConfig(input="dbfs:/images", output="dbfs:/out", model="pixels")
    assert choose_engine(config, environment={}).engine == "spark"

"""Parquet tables of images as the input of a job: bounded memory, and the columns that people have."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkcider.job import JobConfig, run
from sparkcider.job.source import list_images
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

IMAGE_BYTES = 100_000
READ = r"""
import re, sys
from pathlib import Path
from sparkcider.job import JobConfig
from sparkcider.job.source import list_images
images = list_images(JobConfig(input=sys.argv[1], output="out", model="pixels", content_column="content"))
rows = sum(block.keys.num_rows for block in images.blocks())
peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
print(rows, int(peak[1]) // 1024)
"""
"""Reads a table as a job does; prints its rows and the peak of memory in MB. `getrusage` counts the parent's, too."""


def write_table(path: Path, n_images: int, **options: Any) -> Path:
    """A file of one row group of random bytes."""
    random = np.random.default_rng(0)
    content = pa.array([random.bytes(IMAGE_BYTES) for _ in range(n_images)], pa.binary())
    table = pa.table({"path": [f"a/{at}.jpg" for at in range(n_images)], "content": content})
    pq.write_table(table, path, row_group_size=n_images, use_dictionary=False, **options)
    return path


def peak(path: Path, n_images: int) -> int:
    if not sys.platform.startswith("linux"):
        pytest.skip("needs /proc")
    done = subprocess.run([sys.executable, "-c", READ, str(path)], capture_output=True, text=True, check=True)
    rows, megabytes = map(int, done.stdout.split())
    assert rows == n_images
    return megabytes


def test_memory_does_not_grow_with_a_row_group(tmp_path: Path):
    small = peak(write_table(tmp_path / "small.parquet", 200, write_batch_size=8), 200)
    large = peak(write_table(tmp_path / "large.parquet", 3000, write_batch_size=8), 3000)  # 300 MB
    assert large < small + 60


def test_memory_does_not_grow_with_a_file_of_large_pages(tmp_path: Path):
    small = peak(write_table(tmp_path / "small.parquet", 600, write_batch_size=200), 600)
    large = peak(write_table(tmp_path / "large.parquet", 3000, write_batch_size=200), 3000)
    assert large < small + 60


def config(path: Path, **options: Any) -> JobConfig:
    settings = {"output": f"{path.parent}/out", "model": "pixels", "pca_k": 2, "content_column": "content", **options}
    return JobConfig(input=str(path), engine="embedded", **settings)


@pytest.mark.parametrize(("codec", "factor"), [("NONE", 1), ("SNAPPY", 2)])
def test_the_memory_of_a_large_page_is_said_before_the_job_starts(tmp_path: Path, codec: str, factor: int):
    path = write_table(tmp_path / "a.parquet", 1000, compression=codec)
    images = list_images(config(path))
    need = factor * 1000 * (IMAGE_BYTES + 4) / 1e6
    assert images.memory_note() == (
        f"memory    reading {path} takes about {need:,.0f} MB at a time beside the workers: a row group has 100 MB of "
        "images in large pages; pyarrow writes small ones with write_batch_size=8"
    )
    lines: list[str] = []
    with pytest.raises(ValueError, match="no image among 1,000 files"):  # they are random bytes
        run(config(path, pca=False, pca_k=None, report=False), progress=lines.append)
    notes = [line.startswith("memory ") for line in lines]
    assert notes.count(True) == 1
    assert notes.index(True) < next(at for at, line in enumerate(lines) if line.startswith("features "))


def test_small_pages_need_no_word(tmp_path: Path):
    assert list_images(config(write_table(tmp_path / "a.parquet", 1000, write_batch_size=8))).memory_note() is None


def test_the_size_of_a_dictionary_page_counts(tmp_path: Path):
    random = np.random.default_rng(0)
    table = pa.table({"path": ["a"] * 1000, "content": [random.bytes(IMAGE_BYTES) for _ in range(1000)]})
    pq.write_table(table, tmp_path / "a.parquet", compression="NONE")
    assert "takes about 100 MB" in (list_images(config(tmp_path / "a.parquet")).memory_note() or "")


# Columns


def images_of(n: int) -> list[bytes]:
    random = np.random.default_rng(1)
    return [encode_png(random.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(n)]


def hugging_face(path: Path) -> Path:
    """As `datasets` writes images."""
    rows = [{"bytes": image, "path": None if at == 0 else f"{at}.png"} for at, image in enumerate(images_of(6))]
    image = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": image, "label": pa.array([0, 1, 2] * 2)}), path)
    return path


@pytest.mark.parametrize("engine", ["embedded", "spark"])
@pytest.mark.parametrize("options", [{"content_column": "image"}, {"content_column": "image.bytes"}])
def test_images_of_hugging_face_are_taken(
    request: pytest.FixtureRequest, tmp_path: Path, engine: str, options: dict[str, str]
):
    session: SparkSession | None = request.getfixturevalue("spark") if engine == "spark" else None
    path = hugging_face(tmp_path / "a.parquet")
    path_column = None if options["content_column"] == "image" else "image.path"
    settings = JobConfig(
        input=str(path), output=str(tmp_path / "out"), model="pixels", pca_k=2, engine=engine, path_column=path_column,
        **options,
    )  # fmt: skip
    summary = run(settings, spark=session, progress=lambda _line: None)
    assert (summary["images"], summary["errors"]) == (6, 0)
    paths = pq.read_table(tmp_path / "out" / "features")["path"].to_pylist()
    assert sorted(paths, key=str) == ["1.png", "2.png", "3.png", "4.png", "5.png", None]


@pytest.mark.parametrize("kind", ["large_binary", "binary_view", "dictionary"])
def test_binary_of_every_kind_is_an_image(tmp_path: Path, kind: str):
    if kind == "binary_view" and not hasattr(pa, "binary_view"):
        pytest.skip("this pyarrow has no binary_view")
    images = pa.array(images_of(3))
    column = images.dictionary_encode() if kind == "dictionary" else images.cast(getattr(pa, kind)())
    pq.write_table(pa.table({"path": pa.array(["a", "b", "c"]).dictionary_encode(), "content": column}), tmp_path / "a")
    blocks = list(list_images(config(tmp_path / "a")).blocks())
    assert [path for block in blocks for path in block.keys.column("path").to_pylist()] == ["a", "b", "c"]
    assert [image for block in blocks for image in block.contents.images.to_pylist()] == images.to_pylist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "path_column path is not a column of {path}; it has image, content"),
        ({"path_column": "image"}, "content_column content must be binary .*, got string: decode base64 into a column"),
        ({"path_column": "image", "content_column": "image.none"}, "image.none is not a column of {path}; it has im"),
    ],
)
def test_wrong_columns_are_told_what_there_is(tmp_path: Path, options: dict[str, str], message: str):
    pq.write_table(pa.table({"image": [{"a": 1}], "content": ["/9j/"]}), tmp_path / "a.parquet")
    with pytest.raises((ValueError, TypeError), match=message.format(path=tmp_path / "a.parquet")):
        list_images(config(tmp_path / "a.parquet", **options))


def test_a_file_without_the_column_is_named_before_the_job_starts(tmp_path: Path):
    folder = tmp_path / "table"
    folder.mkdir()
    pq.write_table(pa.table({"path": ["a"], "content": images_of(1)}), folder / "1.parquet")
    pq.write_table(pa.table({"path": ["b"], "image": images_of(1)}), folder / "2.parquet")
    with pytest.raises(ValueError, match=rf"content is not a column of {folder}/2\.parquet; it has path, image"):
        list_images(config(folder))

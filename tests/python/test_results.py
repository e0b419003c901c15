"""A result is there whole or not at all, by each of the ways that files are reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable

import pytest

from sparkcider.job import results
from sparkcider.job.lock import LOCK
from sparkcider.job.results import unfinished
from sparkcider.storage.files import ArrowFiles, Files
from sparkcider.storage.hadoop import HadoopFiles, files_of, qualified

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


@pytest.fixture(params=["arrow", "hadoop"])
def files(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Files:
    uri = f"file:{tmp_path}"
    return ArrowFiles(uri) if request.param == "arrow" else HadoopFiles(spark, uri)


@pytest.fixture(params=["in one step", "part by part"])
def renamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Local disks as they are, and as if they were an object store, where no folder is renamed."""
    if request.param == "part by part":
        monkeypatch.setattr(results, "RENAMED_IN_ONE_STEP", ())


def write_result(files: Files, folder: str, text: bytes) -> None:
    for name in ("features", "pca-model"):
        files.make_folder(f"{folder}/{name}")
        files.write(f"{folder}/{name}/part-0", text)
    files.write(f"{folder}/summary.json", text)


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".crc"  # Hadoop's checksums
    }


class NetworkDownError(Exception):
    """Comes once, in the middle."""


WHOLE = ["features/part-0", "pca-model/part-0", "summary.json"]


@pytest.mark.usefixtures("renamed")
def test_publishing_puts_a_result_in_place_of_an_older_one(files: Files, tmp_path: Path):
    base = f"file:{tmp_path}"
    for text in (b"old", b"new"):
        write_result(files, f"{base}/.out.new", text)
        results.publish(files, f"{base}/.out.new", f"{base}/out", aside=f"{base}/.out.old")
        assert texts(tmp_path) == {f"out/{name}": text.decode() for name in WHOLE}


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("failing", [2, 3, 4])
def test_a_failure_while_publishing_leaves_the_older_result(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
):
    base = f"file:{tmp_path}"
    write_result(files, f"{base}/out", b"old")
    write_result(files, f"{base}/.out.new", b"new")
    rename: Callable[[str, str], None] = files.rename
    calls: list[str] = []

    def fail_once(source: str, target: str) -> None:
        calls.append(source)
        if len(calls) == failing:
            raise NetworkDownError
        rename(source, target)

    monkeypatch.setattr(files, "rename", fail_once)
    try:
        results.publish(files, f"{base}/.out.new", f"{base}/out", aside=f"{base}/.out.old")
    except NetworkDownError:
        expected = b"old"
    else:
        expected = b"new"
        assert len(calls) < failing
    assert texts(tmp_path / "out") == {name: expected.decode() for name in WHOLE}


def test_the_summary_comes_last_where_folders_are_not_renamed(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(results, "RENAMED_IN_ONE_STEP", ())
    write_result(files, f"file:{tmp_path}/.out.new", b"new")
    moved: list[str] = []
    rename = files.rename
    monkeypatch.setattr(files, "rename", lambda source, target: (moved.append(source), rename(source, target)))
    results.publish(files, f"file:{tmp_path}/.out.new", f"file:{tmp_path}/out", aside="")
    assert [source.rpartition("/")[2] for source in moved] == ["features", "pca-model", "summary.json"]


def test_hadoop_does_not_move_a_folder_into_another(spark: SparkSession, tmp_path: Path):
    files = HadoopFiles(spark, f"file:{tmp_path}")
    for name in ("a", "b"):
        files.make_folder(f"file:{tmp_path}/{name}")
    with pytest.raises(FileExistsError):
        files.rename(f"file:{tmp_path}/a", f"file:{tmp_path}/b")


def test_a_block_that_fails_before_any_feature_leaves_nothing(files: Files, tmp_path: Path):
    def fail() -> None:
        with unfinished(files, f"file:{tmp_path}/a/out", overwrite=False) as partial:
            partial.write_text("summary.json", "{}")
            raise KeyboardInterrupt

    (tmp_path / "a").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [path.name for path in (tmp_path / "a").iterdir() if path.suffix != ".crc"] == []


def test_a_block_that_fails_after_a_part_of_the_features_keeps_it(files: Files, tmp_path: Path):
    def fail() -> None:
        with unfinished(files, f"file:{tmp_path}/out", overwrite=False) as partial:
            assert (tmp_path / "out.partial" / LOCK).exists()
            files.make_folder(partial.child("features"))
            files.write(partial.child("features/part-00000.parquet"), b"rows")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert texts(tmp_path) == {"out.partial/features/part-00000.parquet": "rows"}


def test_an_output_that_appears_meanwhile_is_not_mixed_with(files: Files, tmp_path: Path):
    def race() -> None:
        with unfinished(files, f"file:{tmp_path}/out", overwrite=False) as partial:
            partial.write_text("summary.json", "mine")
            (tmp_path / "out").mkdir()
            (tmp_path / "out" / "theirs").write_text("theirs")

    with pytest.raises(FileExistsError):
        race()
    assert texts(tmp_path / "out") == {"theirs": "theirs"}


@pytest.mark.parametrize("uri", ["file:/", "file:", "s3://bucket"])
def test_a_root_is_not_an_output(files: Files, uri: str):
    with (
        pytest.raises(ValueError, match=f"output {uri} is the root of a file system"),
        unfinished(files, uri, overwrite=True),
    ):
        pass


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/a/b c/", "file:/a/b c"),
        ("/a/100%/é", "file:/a/100%/é"),
        ("file:///a/b%20c", "file:/a/b%20c"),
        ("file:/a/", "file:/a"),
    ],
)
def test_paths_are_named_as_hadoop_names_them(spark: SparkSession, path: str, uri: str):
    assert qualified(spark, path) == uri
    assert qualified(connect_client(), path) == uri


@pytest.mark.parametrize(
    ("path", "uri"),
    [("s3a://bucket/key/", "s3a://bucket/key"), ("hdfs://name/a", "hdfs://name/a")],
)
def test_other_file_systems_keep_their_names_on_connect(path: str, uri: str):
    assert qualified(connect_client(), path) == uri


def test_connect_cannot_reach_a_file_system_that_pyarrow_does_not_know():
    with pytest.raises(ValueError, match=r"wasb://store/ cannot be opened by pyarrow"):
        files_of(connect_client(), "wasb://store/out")


def connect_client() -> Any:
    """Something of the module that Connect's sessions come from; they have no JVM to ask."""
    return type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()

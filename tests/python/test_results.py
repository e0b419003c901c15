"""A result is there whole or not at all, by each of the ways that files are reached."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable

import pytest

from sparkcider.job import results
from sparkcider.job.results import Partial, unfinished
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
    for name in ("features/part-0.parquet", "pca-model/part-0"):
        files.make_folder(f"{folder}/{name}".rpartition("/")[0])
        files.write(f"{folder}/{name}", text)
    files.write(f"{folder}/summary.json", text)


def texts(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix != ".crc"  # Hadoop's checksums
    }


class NetworkDownError(Exception):
    """Comes once, in the middle."""


WHOLE = ["features/part-0.parquet", "pca-model/part-0", "summary.json"]


def finished(files: Files, uri: str, text: bytes) -> Partial:
    """A result that is whole, and not yet in place."""
    partial = Partial(files, f"{uri}.partial")
    write_result(files, partial.uri, text)
    partial.adopt("features")
    return partial


@pytest.mark.usefixtures("renamed")
def test_publishing_puts_a_result_in_place_of_an_older_one(files: Files, tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    for text in (b"old", b"new"):
        results.publish(finished(files, uri, text), uri)
        assert texts(tmp_path) == {f"out/{name}": text.decode() for name in WHOLE}


def change(files: Files, monkeypatch: pytest.MonkeyPatch, number: int) -> list[tuple[str, ...]]:
    """Makes the change of files of this number the last one: it is made, and then all fail. Gives the changes."""
    calls: list[tuple[str, ...]] = []

    def failing(name: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            calls.append((name, args[0].rpartition("/")[2]))
            if len(calls) <= number:
                method(*args)
            if len(calls) >= number:
                raise NetworkDownError

        return call

    for name in ("write", "rename", "remove", "make_folder"):
        monkeypatch.setattr(files, name, failing(name, getattr(files, name)))
    return calls


@pytest.mark.usefixtures("renamed")
@pytest.mark.parametrize("older", [True, False])
def test_a_move_that_ends_at_any_step_is_finished_by_the_next_run(files: Files, tmp_path: Path, *, older: bool):
    for number in range(1, 100):
        folder = tmp_path / str(number)
        uri = f"file:{folder}/out"
        if older:
            write_result(files, uri, b"old")
            files.write(f"{uri}/features/part-1.parquet", b"old")
        partial = finished(files, uri, b"new")
        with pytest.MonkeyPatch.context() as patch:
            calls = change(files, patch, number)
            with suppress(NetworkDownError):
                results.publish(partial, uri)
        if number > len(calls):  # nothing failed
            assert number > 3
            break
        assert not (folder / "out" / "summary.json").exists() or set(texts(folder / "out").values()) in (
            {"old"},
            {"new"},
        )
        said: list[str] = []
        in_pieces = (folder / ".out.moving").exists()
        results.finish_move(files, uri, said.append)
        found = texts(folder)
        assert found == {f"out/{name}": "new" for name in WHOLE}, (number, calls)
        assert len(said) == in_pieces


def test_on_a_disk_a_failure_while_publishing_leaves_the_older_result(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    uri = f"file:{tmp_path}/out"
    write_result(files, uri, b"old")
    partial = finished(files, uri, b"new")
    rename = files.rename

    def fail(source: str, target: str) -> None:
        if source == partial.uri:
            raise NetworkDownError
        rename(source, target)

    monkeypatch.setattr(files, "rename", fail)
    with pytest.raises(NetworkDownError):
        results.publish(partial, uri)
    kept = {f"out/{name}": "old" for name in WHOLE} | {f"out.partial/{name}": "new" for name in WHOLE}
    assert texts(tmp_path) == kept


@pytest.mark.parametrize("older", [True, False])
def test_where_folders_are_not_renamed_the_summary_goes_first_and_comes_last(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, older: bool
):
    monkeypatch.setattr(results, "RENAMED_IN_ONE_STEP", ())
    uri = f"file:{tmp_path}/out"
    if older:
        write_result(files, uri, b"old")
    partial = finished(files, uri, b"new")
    calls = change(files, monkeypatch, 1000)
    results.publish(partial, uri)
    changes = [call for call in calls if call[0] in ("remove", "rename")]
    first = [("remove", "summary.json"), ("remove", "out")] if older else []
    moved = [("rename", name.rpartition("/")[2]) for name in WHOLE]
    assert changes == [*first, *moved, ("remove", "out.partial"), ("remove", ".out.moving")]


@pytest.mark.usefixtures("renamed")
def test_what_a_late_writer_left_is_not_published(files: Files, tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    partial = finished(files, uri, b"new")
    for name in ("features/part-late.parquet", "features/part-1.parquet.open", "features/_temporary/0/part.parquet"):
        files.make_folder(partial.child(name).rpartition("/")[0])
        files.write(partial.child(name), b"late")
    files.write(partial.child("features/_SUCCESS"), b"new")
    results.publish(partial, uri)
    assert texts(tmp_path) == {f"out/{name}": "new" for name in sorted([*WHOLE, "features/_SUCCESS"])}


@pytest.mark.usefixtures("renamed")
def test_a_move_whose_files_are_gone_is_refused(files: Files, tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    partial = finished(files, uri, b"new")
    files.write(f"file:{tmp_path}/.out.moving", json.dumps([*partial.whole(), "pca/part-9.parquet"]).encode())
    with pytest.raises(FileNotFoundError, match=r"1 of its 4 files are gone, such as pca/part-9.parquet"):
        results.finish_move(files, uri, print)
    assert len(texts(tmp_path)) == 4


def test_a_list_that_was_not_written_to_its_end_moves_nothing(files: Files, tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    finished(files, uri, b"new")
    files.write(f"file:{tmp_path}/.out.moving", b'["features/pa')
    results.finish_move(files, uri, print)
    assert texts(tmp_path) == {f"out.partial/{name}": "new" for name in WHOLE}


def test_a_plain_run_says_that_a_result_is_being_put_in_place(files: Files, tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    write_result(files, uri, b"new")
    files.write(f"file:{tmp_path}/.out.moving", b"[]")
    with (
        pytest.raises(FileExistsError, match=r"being put in place, or was so .*--resume and --mode overwrite go on"),
        unfinished(files, uri, overwrite=False),
    ):
        pass


def test_what_is_published_is_on_the_disk_before_it_has_its_name(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    uri = f"file:{tmp_path}/out"
    partial = finished(files, uri, b"new")
    steps: list[str] = []
    fsync, rename = os.fsync, files.rename

    def synced(descriptor: int) -> None:
        steps.append(str(os.stat(descriptor).st_ino))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(files, "rename", lambda *names: (steps.append("rename"), rename(*names)))
    here = tmp_path / "out.partial"
    expected = {str(path.stat().st_ino) for path in [here, *here.rglob("*")]}
    results.publish(partial, uri)
    at = steps.index("rename")
    assert set(steps[:at]) == expected
    assert steps[at + 1 :] == [str(tmp_path.stat().st_ino)]
    for folder in ("", "features"):  # a folder is on the disk after what is in it
        inodes = [str(path.stat().st_ino) for path in (tmp_path / "out" / folder).iterdir()]
        assert max(map(steps.index, inodes)) < steps.index(str((tmp_path / "out" / folder).stat().st_ino))


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
            assert len(list((tmp_path / ".out.lock").glob("holds-*"))) == 1
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

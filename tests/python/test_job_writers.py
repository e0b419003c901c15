"""Two jobs that write one output, and jobs that are killed while they put a result in place: rows are those of one run.

`make test-faults` tries them often; without it each is tried once or twice.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pyarrow as pa
import pytest
from job_runs import FAULTS, command, many_images, record, rows, without_vectors

from sparkcider.job import results, tables
from sparkcider.job.lock import locked
from sparkcider.job.results import Partial
from sparkcider.job.tables import PartWriter
from sparkcider.storage.files import ArrowFiles

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STALE = "1.0"
"""Seconds of the jobs' minute."""

TIMES = 20 if FAULTS else 1


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,892 files, 12 of them broken: enough for a job to be caught in the middle."""
    return many_images(tmp_path_factory.mktemp("images"), 12)


@pytest.fixture(scope="module")
def clean(images: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    out = tmp_path_factory.mktemp("clean") / "out"
    subprocess.run(command(images, out, "embedded"), check=True, capture_output=True)
    return rows(out)


def start(images: Path, out: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    settings = {f"SPARKCIDER_TEST_{name}": value for name, value in environment.items()}
    return subprocess.Popen(
        [*command(images, out, "embedded"), *words],
        env={**os.environ, "SPARKCIDER_TEST_STALE": STALE, **settings},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


@contextmanager
def stopped(images: Path, out: Path, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A job that is stopped (SIGSTOP) when it has finished two parts."""
    features = out.with_name("out.partial") / "features"
    job = start(images, out, **environment)
    try:
        while len(list(features.glob("*.parquet"))) < 2:
            assert job.poll() is None, job.communicate()
            time.sleep(0.01)
        os.kill(job.pid, signal.SIGSTOP)
        yield job
    finally:
        if job.poll() is None:
            job.kill()
            job.communicate()


@pytest.mark.timeout(1800)
def test_a_stopped_job_keeps_its_output(images: Path, clean: pd.DataFrame, tmp_path: Path):
    for number in range(TIMES):
        out = tmp_path / str(number) / "out"
        with stopped(images, out) as first:
            time.sleep(1.5 * float(STALE))
            second = start(images, out, "--resume", CLOCK="90")
            said = second.communicate()[1]
            assert second.returncode == 2, said
            assert f"is being written by process {first.pid} on " in said
            os.kill(first.pid, signal.SIGCONT)
            said = first.communicate()[1]
            assert first.returncode == 0, said
        pd.testing.assert_frame_equal(rows(out), clean)
        assert [path.name for path in out.parent.iterdir()] == ["out"]
    record(
        "a job stopped (SIGSTOP), another started with `--resume` and a clock 90 s ahead",
        "embedded",
        TIMES,
        f"the other is refused; {len(clean):,} rows expected, {len(rows(out)):,} found",
    )


@pytest.mark.timeout(1800)
def test_a_job_that_was_taken_for_dead_stops(images: Path, clean: pd.DataFrame, tmp_path: Path):
    """As on another machine, which nobody can look up: it comes back while the other works, or after that."""
    moments = random.Random(20261201)  # noqa: S311 - no secret
    for number in range(TIMES):
        out = tmp_path / str(number) / "out"
        with stopped(images, out, ELSEWHERE="yes") as first:
            second = start(images, out, "--resume")
            if number % 2:
                time.sleep(moments.uniform(2, 4) * float(STALE))
            else:
                second.wait()  # it says a few lines only
            os.kill(first.pid, signal.SIGCONT)
            second_said, first_said = second.communicate()[1], first.communicate()[1]
        codes = (first.returncode, second.returncode)
        # It may come back before the other has waited for a minute: then the other is refused.
        assert codes == (1, 0) or (number % 2 and codes == (0, 2)), (first_said, second_said)
        assert f"waiting {float(STALE):.0f} s to see whether process {first.pid} on " in second_said
        if codes == (1, 0):
            assert "another run has taken over" in first_said
        pd.testing.assert_frame_equal(rows(out), clean)
        assert [path.name for path in out.parent.iterdir()] == ["out"]
    record(
        "a job elsewhere stopped (SIGSTOP), taken for dead by another, continued",
        "embedded",
        TIMES,
        f"one of the two stops; {len(clean):,} rows expected, {len(rows(out)):,} found",
    )


class Bucket(NamedTuple):
    """A bucket of an S3 server on this machine."""

    client: Any
    environment: dict[str, str]

    def keys(self, folder: str = "results/") -> list[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="bucket", Prefix=folder)
        found = [entry["Key"][len(folder) :] for page in pages for entry in page.get("Contents", ())]
        return [key for key in found if key and not key.endswith("/")]  # pyarrow marks folders

    def read(self, key: str) -> bytes | None:
        try:
            content: bytes = self.client.get_object(Bucket="bucket", Key=key)["Body"].read()
        except self.client.exceptions.NoSuchKey:
            return None
        return content

    def rows(self, folder: str) -> pd.DataFrame:
        names = [key for key in self.keys(f"{folder}/features/") if key.endswith(".parquet")]
        parts = [pd.read_parquet(io.BytesIO(self.read(f"{folder}/features/{name}") or b"")) for name in names]
        return without_vectors(pd.concat(parts))


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    pytest.importorskip("moto.server", reason="needs moto[server]")
    from s3_server import role_store

    with role_store() as store:
        client = store.client()
        client.create_bucket(Bucket="bucket")
        yield Bucket(client, {**store.environment, "AWS_ENDPOINT_URL": store.url, "AWS_REGION": "us-east-1"})


@pytest.fixture
def files(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> ArrowFiles:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in bucket.environment.items():
        monkeypatch.setenv(name, value)
    return ArrowFiles("s3://bucket/results")


def finished(files: ArrowFiles, uri: str, version: str) -> Partial:
    """A result whose summary says its version, and whose parts have it in their names."""
    partial = Partial(files, f"{uri}.partial")
    for name in (f"features/part-{version}.parquet", f"pca/part-{version}.parquet", "pca-model/part-0", "summary.json"):
        files.write(partial.child(name), version.encode())
    for table in results.TABLES:
        partial.adopt(table)
    return partial


class KilledError(BaseException):
    """As if the process ended here."""


def end_at(number: int, files: ArrowFiles, patch: pytest.MonkeyPatch) -> None:
    """Makes the change of this number the last one."""
    done: list[str] = []

    def ending(name: str, method: Callable[..., None]) -> Callable[..., None]:
        def call(*args: Any) -> None:
            method(*args)
            done.append(name)
            if len(done) == number:
                raise KilledError

        return call

    for name in ("write", "rename", "remove", "make_folder"):
        patch.setattr(files, name, ending(name, getattr(files, name)))


def test_in_a_store_a_move_that_ends_at_any_step_is_finished(bucket: Bucket, files: ArrowFiles):
    for number in range(1, 100):
        folder = f"results/steps/{number}"
        uri = f"s3://bucket/{folder}/out"
        results.publish(finished(files, uri, "old"), uri)
        partial = finished(files, uri, "new")
        with pytest.MonkeyPatch.context() as patch, suppress(KilledError):
            end_at(number, files, patch)
            results.publish(partial, uri)
            break
        summary = bucket.read(f"{folder}/out/summary.json")
        whole = {f"features/part-{(summary or b'').decode()}.parquet", f"pca/part-{(summary or b'').decode()}.parquet"}
        assert summary is None or whole <= set(bucket.keys(f"{folder}/out/"))
        results.finish_move(files, uri, print)
        assert bucket.keys(f"{folder}/") == [
            "out/features/part-new.parquet", "out/pca-model/part-0", "out/pca/part-new.parquet", "out/summary.json",
        ]  # fmt: skip
        assert {bucket.read(f"{folder}/{key}") for key in bucket.keys(f"{folder}/")} == {b"new"}
    assert number > 8


def test_in_a_store_a_reader_who_finds_the_summary_finds_its_parts(bucket: Bucket, files: ArrowFiles):
    uri, seen, wrong, ends = "s3://bucket/results/read/out", set(), [], threading.Event()

    def read() -> None:
        while not ends.is_set():
            before = bucket.read("results/read/out/summary.json")
            keys = bucket.keys("results/read/out/")
            if before is None or bucket.read("results/read/out/summary.json") != before:
                continue
            parts = [key for key in keys if key.startswith(("features/", "pca/"))]
            version = before.decode()
            seen.add(version)
            if parts != [f"features/part-{version}.parquet", f"pca/part-{version}.parquet"]:
                wrong.append((version, keys))

    reader = threading.Thread(target=read)
    reader.start()
    for number in range(8):
        results.publish(finished(files, uri, str(number)), uri)
        time.sleep(0.1)
    ends.set()
    reader.join()
    assert not wrong
    assert len(seen) > 2


@pytest.mark.parametrize("lost", [True, False])
def test_in_a_store_a_job_that_fails_leaves_no_upload(bucket: Bucket, files: ArrowFiles, *, lost: bool):
    """An open part is ended and kept; that of a writer that has lost its lock is removed."""
    uri = f"s3://bucket/results/fails/{lost}/out"
    row = pa.RecordBatch.from_pylist([{"path": "a", "label": "b", "pca": [1.0] * 1_000_000}], tables.REDUCED)

    def uploads() -> list[Any]:
        found: list[Any] = bucket.client.list_multipart_uploads(Bucket="bucket").get("Uploads", [])
        return found

    def fail() -> None:
        with (
            locked(files, uri, take_over=False) as lock,
            PartWriter(Partial(files, f"{uri}.partial", lock), "pca", tables.REDUCED) as writer,
        ):
            for _ in range(5):  # more than one part of an upload
                writer.add(row)
            assert uploads()
            if lost:
                bucket.client.delete_object(
                    Bucket="bucket", Key=f"results/fails/{lost}/{bucket.keys(f'results/fails/{lost}/')[0]}"
                )
            raise KilledError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "GROUP_BYTES", 1)
        with pytest.raises(KilledError):
            fail()
    assert not uploads()
    parts = bucket.keys(f"results/fails/{lost}/")
    assert len(parts) == (0 if lost else 1)


def run_in_store(bucket: Bucket, images: Path, out: str, *words: str, **environment: str) -> tuple[int, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    settings = {f"SPARKCIDER_TEST_{name}": value for name, value in environment.items()}
    done = subprocess.run(
        [*command(images, out, "embedded"), *words],
        env={**ours, **bucket.environment, **settings}, capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.timeout(1800)
def test_in_a_store_a_job_killed_in_the_final_move_is_finished_by_both_ways_on(
    bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
):
    few = many_images(tmp_path_factory.mktemp("few"), 1)
    code, said = run_in_store(bucket, few, "s3://bucket/results/clean")
    assert code == 0, said
    clean, n_files = bucket.rows("results/clean"), len(bucket.keys("results/clean/"))
    moments = random.Random(20261201)  # noqa: S311 - no secret
    for number in range(20 if FAULTS else 2):
        folder = f"results/killed/{number}/out"
        out = f"s3://bucket/{folder}"
        if number % 4 > 1:  # there is an older result
            assert run_in_store(bucket, few, out)[0] == 0
        # the list, the folders, each file, the rest of the folder; every other time in the middle of the next change
        in_a_change = number // 4 % 2 == 1
        step = str(moments.randint(1, n_files if in_a_change else n_files + 8))
        delay = str(moments.uniform(0.001, 0.03) if in_a_change else 0)
        words = ("--resume", "--pca-k", "5") if number % 4 > 1 else ()
        code, said = run_in_store(bucket, few, out, *words, KILL=step, DELAY=delay)
        assert code == -signal.SIGKILL, (step, delay, said)
        code, said = run_in_store(bucket, few, out)
        assert code == 2, (step, delay, said)
        assert "--resume" in said
        code, said = run_in_store(bucket, few, out, *(("--resume",) if number % 2 else ("--mode", "overwrite")))
        assert code == 0, (step, delay, said)
        pd.testing.assert_frame_equal(bucket.rows(folder), clean)
        summary = json.loads(bucket.read(f"{folder}/summary.json") or b"")
        assert (summary["images"], summary["errors"]) == (len(clean) - 1, 1)
        assert {key.split("/")[0] for key in bucket.keys(f"results/killed/{number}/")} == {"out"}
    found = f"{len(clean):,} rows expected, {len(bucket.rows(folder)):,} found"
    record("a job killed (SIGKILL) in the final move to S3", "embedded", 20, f"finished by both ways on; {found}")

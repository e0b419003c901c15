"""Jobs under faults end right, or fail clean and are right when resumed: no row is lost, none is doubled.

`make test-faults` tries all of them, several times; without it only quick ones are tried.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
import pytest
from job_runs import FAULTS, SCRIPT, command, many_images, record, rows, run_words
from object_store import ObjectStore, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TIMES = 3 if FAULTS else 1
STOPPED_SECONDS = 30.0
thorough = pytest.mark.skipif(not FAULTS, reason="takes minutes: `make test-faults` tries it")
ENGINES = ["embedded", pytest.param("spark", marks=thorough)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return many_images(tmp_path_factory.mktemp("images"), 6)


@pytest.fixture(scope="module")
def clean(images: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("clean") / "out"
    subprocess.run(command(images, out, "embedded"), check=True, capture_output=True)
    return rows(out)


class Cluster(NamedTuple):
    """A standalone cluster of two workers, one core each."""

    master: str
    works: list[Path]

    def processes(self, name: str) -> list[int]:
        """The processes of the executors whose command names `name`."""
        return [pid for pid in _processes() if name in _command(pid) and self._is_ours(pid)]

    def executors(self) -> list[int]:
        """The executors' JVMs."""
        return self.processes("CoarseGrainedExecutorBackend")

    def python_workers(self) -> list[int]:
        """The Python processes that embed: the children of the daemons."""
        daemons = self.processes("pyspark.daemon")
        return [pid for pid in daemons if _parent(pid) in daemons]

    def _is_ours(self, pid: int) -> bool:
        try:
            folder = Path(f"/proc/{pid}/cwd").readlink()
        except OSError:
            return False
        return any(folder.is_relative_to(work) for work in self.works)


def _processes() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")
    from spark_clusters import standalone_master, standalone_worker

    if not Path("/proc/self/cwd").exists():
        pytest.skip("finds the processes of executors in /proc")
    folder = tmp_path_factory.mktemp("cluster")
    with ExitStack() as stack:
        master = stack.enter_context(standalone_master(folder))
        # Spark puts the second copy of a task on another host only.
        hosts = {"one": "127.0.0.1", "two": "127.0.0.2"}
        works = [stack.enter_context(standalone_worker(folder, name, master, host)) for name, host in hosts.items()]
        yield Cluster(master, works)


def kill_executor(cluster: Cluster) -> None:
    os.kill(cluster.executors()[0], signal.SIGKILL)


def kill_python_worker(cluster: Cluster) -> None:
    os.kill(cluster.python_workers()[0], signal.SIGKILL)


def stop_executor(cluster: Cluster) -> None:
    executor = cluster.executors()[0]
    os.kill(executor, signal.SIGSTOP)
    time.sleep(STOPPED_SECONDS)
    os.kill(executor, signal.SIGCONT)


def stop_python_worker(cluster: Cluster) -> None:
    """Its task never ends: the copy of the task that speculation starts does."""
    os.kill(cluster.python_workers()[0], signal.SIGSTOP)


SPECULATION = {
    "spark.speculation": "true",
    "spark.speculation.interval": "100ms",
    "spark.speculation.minTaskRuntime": "1s",
    "spark.speculation.quantile": "0.5",
}


def submitted(
    cluster: Cluster,
    words: list[str],
    settings: dict[str, str],
    folder: Path,
    disturb: Callable[[Cluster], None] | None,
) -> tuple[int, str]:
    """Runs a job by spark-submit and disturbs it when its first wave is written; gives its exit code and its log."""
    from spark_clusters import environment, submit_command

    log = folder / "job.log"
    cores = {"spark.cores.max": "2", "spark.scheduler.minRegisteredResourcesRatio": "1"}
    with log.open("wb") as output:
        job = subprocess.Popen(
            submit_command(cluster.master, SCRIPT, words, {**cores, **settings}),
            env=environment(), cwd=folder, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        features = folder / "out.partial" / "features"
        while disturb is not None and job.poll() is None and not list(features.glob("part-*")):
            time.sleep(0.05)
        if disturb is not None:
            assert job.poll() is None, log.read_text(errors="replace")[-4000:]
            disturb(cluster)
        return job.wait(timeout=240), log.read_text(errors="replace")
    finally:
        job.kill()
        job.wait()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize(
    ("fault", "disturb", "settings"),
    [
        ("a Python worker killed (SIGKILL)", kill_python_worker, {}),
        pytest.param("an executor killed (SIGKILL)", kill_executor, {}, marks=thorough),
        pytest.param("an executor stopped for 30 s", stop_executor, {}, marks=thorough),
        pytest.param(
            "a Python worker stopped for good, speculation on", stop_python_worker, SPECULATION, marks=thorough
        ),
    ],
)
def test_a_cluster_that_loses_processes_loses_no_row(
    cluster: Cluster,
    images: Path,
    clean: pd.DataFrame,
    tmp_path: Path,
    fault: str,
    disturb: Callable[[Cluster], None],
    settings: dict[str, str],
):
    for _ in range(TIMES):
        code, log = submitted(cluster, run_words(images, tmp_path / "out"), settings, tmp_path, disturb)
        assert code == 0, log[-6000:]
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), clean)
        assert not (tmp_path / "out.partial").exists()
        shutil.rmtree(tmp_path / "out")
    record(fault, "spark", TIMES, "right")


@thorough
@pytest.mark.timeout(1500)
def test_python_workers_without_memory_fail_the_job_clean(
    cluster: Cluster, images: Path, clean: pd.DataFrame, tmp_path: Path
):
    words = run_words(images, tmp_path / "out")
    for _ in range(TIMES):
        code, log = submitted(cluster, words, {"spark.executor.pyspark.memory": "120m"}, tmp_path, None)
        assert code == 1, log[-6000:]
        assert not (tmp_path / "out").exists()
        code, log = submitted(cluster, [*words, "--resume"], {}, tmp_path, None)
        assert code == 0, log[-6000:]
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), clean)
        shutil.rmtree(tmp_path / "out")
    record("Python workers out of memory", "spark", TIMES, "fails clean; right when resumed with more")


ON_A_SMALL_DISK = """
disk=$1 size=$2; shift 2
mount -t tmpfs -o size=$size none "$disk" || exit 77
"$@" && exit 78
test ! -e "$disk/out" || exit 79
mount -o remount,size=200m "$disk"
"$@" --resume || exit 80
cp -r "$disk/out" "$disk-kept"
"""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_full_disk_keeps_what_is_finished(images: Path, clean: pd.DataFrame, tmp_path: Path, engine: str):
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare, which gives a process a disk of its own")
    disk = tmp_path / "disk"
    words = command(images, disk / "out", engine)
    for number in range(TIMES):
        disk.mkdir(exist_ok=True)
        size = f"{1000 + 200 * number}k"  # of 1.4 MB of features; a part has a few hundred rows
        done = subprocess.run(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", str(disk), size, *words],
            capture_output=True, text=True, check=False, timeout=280,
        )  # fmt: skip
        if done.returncode == 77 or done.stderr.startswith("unshare:"):
            pytest.skip(f"needs the right to mount: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr[-4000:]
        assert "No space left" in done.stderr, done.stderr[-4000:]
        assert "--resume" in done.stderr
        pd.testing.assert_frame_equal(rows(tmp_path / "disk-kept"), clean)
        shutil.rmtree(tmp_path / "disk-kept")
    record("disk full at the output", engine, TIMES, "fails clean and keeps finished features; right when resumed")


@pytest.fixture(scope="module")
def connector(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Words that give Spark its connector to S3."""
    if not FAULTS:
        return []
    from maven_jars import s3_connector

    jars = s3_connector(tmp_path_factory.mktemp("connector"))
    return ["--conf", f"spark.jars={','.join(map(str, jars))}"]


def embedded_from(
    store: ObjectStore, out: Path, engine: str, connector: list[str], *more: str
) -> subprocess.CompletedProcess[str]:
    """Embeds the objects of a store to a local folder."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    # As a cluster has them: were they Spark's settings, Spark would read the files in place of our workers.
    s3a = {"endpoint": store.endpoint, "endpoint.region": "us-east-1", "path.style.access": "true"}
    properties = [f"<property><name>fs.s3a.{key}</name><value>{value}</value></property>" for key, value in s3a.items()]
    hadoop = out.parent / "hadoop"
    hadoop.mkdir(exist_ok=True)
    (hadoop / "core-site.xml").write_text(f"<configuration>{''.join(properties)}</configuration>")
    return subprocess.run(
        [*command("s3://bucket/images", out, engine), *(connector if engine == "spark" else []), *more],
        env={**ours, **store.environment, "HADOOP_CONF_DIR": str(hadoop)},
        capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Sample images by their names in a store."""
    folder = many_images(tmp_path_factory.mktemp("objects"), 1)
    return {f"bucket/images/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.*")}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ENGINES)
def test_a_store_that_fails_a_tenth_of_all_requests_loses_nothing(
    objects: dict[str, bytes], connector: list[str], tmp_path: Path, engine: str
):
    with serving(ObjectStore(objects)) as store:
        assert embedded_from(store, tmp_path / "clean", engine, connector).returncode == 0
    for number in range(TIMES):
        with serving(ObjectStore(objects, faulty=0.1, seed=number)) as store:
            done = embedded_from(store, tmp_path / "out", engine, connector)
            assert done.returncode == 0, done.stderr[-4000:]
            assert store.failed > len(objects) // 10
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), rows(tmp_path / "clean"))
        shutil.rmtree(tmp_path / "out")
    record("S3 answers 503, resets or says nothing for 10 s, for 10 % of requests", engine, TIMES, "right")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ENGINES)
def test_objects_that_are_gone_or_forbidden_are_rows_with_a_kind(
    objects: dict[str, bytes], connector: list[str], tmp_path: Path, engine: str
):
    gone, forbidden, *_ = random.Random(1).sample(sorted(objects), 2)  # noqa: S311 - no secret
    with serving(ObjectStore(objects)) as store:
        store.always.update({gone: "404", forbidden: "403"})  # after the listing, which names them
        done = embedded_from(store, tmp_path / "out", engine, connector)
        assert done.returncode == 0, done.stderr[-4000:]
        before = rows(tmp_path / "out").set_index("path")
        assert len(before) == len(objects)
        kinds = before.error_kind.dropna().to_dict()
        broken = {path for path in before.index if path.endswith("broken.jpg")}
        scheme = "s3a" if engine == "spark" else "s3"
        faults = {f"{scheme}://{gone}": "missing", f"{scheme}://{forbidden}": "forbidden"}
        expected = {**faults, **dict.fromkeys(broken, "truncated")}
        assert kinds == expected
        assert before.features.isna().equals(before.error_kind.notna())
        assert "1 x forbidden, such as " in done.stderr
        store.always.clear()
        again = embedded_from(store, tmp_path / "out", engine, connector, "--resume")
        assert again.returncode == 0, again.stderr[-4000:]
        after = rows(tmp_path / "out").set_index("path")
        assert after.error_kind.dropna().to_dict() == dict.fromkeys(broken, "truncated")
        kept = before.index.difference(list(faults))
        pd.testing.assert_frame_equal(after.loc[kept], before.loc[kept])
    record(
        "an object deleted, or forbidden, between listing and reading",
        engine,
        1,
        "a row with its kind; tried again when resumed",
    )


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ENGINES)
def test_answers_of_another_length_are_tried_again_and_never_bad_images(
    objects: dict[str, bytes], connector: list[str], tmp_path: Path, engine: str
):
    names = sorted(objects)
    with serving(ObjectStore(objects)) as store:
        assert embedded_from(store, tmp_path / "clean", engine, connector).returncode == 0
        clean = rows(tmp_path / "clean")
        faults = ["short", "empty", "foreign", "html"]
        store.faults.update({name: [*[""] * (n % 2), faults[n % 4]] for n, name in enumerate(names[:100])})
        done = embedded_from(store, tmp_path / "out", engine, connector)
        assert done.returncode == 0, done.stderr[-4000:]
        assert not any(store.faults.values())
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), clean)
        shutil.rmtree(tmp_path / "out")
        store.always[names[0]] = "short"
        assert embedded_from(store, tmp_path / "out", engine, connector).returncode == 0
        kinds = rows(tmp_path / "out").set_index("path").error_kind.dropna()
        assert [path for path in kinds.index if kinds[path] == "unreachable"] == [clean.path[0]]
        store.always.clear()
        assert embedded_from(store, tmp_path / "out", engine, connector, "--resume").returncode == 0
        pd.testing.assert_frame_equal(rows(tmp_path / "out"), clean)
    record("S3 answers with half of an object, none of it, or an error's text, 200", engine, 1, "right")


def test_pages_of_a_listing_that_are_cut_lose_no_file(objects: dict[str, bytes], tmp_path: Path):
    """pyarrow takes an empty page for the last one: 50 of 241 files were the whole input."""
    with serving(ObjectStore(objects, page=50)) as store:
        for number in range(TIMES):
            fault = ["empty", "short", "html"][number]
            store.faults["bucket"] = ["", "", fault]
            done = embedded_from(store, tmp_path / "out", "embedded", [])
            assert done.returncode == 0, done.stderr[-4000:]
            assert not store.faults["bucket"]
            assert len(rows(tmp_path / "out")) == len(objects) == 241
            shutil.rmtree(tmp_path / "out")
    record("a page of S3's listing comes empty, cut, or as a page for people, 200", "embedded", TIMES, "right")


def test_a_file_that_cannot_be_looked_at_stops_the_job(tmp_path: Path):
    images = many_images(tmp_path / "images", 1)
    (images / "0" / "self.jpg").symlink_to("self.jpg")
    done = subprocess.run(command(images, tmp_path / "out", "embedded"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert f"{images}/0/self.jpg cannot be listed: cannot be read: Too many levels of symbolic links" in last
    assert not (tmp_path / "out").exists()
    record("a file whose stat fails, or a folder that is closed", "embedded", 1, "stops and names it")

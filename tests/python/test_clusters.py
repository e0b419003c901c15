"""The job by `spark-submit` on clusters of more than one process: the same bits as one process gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from maven_jars import fetched
from spark_clusters import (
    SPARK_HOME,
    environment,
    event_log,
    events,
    standalone_master,
    standalone_worker,
    submit_command,
    submit_job,
)
from spark_images import TINY_MODEL
from yarn_cluster import wanted, yarn

from sparkcider import FeatureExtractor
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

DELIVERED = f"sparkcider-{sha256(TINY_MODEL.read_bytes()).hexdigest()}.onnx"
N_IMAGES = 80
MANY_TASKS = {"spark.sql.files.maxPartitionBytes": "8m"}
"""16 small images a task, as each counts 512 KB: so there is work for every executor."""
BOTH_AT_ONCE = {"spark.cores.max": "2", "spark.scheduler.minRegisteredResourcesRatio": "1"}
"""No task begins before both executors are there."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_samples(folder, images_per_label=4)
    return folder


def assert_result(out: Path, images: Path) -> None:
    """The result is whole, alone, and has the extractor's bits."""
    assert [path.name for path in out.parent.glob(f"*{out.name}*")] == [out.name]
    summary = json.loads((out / "summary.json").read_text())
    assert summary["images"] == len(pd.read_parquet(out / "pca")) == N_IMAGES
    assert_features(out / "features", images)


def assert_features(table_folder: Path, images: Path) -> None:
    table = pd.read_parquet(table_folder).sort_values("path", ignore_index=True)
    files = sorted(path for path in images.rglob("*.*") if path.is_file())
    assert list(table.path) == [f"file:{path}" for path in files]
    expected, _ = FeatureExtractor(str(TINY_MODEL)).extract(pa.array([path.read_bytes() for path in files]))
    good = table.features.notna()
    assert int(good.sum()) == N_IMAGES
    found = np.stack(table.features[good])
    np.testing.assert_array_equal(found, expected.drop_null().flatten().to_numpy().reshape(found.shape))


def writing_executors(log: Path) -> set[str]:
    """The executors whose tasks wrote rows: the features and what the PCA made of them."""
    return {
        event["Task Info"]["Executor ID"]
        for event in events(log, "TaskEnd")
        if event["Task Metrics"]["Output Metrics"]["Records Written"] > 0
    }


def test_spark_submit_to_a_standalone_cluster_of_two_workers(images: Path, tmp_path: Path):
    log = tmp_path / "events"
    with ExitStack() as stack:
        master = stack.enter_context(standalone_master(tmp_path))
        workers = [stack.enter_context(standalone_worker(tmp_path, name, master)) for name in ("one", "two")]
        words = ["run", "--input", str(images), "--output", str(tmp_path / "out"), "--model", str(TINY_MODEL)]
        submit_job(master, [*words, "--pca-k", "3"], {**MANY_TASKS, **BOTH_AT_ONCE, **event_log(log)}, tmp_path)
        for work in workers:  # each executor fetched the model into its own folder
            assert len(list(work.rglob(DELIVERED))) == 1
    assert_result(tmp_path / "out", images)
    assert writing_executors(log) == {"0", "1"}


def test_an_executor_that_joins_late_gets_the_model_and_gives_the_same(images: Path, tmp_path: Path):
    log, out = tmp_path / "events", tmp_path / "results"
    settings = {
        **MANY_TASKS,
        **event_log(log),
        "spark.dynamicAllocation.enabled": "true",
        "spark.dynamicAllocation.shuffleTracking.enabled": "true",
        "spark.dynamicAllocation.minExecutors": "1",
        "spark.dynamicAllocation.maxExecutors": "2",
    }
    script = Path(__file__).parent / "late_script.py"
    with ExitStack() as stack:
        master = stack.enter_context(standalone_master(tmp_path))
        stack.enter_context(standalone_worker(tmp_path, "early", master))
        command = submit_command(master, script, [str(images), str(out), str(TINY_MODEL)], settings)
        said = tmp_path / "job.log"
        with said.open("wb") as output:
            job = subprocess.Popen(command, env=environment(), stdout=output, stderr=subprocess.STDOUT)
        stack.callback(job.wait)
        stack.callback(job.kill)
        end = time.monotonic() + 150
        while not (out / "grow").exists() and job.poll() is None and time.monotonic() < end:
            time.sleep(0.1)
        assert (out / "grow").exists(), said.read_text()[-4000:]
        work = stack.enter_context(standalone_worker(tmp_path, "late", master))
        assert job.wait(timeout=200) == 0, said.read_text()[-4000:]
        assert len(list(work.rglob(DELIVERED))) == 1
    assert_features(out / "early", images)
    assert_result(out / "late", images)
    assert writing_executors(log) == {"0", "1"}
    assert [event["Executor ID"] for event in events(log, "ExecutorAdded")] == ["0", "1"]


@pytest.fixture(scope="module")
def yarn_conf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if os.environ.get("SPARKCIDER_TEST_CLUSTERS") != "yes":
        pytest.skip("YARN takes 40 MB of jars and two minutes: `make test-clusters` runs it")
    with yarn(tmp_path_factory.mktemp("yarn"), fetched(wanted(), [], tmp_path_factory.mktemp("hadoop"))) as conf:
        yield conf


@pytest.mark.parametrize("mode", ["client", "cluster"])
def test_spark_submit_to_yarn(
    yarn_conf: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(yarn_conf))
    log = tmp_path / "events"
    driver = {
        "PYTHONPATH": environment()["PYTHONPATH"],
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    settings = {
        **MANY_TASKS,
        **event_log(log),
        **{f"spark.yarn.appMasterEnv.{name}": value for name, value in driver.items()},
        "spark.submit.deployMode": mode,
        "spark.driver.memory": "700m",
        "spark.executor.instances": "2",
        "spark.scheduler.minRegisteredResourcesRatio": "1",
        "spark.yarn.jars": f"local:{SPARK_HOME}/jars/*",
        "spark.yarn.stagingDir": (tmp_path / "staging").as_uri(),
    }
    words = ["run", "--input", str(images), "--output", str(tmp_path / "out"), "--model", str(TINY_MODEL)]
    submit_job("yarn", [*words, "--pca-k", "3"], settings, tmp_path)
    assert_result(tmp_path / "out", images)
    assert writing_executors(log) == {"1", "2"}
    (start,) = events(log, "ApplicationStart")
    containers = [path.name for path in (yarn_conf.parent / "logs" / start["App ID"]).iterdir()]
    assert len(containers) == 3  # the driver or, in client mode, its stand-in; and two executors
    applications = yarn_conf.parent / "local" / "usercache"
    assert len(list(applications.glob(f"*/appcache/{start['App ID']}/container_*/{DELIVERED}"))) == 2

"""Clusters of this machine for the tests: Spark's own master and workers, and `spark-submit` of the job to them.

Every process listens on loopback and is ended by its id.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyspark

import sparkcider

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SPARK_HOME = Path(pyspark.__file__).parent
JOB = Path(__file__).parents[2] / "bootstrap" / "dataproc" / "job.py"
"""The script that runs the words of `sparkcider` on a cluster."""
PATIENCE_SECONDS = 90
"""For a process of a cluster to be up, on a machine that does much else."""
QUICK_JVM = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""For processes that live for seconds: no time to optimise in."""
SETTINGS = {
    "spark.driver.extraJavaOptions": QUICK_JVM,
    "spark.executor.extraJavaOptions": QUICK_JVM,
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.executor.memory": "600m",
    "spark.executor.cores": "1",
    "spark.sql.shuffle.partitions": "2",
    "spark.log.level": "INFO",
}


def environment() -> dict[str, str]:
    """Of every process: this Python, this package, and no Spark but the one that this Python imports."""
    folders = [str(Path(sparkcider.__file__).parents[1]), str(Path(__file__).parent)]
    return {
        **os.environ,
        "SPARK_HOME": str(SPARK_HOME),
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join([*folders, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_JAVA_OPTS": QUICK_JVM,
    }


@contextmanager
def running(command: Sequence[str], log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes to `log`, ended with the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=env or environment(), cwd=log.parent, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def waited_for(pattern: str, log: Path, process: subprocess.Popen[bytes]) -> str:
    """The first group of the pattern, as soon as the log has it."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        found = re.search(pattern, log.read_text(errors="replace"))
        if found:
            return found[1]
        time.sleep(0.1)
    raise AssertionError(f"{log.name} never said {pattern}: {log.read_text(errors='replace')[-3000:]}")


@contextmanager
def standalone_master(folder: Path) -> Iterator[str]:
    """A master of a standalone cluster; yields its `spark://` address."""
    name, log = "org.apache.spark.deploy.master.Master", folder / "master.log"
    command = [str(SPARK_HOME / "bin" / "spark-class"), name, "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
    with running(command, log) as process:
        yield waited_for(r"Starting Spark master at (spark://127\.0\.0\.1:\d+)", log, process)


@contextmanager
def standalone_worker(folder: Path, name: str, master: str, host: str = "127.0.0.1") -> Iterator[Path]:
    """A worker of one core; yields the folder that its executors work in."""
    log, work = folder / f"{name}.log", folder / name
    words = ["--host", host, "--webui-port", "0", "--cores", "1", "--memory", "1g", "--work-dir", str(work)]
    command = [str(SPARK_HOME / "bin" / "spark-class"), "org.apache.spark.deploy.worker.Worker", *words, master]
    with running(command, log) as process:
        waited_for("(registered) with master", log, process)
        yield work


def submit_command(master: str, script: Path, words: Sequence[str], settings: dict[str, str]) -> list[str]:
    """`spark-submit` of a script, with `SETTINGS` and those given."""
    pairs = {**SETTINGS, "spark.executorEnv.PYTHONPATH": environment()["PYTHONPATH"], **settings}
    options = [word for key, value in pairs.items() for word in ("--conf", f"{key}={value}")]
    return [str(SPARK_HOME / "bin" / "spark-submit"), "--master", master, *options, str(script), *words]


def submit_job(master: str, words: Sequence[str], settings: dict[str, str], folder: Path) -> str:
    """Runs `sparkcider WORDS` by `spark-submit`; returns all that it printed."""
    command = submit_command(master, JOB, words, settings)
    done = subprocess.run(
        command, env=environment(), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def event_log(folder: Path) -> dict[str, str]:
    """Settings that make Spark write down what happens."""
    folder.mkdir(exist_ok=True)
    return {
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": folder.as_uri(),
        "spark.eventLog.compress": "false",
        "spark.eventLog.rolling.enabled": "false",
    }


def events(folder: Path, kind: str) -> list[dict[str, Any]]:
    """What happened, of one kind, such as `TaskEnd`."""
    (log,) = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [event for event in found if event["Event"] == f"SparkListener{kind}"]

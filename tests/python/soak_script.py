"""What a long run leaves behind: `worker MODEL OPTIONS IMAGES N` or `jobs N`; prints samples as lines of JSON.

A line is a sample: done, rss (bytes), threads, files (open ones), temporary (files and folders of TMPDIR). For jobs the
JVM's are in it, too.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sparkcider import FeatureExtractor
from sparkcider.spark import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES = 40
BATCH = 1000


def facts(pid: int | str = "self") -> dict[str, int]:
    """What a process holds."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {
        "rss": int(status["VmRSS"].split()[0]) << 10,
        "threads": int(status["Threads"]),
        "files": len(list(Path(f"/proc/{pid}/fd").iterdir())),
    }


def temporary() -> int:
    """Files and folders that this run has left in its folder for temporary ones."""
    return sum(1 for _ in Path(tempfile.gettempdir()).rglob("*"))


def tell(done: int, **found: int) -> None:
    print(json.dumps({"done": done, **found, "temporary": temporary()}), flush=True)


def run_worker(model: str, options: dict[str, Any], folder: str, n_images: int) -> None:
    """One worker embeds, batch by batch, as Spark hands them to it."""
    contents = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[: 2 * BATCH]]

    def batches() -> Iterator[pa.Array]:
        for start in range(0, n_images, BATCH):
            first = start % len(contents)
            yield pa.array((contents + contents)[first : first + BATCH], pa.binary())

    path = model if Path(model).is_file() else None
    checksum = FeatureExtractor(model, **options).checksum
    reference = worker.ModelFile(path or str(models_file(model)), checksum, tuple(sorted(options.items())))
    outcome = worker.embed(batches(), reference, str, on_error="null", with_error=True)
    done = last = 0
    for rows in outcome:
        done += len(rows)
        if done - last >= n_images // SAMPLES:
            last = done
            tell(done, **facts())


def models_file(name: str) -> Path:
    from sparkcider.models import available

    return available()[name]


def run_jobs(n_jobs: int) -> None:
    """As many jobs in one Spark application."""
    from pyspark.sql import SparkSession
    from spark_clusters import QUICK_JVM

    from sparkcider.job import JobConfig, run
    from sparkcider.samples import write_samples

    work = Path(tempfile.mkdtemp(dir=os.environ["SOAK_WORK"]))
    write_samples(work / "images")
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.driver.memory", "512m").config("spark.driver.extraJavaOptions", QUICK_JVM)
    spark = builder.config("spark.cleaner.periodicGC.interval", "20s").getOrCreate()
    jvm = int(spark.sparkContext._jvm.java.lang.ProcessHandle.current().pid())
    for number in range(1, n_jobs + 1):
        config = JobConfig(
            input=str(work / "images"), output=str(work / "out"), model="fruits-tiny", mode="overwrite", engine="spark"
        )
        run(config, spark=spark, progress=lambda _line: None)
        if number % max(n_jobs // SAMPLES, 1) == 0:
            spark._jvm.System.gc()
            tell(number, **facts(), **{f"jvm_{name}": value for name, value in facts(jvm).items()})
    spark.stop()


if __name__ == "__main__":
    what, *words = sys.argv[1:]
    if what == "worker":
        run_worker(words[0], json.loads(words[1]), words[2], int(words[3]))
    else:
        run_jobs(int(words[0]))

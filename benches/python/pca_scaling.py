"""A model of what a PCA fit costs on a cluster: constants measured here, checked here on 1 and 2 workers.

    python benches/python/pca_scaling.py [--features 1280] [--rounds 3]

docs/scaling.md has the formulas and the last table. Needs pyspark. Workers are executors of one core each
(`local-cluster`), so that two of them share nothing but the machine; the quickest of the rounds counts.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from compare_pca import features, quickest, write_features

FAN_IN = 64  # of sparkcider's merge tree
ROWS = (2_000, 16_000)  # of the two measurements whose difference is the cost of a row
PARTITION_BYTES = 128 << 20  # what Spark packs into one task
CHECKS = ((8_000, 4), (24_000, 4), (24_000, 64))  # rows, partitions


class Constants(NamedTuple):
    """What one core of this machine takes.

    Attributes:
        value: Seconds to bring one value from Parquet through the JVM into Arrow.
        product: Seconds for one value times one feature: the triangular product.
        merged_byte: Seconds for one byte of a partial, from the task that made it to the task that merged it.
        task: Seconds for a task that does nothing.
        fixed: Seconds for a fit of hardly any rows: planning, three stages, the eigen-decomposition.
    """

    value: float
    product: float
    merged_byte: float
    task: float
    fixed: float


def partial_bytes(width: int) -> int:
    """Bytes of saved moments: the lower triangle and the mean in f64."""
    return 8 * (width * (width + 1) // 2 + width)


def seconds(constants: Constants, rows: int, width: int, partitions: int, cores: int) -> float:
    """What a fit takes: rows and partials are shared by the cores, the last merge is one task."""
    work = rows * width * (constants.value + constants.product * width)
    partials = partitions * (constants.task + partial_bytes(width) * constants.merged_byte)
    shared = (work + partials) / min(cores, partitions)
    last = math.ceil(partitions / FAN_IN) * partial_bytes(width) * constants.merged_byte
    return shared + last + constants.fixed


def moved(width: int, partitions: int) -> int:
    """Bytes between executors: each partial once, then one of each `FAN_IN`, then one to the driver."""
    return partial_bytes(width) * (partitions + math.ceil(partitions / FAN_IN) + 1)


# --- measured ---------------------------------------------------------------------------------------------------------


def session(workers: int):
    """That many executors of one core on this machine."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local-cluster[{workers},1,2048]").config("spark.executor.memory", "2g")
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.executorEnv.PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def fit_seconds(frame, rounds: int) -> float:
    """Of `PCA.fit`, warm."""
    from sparkcider.feature import PCA

    pca = PCA(k=10, inputCol="features", outputCol="pca")
    pca.fit(frame)
    return quickest(lambda: pca.fit(frame), rounds)


def read_seconds(frame, rounds: int) -> float:
    """Of bringing all rows into Python and looking at none."""

    def count(batches):
        yield pa.RecordBatch.from_pydict({"n": pa.array([sum(batch.num_rows for batch in batches)], pa.int32())})

    counted = frame.mapInArrow(count, "n int")
    counted.collect()
    return quickest(counted.collect, rounds)


def written(spark, folder: Path, rows: int, width: int, partitions: int):
    """Features in Parquet, read as that many partitions."""
    target = folder / f"{rows}"
    if not target.exists():
        target.mkdir()
        write_features(target, features(rows, width))
    frame = spark.read.parquet(str(target))
    return frame.repartition(partitions) if partitions > FILES_READ else frame.coalesce(partitions)


FILES_READ = 4


def measure(folder: Path, width: int, rounds: int) -> Constants:
    """The constants, on one worker."""
    from sparkcider import Moments

    values = features(4_096, width)
    rows = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), width)
    product = quickest(lambda: Moments().update(rows), rounds) / (len(values) * width**2)
    spark = session(1)
    few, many = (written(spark, folder, count, width, 1) for count in ROWS)
    difference = read_seconds(many, rounds) - read_seconds(few, rounds)
    value = difference / ((ROWS[1] - ROWS[0]) * width)
    idle = spark.range(0, 256, 1, 256)
    one = spark.range(0, 1, 1, 1)
    task = (read_seconds(idle, rounds) - read_seconds(one, rounds)) / 255
    few_rows = ROWS[0] * width * (value + product * width)
    base = fit_seconds(few, rounds)
    spread = fit_seconds(spark.read.parquet(str(folder / str(ROWS[0]))).repartition(32), rounds)
    merged_byte = max((spread - base) / 31 - task, 0.0) / partial_bytes(width)
    spark.stop()
    return Constants(value, product, merged_byte, task, base - few_rows - partial_bytes(width) * merged_byte - task)


def main() -> None:
    """Measures, checks, predicts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--features", type=int, default=1_280)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    width = options.features
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        constants = measure(folder, width, options.rounds)
        print(f"value {constants.value * 1e9:.1f} ns, product {constants.product * 1e12:.1f} ps")
        print(f"merged byte {constants.merged_byte * 1e9:.2f} ns, task {constants.task * 1e3:.0f} ms")
        print(f"fixed {constants.fixed:.2f} s")
        for workers in (1, 2):
            spark = session(workers)
            for rows, partitions in CHECKS:
                found = fit_seconds(written(spark, folder, rows, width, partitions), options.rounds)
                expected = seconds(constants, rows, width, partitions, workers)
                shape = f"{rows:,} x {width:,} in {partitions} partitions"
                error = f"{expected / found - 1:+.0%}"
                print(f"{workers} worker(s), {shape}: {found:.2f} s, predicted {expected:.2f} s ({error})", flush=True)
            spark.stop()
    for rows in (10**6, 10**9):
        partitions = max(math.ceil(rows * width * 4 / PARTITION_BYTES), 1)
        for executors in (10, 100, 1_000):
            predicted = seconds(constants, rows, width, partitions, 4 * executors)
            bytes_ = f"{moved(width, partitions) / 1e9:,.2f} GB moved"
            print(f"{rows:,} images, {partitions:,} partitions, {executors:,} x 4 cores: {predicted:,.0f} s, {bytes_}")


if __name__ == "__main__":
    main()

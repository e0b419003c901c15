"""Peak memory of the Python worker that featurizes one Arrow batch of 10,000 images (Linux).

    python benches/python/worker_memory.py [--images FOLDER] [--model mobilenetv2.onnx] [--normalization tf]

One partition, one batch, local[1]; the peak is the kernel's own high-water mark (VmHWM) of the worker process. The
issue's bound is 400 MB.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from jobs.data import DATA

MODEL = str(DATA / "models" / "mobilenetv2_imagenet.onnx")


def worker_peak_mb() -> dict[int, float]:
    """VmHWM in MB of each running PySpark worker, by process id."""
    peaks = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes()
            status = (process / "status").read_text()
        except OSError:  # it ended meanwhile
            continue
        if b"pyspark.daemon" in command:
            high = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            peaks[int(process.name)] = int(high.split()[1]) / 1024
    return peaks


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=DATA / "fruits" / "Test", help="default: %(default)s")
    parser.add_argument("--model", default=MODEL, help="default: %(default)s")
    parser.add_argument("--normalization", default="tf")
    parser.add_argument("--rows", type=int, default=10_000)
    arguments = parser.parse_args()

    from pyspark.sql import SparkSession

    from sparkcider.functions import image_features

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", str(arguments.rows))
    # before 4.1 batches are counted in rows only; from 4.1 on this lifts the bound in bytes
    builder = builder.config("spark.sql.execution.arrow.maxBytesPerBatch", str(2**31 - 1))
    spark = builder.config("spark.driver.memory", "4g").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    images = [path.read_bytes() for path in sorted(arguments.images.rglob("*.jpg"))]
    with tempfile.TemporaryDirectory() as folder:
        contents = [images[row % len(images)] for row in range(arguments.rows)]
        pq.write_table(pa.table({"content": contents}), Path(folder) / "images.parquet")
        frame = spark.read.parquet(folder).coalesce(1)
        column = image_features("content", model=arguments.model, normalization=arguments.normalization)
        frame.select(column).write.format("noop").mode("overwrite").save()
        megabytes = sum(map(len, contents)) / 2**20
    peak = max(worker_peak_mb().values())
    print(f"{arguments.rows} images ({megabytes:.0f} MB encoded) in one batch: the worker's peak is {peak:.0f} MB")
    spark.stop()


if __name__ == "__main__":
    main()

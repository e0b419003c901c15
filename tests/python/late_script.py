"""Runs the job on a cluster that has grown since the model was sent: `late_script.py IMAGES OUT MODEL`.

It embeds the images, then makes OUT/grow and keeps Spark busy until a second executor is there, then runs the job.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from pyspark.sql import SparkSession

from sparkcider.functions import image_features
from sparkcider.job import JobConfig, run

PATIENCE_SECONDS = 120


def main(images: str, out: Path, model: str) -> None:
    spark = SparkSession.builder.getOrCreate()
    context = spark.sparkContext
    out.mkdir()
    files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(images)
    files.select("path", image_features("content", model=model).alias("features")).write.parquet(f"{out}/early")
    (out / "grow").touch()
    end = time.monotonic() + PATIENCE_SECONDS
    while context._jsc.sc().getExecutorMemoryStatus().size() < 3:  # two executors and the driver
        if time.monotonic() > end:
            raise TimeoutError("no second executor came")
        context.parallelize(range(8), 8).foreach(lambda _: time.sleep(0.5))  # a backlog: Spark asks for an executor
    run(JobConfig(input=images, output=f"{out}/late", model=model, pca_k=3), spark=spark)
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])

"""Objects per second that one Spark task reads from S3: a column of paths beside Spark's binaryFile.

    python benches/python/fetching.py [--objects 3000] [--slow-objects 300] [--delay 0.02] [--job-only]

Fetching alone: the model is `pixels`, which costs next to nothing. A light S3 server in a process of its own answers
each request `--delay` seconds late, as a proxy on the way would; both sides read the same objects from it, Spark by its
own connector. Each alternative runs twice and the second, warm run counts. The ceiling is the server's: plain requests
over 32 connections, with the delay and without. Needs what the tests need (`sparkcider[test]`) and hadoop-aws, which
comes from Maven Central or the folder that SPARKCIDER_TEST_JARS names.

First the embedded job, MobileNetV2 on `--job-objects` objects, with the delay and without, in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.data import DATA

TESTS = Path(__file__).parents[2] / "tests" / "python"
IN_FLIGHT = 32
PLAIN_SECONDS = 5
WANTED = 15
MOST_LOST = 0.15

sys.path.insert(0, str(TESTS))


def serve(folder: str, objects: int, delay: float, queue: multiprocessing.Queue) -> None:
    """Serves the folder's files, repeated, until it is ended."""
    from object_store import ObjectStore, serving

    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))]
    contents = {f"b/{number % 20:02}/{number:06}.jpg": files[number % len(files)] for number in range(objects)}
    with serving(ObjectStore(contents, delay=delay)) as store:
        queue.put((store.environment, store.endpoint, sum(map(len, contents.values())) / objects))
        time.sleep(10**6)


@contextmanager
def server(folder: Path, objects: int, delay: float) -> Iterator[tuple[dict[str, str], str, float]]:
    """The server in a process of its own: the environment that names it, its address, the mean bytes of an object."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=serve, args=(str(folder), objects, delay, queue), daemon=True)
    process.start()
    try:
        yield queue.get(timeout=60)
    finally:
        process.terminate()
        process.join()


async def requests_per_second(endpoint: str) -> float:
    """Plain GETs over 32 connections for a few seconds."""
    host, _, port = endpoint.rpartition("//")[2].partition(":")
    end = time.perf_counter() + PLAIN_SECONDS

    async def ask() -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        answers = 0
        while time.perf_counter() < end:
            writer.write(b"GET /b/00/000000.jpg HTTP/1.1\r\nHost: b\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
            await reader.readexactly(int(length.partition(b":")[2]))
            answers += 1
        writer.close()
        return answers

    return sum(await asyncio.gather(*(ask() for _ in range(IN_FLIGHT)))) / PLAIN_SECONDS


def spark_session(endpoint: str, jars: list[Path]):
    """One core, and S3 by hadoop-aws."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.jars", ",".join(map(str, jars))).config("spark.ui.showConsoleProgress", "false")
    settings = {"endpoint": endpoint, "endpoint.region": "us-east-1", "path.style.access": "true"}
    for name, value in settings.items():
        builder = builder.config(f"spark.hadoop.fs.s3a.{name}", value)
    return builder.config("spark.log.level", "ERROR").getOrCreate()


def rate(frame, count: int) -> float:
    """Rows per second of the second of two runs of one task into the noop sink."""
    for _ in range(2):
        begin = time.perf_counter()
        frame.write.format("noop").mode("overwrite").save()
        seconds = time.perf_counter() - begin
    return count / seconds


def measure(endpoint: str, jars: list[Path], objects: int, slow_objects: int) -> dict[str, float]:
    """Objects per second by each way."""
    from sparkcider.functions import image_features, list_images
    from sparkcider.storage.fetch import fetch

    spark = spark_session(endpoint, jars)
    begin = time.perf_counter()
    images = list_images(spark, "s3a://b")
    print(
        f"listed {images.count():,} objects in {time.perf_counter() - begin:.1f} s, the start of the connector included"
    )
    paths = [row.path for row in images.select("path").limit(objects).collect()]
    for _ in range(2):
        begin = time.perf_counter()
        failed = [item.reason for item in fetch(paths) if item.reason is not None]
        seconds = time.perf_counter() - begin
    rates = {"fetch, without Spark": objects / seconds}
    few = images.limit(slow_objects).select("path").coalesce(1).persist()
    many = images.select("path").coalesce(1).persist()
    outcome = few.select(image_features("path", model="pixels", with_error=True).alias("f"))
    if failed or outcome.where("f.error IS NOT NULL").count():
        raise SystemExit(f"not all objects could be read: {failed[:3]}")
    rates["column of paths, one task"] = rate(many.select(image_features("path", model="pixels")), images.count())
    folders = [f"s3a://b/{number:02}" for number in range(20)][: max(1, round(20 * slow_objects / objects))]
    contents = spark.read.format("binaryFile").load(folders).select("content").coalesce(1)
    count = len(contents.sparkSession.read.format("binaryFile").load(folders).inputFiles())
    rates["binaryFile, one task"] = rate(contents.select(image_features("content", model="pixels")), count)
    spark.stop()
    return rates


def job_seconds(images: Path, model: Path, objects: int, delay: float) -> float:
    """Seconds of the embedded job, from its start to its exit."""
    with tempfile.TemporaryDirectory() as out, server(images, objects, delay) as (environment, _, _):
        words = ["run", "--input", "s3://b", "--output", f"{out}/out", "--model", str(model), "--normalization", "tf"]
        begin = time.perf_counter()
        subprocess.run(  # noqa: S603 - our own command
            [sys.executable, "-m", "sparkcider", *words, "--engine", "embedded", "--quiet", "--pca-k", "100"],
            env={**os.environ, **environment}, check=True,
        )  # fmt: skip
        return time.perf_counter() - begin


def print_job(images: Path, model: Path, objects: int, delay: float) -> None:
    """What the delay costs the embedded job: medians of three runs each, in turn."""
    runs = [(job_seconds(images, model, objects, 0.0), job_seconds(images, model, objects, delay)) for _ in range(3)]
    print("job, seconds without and with the delay:", ", ".join(f"{fast:.1f} {slow:.1f}" for fast, slow in runs))
    fast, slow = (statistics.median(column) for column in zip(*runs))
    loss = slow / fast - 1
    print(f"wanted: at most {MOST_LOST:.0%} lost; {'reached' if loss <= MOST_LOST else 'NOT reached'}: {loss:.1%}")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=DATA / "fruits" / "Test", help="default: %(default)s")
    parser.add_argument("--objects", type=int, default=3000, help="for the fast ways (default: 3000)")
    parser.add_argument("--slow-objects", type=int, default=300, help="for binaryFile, about (default: 300)")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds of each answer (default: 0.02)")
    parser.add_argument("--job-objects", type=int, default=2400, help="for the embedded job (default: 2400)")
    parser.add_argument("--model", type=Path, default=DATA / "models" / "mobilenetv2_imagenet.onnx")
    parser.add_argument("--job-only", action="store_true", help="leave the ways of fetching out, which need Spark")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    print_job(arguments.images, arguments.model, arguments.job_objects, arguments.delay)
    if arguments.job_only:
        return
    from maven_jars import s3_connector

    with tempfile.TemporaryDirectory() as folder:
        jars = s3_connector(Path(folder))
        with server(arguments.images, 1, 0.0) as (_, endpoint, _):
            quick = asyncio.run(requests_per_second(endpoint))
        with server(arguments.images, arguments.objects, arguments.delay) as (environment, endpoint, mean_bytes):
            os.environ.update(environment)
            before = asyncio.run(requests_per_second(endpoint))
            rates = measure(endpoint, jars, arguments.objects, arguments.slow_objects)
            after = asyncio.run(requests_per_second(endpoint))
    print(f"objects of {mean_bytes / 1000:.1f} kB, each answer {1000 * arguments.delay:.0f} ms late")
    print(f"server: {quick:,.0f} requests/s without the delay, {before:,.0f} before and {after:,.0f} after with it")
    slow = rates["binaryFile, one task"]
    for name, objects in rates.items():
        print(f"{name:28} {objects:8.1f} objects/s   {objects / slow:5.1f} x binaryFile")
    fast = rates["column of paths, one task"] / slow
    print(f"wanted: {WANTED} x; {'reached' if fast >= WANTED else 'NOT reached'}: {fast:.1f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps({**rates, "requests": before}, indent=2))


if __name__ == "__main__":
    main()

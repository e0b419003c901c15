"""The PCA beside Spark's and scikit-learn's: seconds and memory, from features in Parquet to components in Parquet.

    python benches/python/compare_pca.py [--rows 23619] [--features 1280] [--k 100] [--rounds 3]

Needs pyspark and scikit-learn. Every Spark job runs in a process of its own (local[2]); the last of its runs counts, so
that neither side pays for Java's warming up. Memory is the kernel's high-water mark of the JVM and of Python workers.
The last two lines are shapes that Spark's PCA takes half an hour for (study E) or refuses (over 65,535 features).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CORES = 2
FILES = 4
GEMM_SIDE = 2_048
SPARK = "StandardScaler + PCA of pyspark.ml"
OURS = "sparkcider"


# --- data -------------------------------------------------------------------------------------------------------------


def features(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """(rows, width) f32 as networks give them: positive, a decaying spectrum, every feature with a scale of its own."""
    random = np.random.default_rng(seed)
    rank = min(rows, width, 256)
    mixing = random.standard_normal((rank, width), np.float32) * (0.97 ** np.arange(rank, dtype=np.float32))[:, None]
    mixed = random.standard_normal((rows, rank), np.float32) @ mixing
    mixed += 0.1 * random.standard_normal((rows, width), np.float32)
    return np.maximum(mixed * random.uniform(0.5, 2.0, width).astype(np.float32) + 1, 0)


def write_features(folder: Path, values: np.ndarray) -> None:
    """As `array<float>`, in `FILES` files."""
    for number, part in enumerate(np.array_split(values, FILES)):
        lists = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]).cast(pa.list_(pa.float32()))
        pq.write_table(
            pa.table({"features": lists}), folder / f"{number}.parquet", row_group_size=(64 << 20) // values[0].nbytes
        )


# --- one core or both, no Spark ---------------------------------------------------------------------------------------


def quickest(work, rounds: int) -> float:
    """Seconds of the quickest of `rounds` runs."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def moments_of(values: np.ndarray, threads: int):
    """Moments of the rows, each thread taking a share; the GIL is left."""
    from sparkcider import Moments

    shares = [Moments() for _ in range(threads)]

    def update(moments, part: np.ndarray) -> None:
        moments.update(pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1]))

    workers = [threading.Thread(target=update, args=pair) for pair in zip(shares, np.array_split(values, threads))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    for other in shares[1:]:
        shares[0].merge(other)
    return shares[0]


def kernel(doubles: np.ndarray, k: int, cores: list[int], rounds: int) -> None:
    """Prints ours beside scikit-learn's `covariance_eigh` and beside the matrix product of the machine."""
    from sklearn.decomposition import PCA
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    from sparkcider import Pca

    os.sched_setaffinity(0, cores)  # what our solver takes
    threads = len(cores)
    square = np.random.default_rng(0).standard_normal((GEMM_SIDE, GEMM_SIDE))
    rows, width = doubles.shape
    with threadpool_limits(threads):
        peak = 2 * GEMM_SIDE**3 / quickest(lambda: square @ square, rounds + 2) / 1e9
        theirs = quickest(lambda: PCA(k, svd_solver="covariance_eigh").fit(doubles), rounds)
        scaled = quickest(
            lambda: PCA(k, svd_solver="covariance_eigh").fit(StandardScaler().fit_transform(doubles)), rounds
        )
    ours = quickest(lambda: Pca(k=k).fit(moments_of(doubles, threads)), rounds)
    ours_scaled = quickest(lambda: Pca(k=k, standardize=True).fit(moments_of(doubles, threads)), rounds)
    update = quickest(lambda: moments_of(doubles, threads), rounds)
    rate = rows * width * (width + 1) / update / 1e9
    print(f"kernel, {threads} core(s), {rows:,} x {width:,} of f64, k = {k}")
    print(f"  fit              {ours:7.2f} s, scikit-learn {theirs:7.2f} s: {theirs / ours:5.2f} x")
    print(f"  standardised fit {ours_scaled:7.2f} s, scikit-learn {scaled:7.2f} s: {scaled / ours_scaled:5.2f} x")
    print(f"  moments alone    {update:7.2f} s, {rate:.1f} GFLOP/s: {rate / peak:.0%} of numpy's matrix product")


# --- in Spark ---------------------------------------------------------------------------------------------------------


def session(memory: str):
    """local[2] with that much memory for the JVM."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{CORES}]").config("spark.driver.memory", memory)
    for key, value in {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "ERROR",
        "spark.driver.maxResultSize": "4g",
        "spark.sql.parquet.columnarReaderBatchSize": "256",  # 4,096 rows of 100,352 floats are 1.6 GB for each task
    }.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def spark_job(frame, k: int, *, standardize: bool):
    """(fit, transform) of pyspark.ml."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import PCA, StandardScaler
    from pyspark.ml.functions import array_to_vector

    vectors = frame.select(array_to_vector("features").alias("features"))
    scaler = StandardScaler(withMean=True, withStd=True, inputCol="features", outputCol="scaled")
    pca = PCA(k=k, inputCol="scaled" if standardize else "features", outputCol="pca")
    stages = [scaler, pca] if standardize else [pca]
    return lambda: Pipeline(stages=stages).fit(vectors), lambda model: model.transform(vectors)


def our_job(frame, k: int, *, standardize: bool):
    """(fit, transform) of sparkcider."""
    from sparkcider.feature import PCA

    pca = PCA(k=k, inputCol="features", outputCol="pca", standardize=standardize)
    return lambda: pca.fit(frame), lambda model: model.transform(frame)


def high_water() -> dict[str, float]:
    """Peak resident MB of the JVM, and of the largest Python worker, below this process."""
    parents, peaks = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            entries = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:  # ended meanwhile
            continue
        pid = int(status.parent.name)
        parents[pid] = int(entries["PPid"])
        peaks[pid] = (entries["Name"].strip(), int(entries.get("VmHWM", "0 kB").split()[0]) / 1024)

    def ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and ours(parents[pid]))

    below = [peaks[pid] for pid in peaks if pid != os.getpid() and ours(pid)]
    java = max((peak for name, peak in below if name == "java"), default=0.0)
    return {
        "driver_jvm_mb": java,
        "driver_python_mb": peaks[os.getpid()][1],
        "worker_mb": max((peak for name, peak in below if name != "java"), default=0.0),
    }


def run_job(options: argparse.Namespace) -> None:
    """Runs one alternative on a folder of features; prints its seconds and memory as JSON."""
    spark = session(options.memory)
    frame = spark.read.parquet(str(options.input))
    make = our_job if options.job == OURS else spark_job
    fit, transform = make(frame, options.k, standardize=options.standardize)
    for _ in range(options.runs):
        start = time.perf_counter()
        model = fit()
        fitted = time.perf_counter()
        transform(model).select("pca").write.mode("overwrite").parquet(str(options.output))
        seconds = {"fit": fitted - start, "all": time.perf_counter() - start}
    print(json.dumps({**seconds, **high_water()}))
    spark.stop()


def measured(job: str, folder: Path, k: int, *, standardize: bool, runs: int, memory: str) -> dict[str, float]:
    """`run_job` in a process of its own."""
    words = [sys.executable, __file__, "--job", job, "--input", folder / "in", "--output", folder / "out"]
    words += ["--k", str(k), "--runs", str(runs), "--memory", memory, *(["--standardize"] if standardize else [])]
    done = subprocess.run([*map(str, words)], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return json.loads(done.stdout.splitlines()[-1])


def show(name: str, found: dict[str, float]) -> None:
    """One line."""
    memory = f"JVM {found['driver_jvm_mb']:,.0f} MB, driver's Python {found['driver_python_mb']:,.0f} MB"
    times = f"fit {found['fit']:8.1f} s, all {found['all']:8.1f} s"
    print(f"  {name:36} {times}; {memory}, a worker {found['worker_mb']:,.0f} MB", flush=True)


def in_spark(
    values: np.ndarray, k: int, jobs: list[str], *, standardize: bool, runs: int = 4, memory: str = "8g"
) -> None:
    """Prints each job's line, and what lies between them."""
    print(
        f"Spark local[{CORES}], {values.shape[0]:,} x {values.shape[1]:,} of f32, k = {k}, standardised: {standardize}"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "in").mkdir()
        write_features(Path(folder, "in"), values)
        found = {job: measured(job, Path(folder), k, standardize=standardize, runs=runs, memory=memory) for job in jobs}
    for job in jobs:
        show(job, found[job])
    if len(jobs) > 1:
        ratios = {key: found[SPARK][key] / found[OURS][key] for key in ("fit", "all")}
        print(f"  sparkcider is {ratios['fit']:.1f} x in the fit, {ratios['all']:.1f} x in all")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=23_619)
    parser.add_argument("--features", type=int, default=1_280)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="8g", help="of the JVM (default: %(default)s; for 100,352 features 3g)")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--input", help=argparse.SUPPRESS)
    parser.add_argument("--output", help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=int, default=4, help=argparse.SUPPRESS)
    parser.add_argument("--standardize", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.job:
        run_job(options)
        return
    values = features(options.rows, options.features)
    cores = sorted(os.sched_getaffinity(0))
    for threads in range(1, CORES + 1):
        kernel(values.astype(np.float64), options.k, cores[:threads], options.rounds)
    os.sched_setaffinity(0, cores)
    in_spark(values, options.k, [SPARK, OURS], standardize=True, memory=options.memory)
    in_spark(features(8, 8_192), 7, [OURS], standardize=False)
    in_spark(features(2_000, 100_352), 100, [OURS], standardize=False, runs=1, memory="3g")


if __name__ == "__main__":
    main()

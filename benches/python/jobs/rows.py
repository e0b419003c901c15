"""The rows of the table: what is run, what of it counts, and what was wanted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from jobs.bench import CORES, Bench, Finding
from jobs.measured import Figure, Timed, run

NOT_HERE = "not measured: {} is missing"


def at_least(row: str, what: str, wanted: float, values: Sequence[float], unit: str = "") -> Finding:
    """A figure that should be large."""
    figure = Figure.of(values)
    return Finding(row, what, f">= {wanted:.2f}{unit}", f"{figure.text()}{unit}", figure.median >= wanted)


def at_most(
    row: str, what: str, wanted: float, values: Sequence[float], unit: str = "", form: str = "{:.2f}"
) -> Finding:
    """A figure that should be small."""
    figure = Figure.of(values)
    bound = f"<= {form.format(wanted)}{unit}"
    return Finding(row, what, bound, f"{figure.text(form)}{unit}", figure.median <= wanted)


def of_limit(images: int, times: Sequence[Timed]) -> list[float]:
    """Images/s of the whole process over those of the limit around it."""
    return [images / each.run.seconds / each.limit for each in times]


def slower(others: Sequence[Timed], ours: Sequence[Timed]) -> list[float]:
    """How many times as long each of the others took as ours of the same round."""
    return [other.run.seconds / own.run.seconds for other, own in zip(others, ours)]


def print_shares(name: str, times: Sequence[Timed]) -> None:
    """Says where the time of a job went: of the run in the middle."""
    middle = sorted(times, key=lambda each: each.run.seconds)[len(times) // 2].run
    parts = ", ".join(f"{part} {seconds:.2f}" for part, seconds in middle.shares().items())
    print(f"  {name}: of {middle.seconds:.2f} s: {parts}")
    steps = middle.summary.get("worker_seconds", {})
    if steps:
        print("    features, all cores: " + ", ".join(f"{step} {seconds:.2f}" for step, seconds in steps.items()))


def float32(bench: Bench) -> list[Finding]:
    """MobileNetV2 against the limit and against Daft."""
    count, row = bench.counts.fruits, "float32"
    images = bench.fruits(count)
    jobs = {"sparkcider": bench.job(images, *pca(bench), *bench.float32)}
    daft = [f"Daft, {variant}" for variant in ("documented", "tuned") if bench.has_daft]
    for name in daft:
        words = ("--images", images, "--model", bench.options.model, "--variant", name.removeprefix("Daft, "))
        jobs[name] = bench.other("jobs.daft_features", *words, interpreter=bench.options.daft)
    found = bench.compared(jobs, bench.float32)
    ours = found["sparkcider"]
    print_shares("sparkcider", ours)
    findings = [
        at_least(row, f"{count:,} fruits, of the limit", 0.90, of_limit(count, ours)),
        at_most(row, "peak of memory", 450, [each.run.peak_mb for each in ours], " MB", "{:,.0f}"),
    ]
    for name in daft:
        findings += [
            at_least(row, f"{name} (features alone), times as long", 1.2, slower(found[name], ours), " x"),
            Finding(row, f"{name}, of the limit", "", Figure.of(of_limit(count, found[name])).text(), None),
        ]
    if not daft:
        findings.append(Finding(row, "Daft, times as long", ">= 1.20 x", NOT_HERE.format("daft (--daft)"), None))
    return findings


def int8(bench: Bench) -> list[Finding]:
    """The int8 network against its own limit."""
    count = bench.counts.fruits
    ours = bench.compared({"sparkcider, int8": bench.job(bench.fruits(count), *pca(bench), *bench.int8)}, bench.int8)
    print_shares("sparkcider, int8", ours["sparkcider, int8"])
    return [at_least("int8", f"{count:,} fruits, of the int8 limit", 0.80, of_limit(count, ours["sparkcider, int8"]))]


def keras(bench: Bench) -> list[Finding]:
    """Both networks against the job of the studies."""
    if not bench.has_keras:
        return [Finding("keras", "the Keras UDF job", "", NOT_HERE.format("keras or pyspark"), None)]
    count = bench.counts.few
    images = bench.fruits(count)
    jobs = {
        "sparkcider": bench.job(images, *pca(bench), *bench.float32),
        "the Keras UDF job": bench.other("jobs.keras_udf", "--images", images, "--k", bench.counts.k),
        "sparkcider, int8": bench.job(images, *pca(bench), *bench.int8),
    }
    found = bench.compared(jobs)
    theirs = found["the Keras UDF job"]
    what = f"the Keras UDF job, {count:,} fruits, times as long as"
    return [
        at_least("keras", f"{what} float32", 5, slower(theirs, found["sparkcider"]), " x"),
        at_least("keras", f"{what} int8", 10, slower(theirs, found["sparkcider, int8"]), " x"),
    ]


def small(bench: Bench) -> list[Finding]:
    """Few images: nothing but the start."""
    count, rounds = bench.counts.samples, 2 * bench.counts.rounds - 1
    samples = bench.folder / "samples"
    labels = 20
    code = "import sys, sparkcider.samples as s; s.write_samples(sys.argv[1], images_per_label=int(sys.argv[2]))"
    run([sys.executable, "-c", code, str(samples), str(count // labels)])
    jobs = {f"{count} samples": bench.job(samples, "--model", "fruits-tiny", "--standardize")}
    if bench.has_keras:
        model = bench.folder / "resnet50.onnx"
        words = ("--input-size", "50", "--pooling", "flatten", "--weights", "none", "--to", str(model))
        run([sys.executable, "-m", "sparkcider", "export", "resnet50", *words])
        jobs["study E's 8 images"] = bench.job(bench.fruits(8), "--model", model, "--standardize", "--pca-k", 7)
    found = bench.compared(jobs, rounds=rounds)
    for name, times in found.items():
        print_shares(name, times)
    return [at_most("small", name, 2, [each.run.seconds for each in times], " s") for name, times in found.items()]


def spark(bench: Bench) -> list[Finding]:
    """The whole command on Spark, against an earlier version."""
    count = bench.counts.few
    words = (*pca(bench), *bench.float32, "--master", f"local[{CORES}]")
    jobs = {"sparkcider on Spark": bench.job(bench.fruits(count), *words)}
    before = bench.options.baseline
    if before is not None:
        jobs["earlier version"] = bench.job(bench.fruits(count), *words, baseline=before)
    found = bench.compared(jobs)
    for name, times in found.items():
        print_shares(name, times)
    ours = found["sparkcider on Spark"]
    what = f"local[{CORES}], {count:,} fruits, of the earlier version's time"
    seconds = Figure.of([each.run.seconds for each in ours]).text()
    if before is None:
        return [Finding("spark", what, "<= 0.70", f"{seconds} s; no --baseline to compare with", None)]
    return [at_most("spark", what, 0.70, slower(ours, found["earlier version"]))]


def spark_large(bench: Bench) -> list[Finding]:
    """The features stage on Spark against the limit."""
    count, name = bench.counts.many, "sparkcider on Spark"
    job = bench.job(bench.fruits(count), *pca(bench), *bench.float32, "--master", f"local[{CORES}]")
    times = bench.compared({name: job}, bench.float32)[name]
    print_shares(name, times)
    shares = [count / each.run.summary["seconds"]["features"] / each.limit for each in times]
    return [at_least("spark-large", f"{count:,} fruits, features stage, of the limit", 0.95, shares)]


def growth(bench: Bench) -> list[Finding]:
    """What one more image costs the embedded engine, in times of the limit."""
    few, many = bench.counts.few, bench.counts.many
    words = (*pca(bench), *bench.float32)
    jobs = {f"{count:,} fruits": bench.job(bench.fruits(count), *words) for count in (few, many)}
    found = bench.compared(jobs, bench.float32)
    for name, times in found.items():
        print_shares(name, times)
    ratios = [
        (large.run.seconds - little.run.seconds) / (many - few) * large.limit for little, large in zip(*found.values())
    ]
    return [at_most("growth", f"from {few:,} to {many:,} fruits, of the limit's time an image", 1.03, ratios)]


def photos(bench: Bench) -> list[Finding]:
    """Memory with photos of 12 megapixels."""
    count, name = bench.counts.photos, "12-megapixel photos"
    times = bench.compared({name: bench.job(bench.photos(), *bench.float32, "--standardize")})[name]
    print_shares(name, times)
    peaks = [each.run.peak_mb for each in times]
    return [at_most("photos", f"{count} photos of 12 megapixels, peak of memory", 900, peaks, " MB", "{:,.0f}")]


def pca(bench: Bench) -> tuple[object, ...]:
    """The options of the components."""
    return ("--pca-k", bench.counts.k, "--standardize")


ROWS: dict[str, Callable[[Bench], list[Finding]]] = {
    "float32": float32,
    "int8": int8,
    "keras": keras,
    "small": small,
    "spark": spark,
    "spark-large": spark_large,
    "growth": growth,
    "photos": photos,
}
"""By the name that selects a row."""

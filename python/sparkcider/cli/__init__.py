"""The command ``sparkcider``: run, demo, doctor.

Exit codes: 0 well, 1 something failed, 2 the command itself is wrong (an option, a path, a model's file).
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sparkcider
from sparkcider.cli import models
from sparkcider.options import COLOR_ORDERS, FILTERS, LAYOUTS, POOLINGS, PRESETS, RESIZE_MODES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sparkcider.job import JobConfig

# The job, and so pyspark, is imported by the commands that need it: doctor says what is missing without it.

_RUN = """Reads a folder of images, writes their labelled embeddings and principal components.

OUT gets features/ and pca/ (Parquet), pca-model/, explained_variance.csv and summary.json; it appears when all of it is
there. Files that are no image become rows with the reason in the column `error`. Files and folders whose names begin
with `_` or `.` are skipped."""
_SPARK = """Without --master Spark decides: spark-submit, spark-defaults.conf, SPARK_REMOTE (Connect), else local[*].
Memory of a local run: --conf spark.driver.memory=4g."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        arguments: The words after ``sparkcider``; ``None``: those of this process.

    Returns:
        0, 1 or 2, as the module says.

    Example:
        >>> main(["run", "--input", "in", "--output", "out", "--model", "pixels", "--pca-variance", "2"])
        2
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse's way out, after --help and after a wrong option
        return stop.code if isinstance(stop.code, int) else 2
    try:
        code: int = options.command(options)
    except KeyboardInterrupt:
        print("sparkcider: stopped", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        if options.verbose:
            traceback.print_exc()
        print(f"sparkcider: {explain(error)}", file=sys.stderr)
        return 2 if isinstance(error, (ValueError, TypeError, FileNotFoundError, FileExistsError)) else 1
    return code


def explain(error: BaseException) -> str:
    """The one line of an exception that says the cause: Spark wraps it in stack traces of two languages."""
    text = str(error).strip() or type(error).__name__
    if "JAVA_GATEWAY_EXITED" in text or "JAVA_HOME" in text:
        return "Java does not start, and Spark needs it; `sparkcider doctor` says what is missing"
    raised = re.findall(r"^(?:[\w.]+\.)?\w+(?:Error|Exception): (.+)$", text, re.MULTILINE)
    if "Traceback (most recent call last)" in text and raised:
        return str(raised[-1])
    lines = [line.strip() for line in text.splitlines()]
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sparkcider", description="Image embeddings and PCA on Spark.")
    parser.add_argument("--version", action="version", version=f"sparkcider {sparkcider.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="run | demo | doctor", required=True)

    run = commands.add_parser(
        "run",
        help="images in, principal components out",
        description=_RUN,
        epilog=_SPARK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_data(run)
    _add_extractor(run)
    _add_pca(run)
    _add_spark(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="the same on sample images that it makes; needs nothing but Java")
    demo.add_argument("--output", metavar="DIR", default="sparkcider-demo", help="default: %(default)s")
    demo.add_argument("--verbose", action="store_true", help="Spark's warnings, and tracebacks of errors")
    demo.set_defaults(command=_demo)

    doctor = commands.add_parser("doctor", help="what is installed here, what is wrong, what to do")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(command=_doctor, verbose=False)
    models.add_commands(commands)
    return parser


def _add_data(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("data").add_argument
    add("--input", required=True, metavar="IN", help="folder (with all below it), glob or Hadoop URI")
    add("--output", required=True, metavar="OUT", help="folder or Hadoop URI")
    add("--glob", metavar="PATTERN", help="only files of such a name: '*.{jpg,png}' (default: all)")
    add(
        "--label-regex",
        metavar="REGEX",
        help="a file's label is the first group of this (Java) expression, searched in its path (default: its folder)",
    )
    add("--format", metavar="LIST", default="parquet", help="of parquet,json,csv (default: parquet, always written)")
    add(
        "--mode",
        choices=("error", "overwrite"),
        default="error",
        help="if OUT exists; overwrite replaces an older result when the new one is whole (default: %(default)s)",
    )


def _add_extractor(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("model and preprocessing").add_argument
    # No default here: what is not said stays with the model's file, its graph and FeatureExtractor.
    add("--model", required=True, help="name, path or URI of an ONNX file, or `pixels`: small images as features")
    add("--input-size", type=models.size, metavar="N|HxW", help="in pixels (default: the model's own; pixels: 20)")
    add("--resize-mode", choices=RESIZE_MODES, help="(default: squash)")
    add("--crop-ratio", type=float, metavar="R", help="center_crop: input size over short side (default: 0.875)")
    add("--filter", choices=FILTERS, help="Pillow's filters (default: bicubic; pixels: nearest)")
    add(
        "--normalization",
        type=_normalization,
        metavar="|".join(PRESETS) + "|M,M,M/S,S,S",
        help="preset, or mean/std of R,G,B in [0, 1] (default: what the model's file says; pixels: unit)",
    )
    add("--layout", choices=LAYOUTS, help="(default: what the model's graph says)")
    add("--color-order", choices=COLOR_ORDERS, help="(default: the normalization's own)")
    add("--pooling", choices=POOLINGS, help="of a 4-D output (default: avg)")
    add("--layer", metavar="NAME", help="the model's output to take (default: the first)")
    add(
        "--layer-layout",
        choices=LAYOUTS,
        help="axes of a 4-D output (default: what the graph's operators say)",
    )
    add("--intra-threads", type=int, metavar="N", help="threads of one Spark task (default: 1)")
    add("--no-exif", dest="apply_exif", action="store_false", default=None, help="(default: turned as EXIF says)")
    add("--max-pixels", type=int, metavar="N", help="larger images are errors (default: 178956970)")
    add(
        "--background",
        type=_color,
        metavar="R,G,B",
        help="laid under transparent pixels and letterbox bars (default: alpha is dropped, bars are black)",
    )


def _add_pca(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("PCA")
    size = group.add_mutually_exclusive_group()
    size.add_argument("--pca-k", type=int, metavar="K", help="number of components")
    size.add_argument("--pca-variance", type=float, metavar="V", help="share of the variance to keep (default: 0.9)")
    group.add_argument("--standardize", action="store_true", help="unit variance first (default: centred only)")


def _add_spark(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("Spark").add_argument
    add("--master", metavar="URL", help="such as local[4] or yarn (default: Spark's own)")
    add("--conf", action="append", default=[], type=_pair, metavar="KEY=VALUE", help="any Spark setting, repeatable")
    add("--verbose", action="store_true", help="Spark's warnings, and tracebacks of errors (default: one line)")


def _normalization(text: str) -> str | tuple[list[float], list[float]]:
    if text in PRESETS:
        return text
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        mean, std = [], []
    if len(mean) == len(std) == len("RGB"):
        return mean, std
    raise argparse.ArgumentTypeError(f"one of {', '.join(PRESETS)}, or mean/std as M,M,M/S,S,S, not {text!r}")


def _color(text: str) -> tuple[int, int, int]:
    try:
        red, green, blue = bytes(int(level) for level in text.split(","))  # bytes are the levels from 0 to 255
    except ValueError:
        raise argparse.ArgumentTypeError(f"three levels from 0 to 255 as R,G,B, not {text!r}") from None
    return red, green, blue


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE, not {text!r}")
    return key, value


_EXTRACTOR = (
    "input_size", "resize_mode", "crop_ratio", "filter", "normalization", "layout", "color_order", "pooling", "layer",
    "layer_layout", "intra_threads", "apply_exif", "max_pixels", "background",
)  # fmt: skip


def _config(options: argparse.Namespace) -> JobConfig:
    from sparkcider.job import JobConfig

    given = {name: getattr(options, name) for name in _EXTRACTOR}
    return JobConfig(
        input=options.input,
        output=options.output,
        model=options.model,
        options={name: value for name, value in given.items() if value is not None},
        label_regex=options.label_regex,
        glob=options.glob,
        pca_k=options.pca_k,
        pca_variance=options.pca_variance,
        standardize=options.standardize,
        formats=tuple(name.strip() for name in options.format.split(",")),
        mode=options.mode,
    )


def _run(options: argparse.Namespace) -> int:
    summary = _run_job(_config(options), options.master, dict(options.conf), verbose=options.verbose)
    for kind in summary["errors_by_kind"]:
        _say(f"{kind['count']:>9,} x {kind['kind']} (such as {kind['example']})")
    _say(f"{'result':<9} {options.output}")
    return 0


def _demo(options: argparse.Namespace) -> int:
    from sparkcider.job import JobConfig
    from sparkcider.samples import write_samples

    folder = Path(options.output).absolute()
    images, result = folder / "images", folder / "result"
    _say(f"{'samples':<9} {write_samples(images):,} files in {images}")
    config = JobConfig(input=f"file:{images}", output=f"file:{result}", model="fruits-tiny", mode="overwrite")
    summary = _run_job(config, "local[*]", {}, verbose=options.verbose)
    print(_demo_table(summary))
    print(f"Result: {result}")
    return 0


def _demo_table(summary: dict[str, Any]) -> str:
    """Labels, explained variance and speed, for the eye."""
    lines = ["", f"{'label':<20}{'files':>7}{'images':>8}"]
    lines += [f"{row['label']:<20}{row['files']:>7}{row['images']:>8}" for row in summary["by_label"]]
    ratios = summary["pca"]["explained_variance_ratio"]
    lines += ["", f"{'component':<20}{'ratio':>7}{'sum':>8}"]
    lines += [f"{n:<20}{ratio:>7.1%}{sum(ratios[:n]):>8.1%}" for n, ratio in enumerate(ratios[:5], 1)]
    lines += [f"{f'... {len(ratios)} in all':<20}{'':>7}{sum(ratios):>8.1%}", ""]
    lines += [f"{row['count']} x {row['kind']} ({row['example']})" for row in summary["errors_by_kind"]]
    lines += [f"{summary['images_per_second']:,.0f} images/s", ""]
    return "\n".join(lines)


def _doctor(options: argparse.Namespace) -> int:
    from sparkcider.cli.doctor import main as examine

    return examine(as_json=options.json)


def _run_job(config: JobConfig, master: str | None, conf: dict[str, str], *, verbose: bool) -> dict[str, Any]:
    """Checks the model before Spark starts, then runs the job on a session of its own."""
    from sparkcider import job

    job.inspect_model(config)
    spark = job.start_session(master, conf, verbose=verbose)
    try:
        return job.run(spark, config, _say)
    finally:
        spark.stop()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)

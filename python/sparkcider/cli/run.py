"""The commands `run` and `demo`: their options, and what they print."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider.cli.parser import add_command, color, finish_command, normalization, pair, say, show, size
from sparkcider.models import available
from sparkcider.options import (
    COLOR_ORDERS,
    DECODINGS,
    FILTERS,
    LAYOUTS,
    POOLINGS,
    PRESETS,
    RESIZE_DTYPES,
    RESIZE_MODES,
    ROUNDINGS,
)

if TYPE_CHECKING:
    from sparkcider.job import JobConfig

# The job is imported when a command runs: help and errors of options need no pyarrow.

_RUN = """Reads a folder of images, writes their labelled embeddings and principal components.

OUT gets features/, pca/ and findings/ (Parquet), pca-model/, report.html, explained_variance.csv and summary.json. It
appears when the job has succeeded. Files that cannot be decoded become rows with the reason in the column `error`.
Files and folders whose names begin with `_` or `.` are skipped."""
_SPARK = """Without a reason for Spark the job runs in this process (--engine). On Spark, spark-submit,
spark-defaults.conf or SPARK_REMOTE (Connect) choose the master, else it is local[*]. Memory of a local Spark:
--conf spark.driver.memory=4g."""


def add_commands(commands: Any) -> None:
    """Adds the commands to the subparsers of `sparkcider`."""
    run = add_command(
        commands,
        "run",
        summary="embed images, reduce the embeddings by PCA, write a report",
        example="sparkcider run --input images --output out --model fruits-tiny",
        description=_RUN,
        epilog=_SPARK,
    )
    run.usage = "%(prog)s --input IN --output OUT --model MODEL [options]"
    _add_data(run)
    _add_extractor(run)
    _add_pca(run)
    _add_engine(run)
    output = finish_command(run, _run)
    output.add_argument("--quiet", action="store_true", help="print errors only (default: stages and progress)")

    demo = add_command(
        commands,
        "demo",
        summary="make sample images and run the job on them",
        example="sparkcider demo --output sparkcider-demo",
        description="Makes 240 sample images of fruits in 20 folders, and runs the job on them with fruits-tiny.",
    )
    demo.add_argument("--output", metavar="DIR", default="sparkcider-demo", help="default: %(default)s")
    demo.add_argument("--engine", choices=("embedded", "spark"), default="embedded", help="default: %(default)s")
    finish_command(demo, _demo)


def _add_data(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("data").add_argument
    add(
        "--input",
        required=True,
        metavar="IN",
        help="folder (with all below it), file, glob, URI; or table:NAME on Spark",
    )
    add("--output", required=True, metavar="OUT", help="folder or URI")
    add("--glob", metavar="PATTERN", help="only files of such names, as in 'img*.{jpg,png}' (default: all)")
    add(
        "--label-regex",
        metavar="REGEX",
        help="an image's label is the first group of this (Python) expression, searched in its path "
        "(default: its folder)",
    )
    add(
        "--content-column",
        metavar="COLUMN",
        help="IN is a Parquet file or folder, or a table, with encoded images in this column (default: IN has files)",
    )
    add("--path-column", metavar="COLUMN", help="its column that names each image (default: path)")
    add(
        "--format",
        dest="formats",
        metavar="LIST",
        default="parquet",
        help="of parquet,json,csv (default: parquet, always written)",
    )
    add(
        "--to-table",
        metavar="NAME",
        help="also write features to this table of Spark's catalog, such as catalog.schema.name, and components to "
        "NAME_pca (default: files only)",
    )
    add(
        "--no-thumbnails",
        dest="thumbnails",
        action="store_false",
        help="features without small JPEGs of the images (default: of at most 48 x 48 pixels, about 1.2 kB each)",
    )
    add(
        "--no-report",
        dest="report",
        action="store_false",
        help="no findings and no report.html (default: duplicates, outliers, suspect labels, and a page of them)",
    )
    add(
        "--mode",
        choices=("error", "overwrite"),
        default="error",
        help="if OUT exists; overwrite replaces an older result when the new one is complete (default: %(default)s)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with unfinished work, or bring OUT up to date with IN (default: off)",
    )
    add(
        "--same-input",
        action="store_true",
        help="with --resume: the images moved to another IN; rows of unchanged files are kept (default: refused)",
    )
    add(
        "--allow-removed",
        action="store_true",
        help="with --resume: remove rows of files that are not there, however many (default: at most a tenth)",
    )
    add(
        "--max-error-rate",
        type=float,
        metavar="SHARE",
        help="stop with exit code 3 when more of the images failed, such as 0.05 (default: never)",
    )
    add(
        "--max-unread-rate",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="stop with exit code 3 when more of the images could not be read; 1: never (default: %(default)s)",
    )


def _add_extractor(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("model and preprocessing").add_argument
    # No default here: what is not said stays with the model's file, its graph and FeatureExtractor.
    add("--model", help="required: name, path or URI of an ONNX file, or `pixels`: small images as features")
    add("--input-size", type=size, metavar="N|HxW", help="in pixels (default: the model's own; pixels: 20)")
    add("--resize-mode", choices=RESIZE_MODES, help="(default: squash)")
    add(
        "--resize-size",
        type=size,
        metavar="N|HxW",
        help="before the cut (default: input size; center_crop: over ratio)",
    )
    add("--crop-ratio", type=float, metavar="R", help="center_crop: input size over short side (default: 0.875)")
    add("--filter", choices=FILTERS, help="Pillow's filters (default: bicubic; pixels: nearest)")
    add("--rounding", choices=ROUNDINGS, help="rules for fractions of a pixel (default: torchvision)")
    add("--resize-dtype", choices=RESIZE_DTYPES, help="float32: as torchvision resizes floats (default: uint8)")
    add("--fill-color", type=color, metavar="R,G,B", help="of bars (default: the background, else black)")
    add(
        "--normalization",
        type=normalization,
        metavar="|".join(PRESETS) + "|M,M,M/S,S,S",
        help="preset, or mean/std of R,G,B in [0, 1] (default: from the model's file; pixels: unit)",
    )
    add("--layout", choices=LAYOUTS, help="(default: from the model's graph)")
    add("--color-order", choices=COLOR_ORDERS, help="(default: the normalization's own)")
    add(
        "--pooling",
        choices=POOLINGS,
        help="of a map (default: avg) or tokens (default: as the model's library, or cls where the graph shows one)",
    )
    add(
        "--prefix-tokens",
        type=int,
        metavar="N",
        help="mean_tokens: tokens before those of the patches (default: from the graph)",
    )
    add(
        "--layer",
        metavar="NAME",
        help="the model's output to take (default: image_embeds, pooler_output, last_hidden_state, else the first)",
    )
    add(
        "--layer-layout",
        choices=LAYOUTS,
        help="axes of a 4-D output (default: from the graph)",
    )
    add(
        "--l2-normalize",
        action=argparse.BooleanOptionalAction,
        help="divide each vector by its Euclidean norm (default: from the model's file, else off)",
    )
    add("--intra-threads", type=int, metavar="N", help="threads of one Spark task (default: 1)")
    add("--decode", choices=DECODINGS, help="scaled: large JPEGs at the scale that the input needs (default: exact)")
    add("--no-exif", dest="apply_exif", action="store_false", default=None, help="(default: turned as EXIF says)")
    add("--max-pixels", type=int, metavar="N", help="larger images are errors (default: 178956970)")
    add(
        "--background",
        type=color,
        metavar="R,G,B",
        help="laid under transparent pixels and letterbox bars (default: alpha is dropped, bars are black)",
    )
    add(
        "--preprocessing",
        metavar="FILE|none",
        help="JSON file that describes all of this, such as preprocessor_config.json (default: the one beside the "
        "model, where the model's file does not say its normalization)",
    )


def _add_pca(run: argparse.ArgumentParser) -> None:
    group = run.add_argument_group("PCA")
    size = group.add_mutually_exclusive_group()
    size.add_argument("--pca-k", type=int, metavar="K", help="number of components")
    size.add_argument("--pca-variance", type=float, metavar="V", help="share of the variance to keep (default: 0.9)")
    size.add_argument("--no-pca", dest="pca", action="store_false", help="features alone (default: with a PCA)")
    group.add_argument("--standardize", action="store_true", help="unit variance first (default: off)")
    group.add_argument(
        "--no-center",
        dest="center",
        action="store_false",
        help="project without subtracting the mean, as Spark's PCA does (default: the mean is subtracted)",
    )


def _add_engine(run: argparse.ArgumentParser) -> None:
    add = run.add_argument_group("engine").add_argument
    add(
        "--engine",
        choices=("auto", "embedded", "spark"),
        default="auto",
        help="embedded: threads of this process, no Java; auto: Spark where there is a reason (default: %(default)s)",
    )
    add("--workers", type=int, metavar="N", help="threads of engine embedded (default: one for each core)")
    add("--master", metavar="URL", help="of Spark, such as local[4] or yarn (default: Spark's own)")
    add("--conf", action="append", default=[], type=pair, metavar="KEY=VALUE", help="any Spark setting, repeatable")


_EXTRACTOR = (
    "input_size", "resize_mode", "resize_size", "crop_ratio", "filter", "rounding", "resize_dtype", "fill_color",
    "normalization", "layout", "color_order", "pooling", "prefix_tokens", "layer", "layer_layout", "l2_normalize",
    "intra_threads", "decode", "apply_exif", "max_pixels", "background", "preprocessing",
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
        content_column=options.content_column,
        path_column=options.path_column,
        pca=options.pca,
        pca_k=options.pca_k,
        pca_variance=options.pca_variance,
        standardize=options.standardize,
        center=options.center,
        formats=tuple(name.strip() for name in options.formats.split(",")),
        mode=options.mode,
        resume=options.resume,
        same_input=options.same_input,
        allow_removed=options.allow_removed,
        max_error_rate=options.max_error_rate,
        max_unread_rate=options.max_unread_rate,
        engine=options.engine,
        workers=options.workers,
        to_table=options.to_table,
        thumbnails=options.thumbnails,
        report=options.report,
    )


def _run(options: argparse.Namespace) -> int:
    if options.model is None:
        for line in _model_advice():
            say(line)
        return 2
    config = _config(options)
    summary = _run_job(config, options, options.master, dict(options.conf), quiet=options.quiet)
    if not options.quiet:
        for fault in summary["errors_by_reason"]:
            say(f"{fault['count']:>9,} x {fault['kind']}, such as {fault['example']}: {fault['reason']}")
        say(f"{'result':<9} {options.output}")
    if options.json:
        show(options, summary, ())
    return 0


def _model_advice() -> list[str]:
    names = ", ".join(available())
    return [
        f"sparkcider: --model is required. Available: {names}, pixels.",
        "Any ONNX file with one image input works, by its path or URI. To make one that --model finds by its name:",
        "  sparkcider export mobilenet_v2",
    ]


def _demo(options: argparse.Namespace) -> int:
    from sparkcider.job import JobConfig
    from sparkcider.job.look import REPORT
    from sparkcider.samples import write_samples

    folder = Path(options.output).absolute()
    images, result = folder / "images", folder / "result"
    say(f"{'samples':<9} {write_samples(images):,} files in {images}")
    config = JobConfig(
        input=f"file:{images}", output=f"file:{result}", model="fruits-tiny", mode="overwrite", engine=options.engine
    )
    summary = _run_job(config, options, "local[*]" if options.engine == "spark" else None, {})
    where = [f"Result: {result}", f"Report: {(result / REPORT).as_uri()}"]
    show(options, summary, [*_demo_table(summary), *where])
    return 0


def _demo_table(summary: dict[str, Any]) -> list[str]:
    """Labels, explained variance and speed, for the eye."""
    lines = ["", f"{'label':<20}{'files':>7}{'images':>8}"]
    lines += [f"{row['label']:<20}{row['files']:>7}{row['images']:>8}" for row in summary["by_label"]]
    ratios = summary["pca"]["explained_variance_ratio"]
    lines += ["", f"{'component':<20}{'ratio':>7}{'sum':>8}"]
    lines += [f"{n:<20}{ratio:>7.1%}{sum(ratios[:n]):>8.1%}" for n, ratio in enumerate(ratios[:5], 1)]
    lines += [f"{f'... {len(ratios)} in all':<20}{'':>7}{sum(ratios):>8.1%}", ""]
    lines += [
        f"{row['count']} x {row['kind']}, such as {row['example']}: {row['reason']}"
        for row in summary["errors_by_reason"]
    ]
    return [*lines, f"{summary['images_per_second']:,.0f} images/s", ""]


def _run_job(
    config: JobConfig, options: argparse.Namespace, master: str | None, conf: dict[str, str], *, quiet: bool = False
) -> dict[str, Any]:
    """Runs the job, and says on stderr how it goes."""
    from sparkcider import job
    from sparkcider.job.engine import choose_engine

    if options.own_process and choose_engine(config, settings=master is not None or bool(conf)).engine == "embedded":
        _start_arrow_without_pandas()
    progress = job.Progress(None if quiet else say, bar=sys.stderr.isatty())
    return job.run(config, master=master, conf=conf, verbose=options.verbose, progress=progress)


class _Hidden:
    """Hides pandas from `import`."""

    @staticmethod
    def find_spec(name: str, _path: Any = None, _target: Any = None) -> None:
        if name == "pandas":
            raise ImportError(name)


def _start_arrow_without_pandas() -> None:
    """Makes pyarrow's first array while pandas cannot be imported.

    pyarrow imports pandas for its first array, to tell a Series from a list: as long as all else in a job of a few
    images takes. A command has no Series, and pandas can be imported later.
    """
    import pyarrow as pa

    sys.meta_path.insert(0, _Hidden)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_Hidden)

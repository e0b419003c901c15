"""The stages of a job in their order, whatever the engine."""

from __future__ import annotations

import json
import platform
import re
from dataclasses import asdict
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

import sparkcider
from sparkcider.arguments import found, names_checked
from sparkcider.job.advice import scaled_advice
from sparkcider.job.config import DEFAULT_VARIANCE, FORMATS, JobConfig, ModelFacts, open_model
from sparkcider.job.counts import check_error_rate
from sparkcider.job.engine import choose_engine, session_is_active
from sparkcider.job.lock import LOCK
from sparkcider.job.look import check_report, find, sampled_share, write_report
from sparkcider.job.progress import Progress
from sparkcider.job.results import SUMMARY, Partial, check_free, unfinished
from sparkcider.job.resume import JOB, carry_over, check_same, dependencies, unchanged_summary
from sparkcider.job.summary import Summary
from sparkcider.models import hub_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pyspark.sql import SparkSession

    from sparkcider import FeatureExtractor
    from sparkcider._native import Pca
    from sparkcider.job.counts import Counts
    from sparkcider.job.look import Look
    from sparkcider.job.source import Images
    from sparkcider.storage.files import Files


class Engine(Protocol):
    """What a job needs of an engine; `embedded` and `cluster` have one each."""

    name: str

    def location(self, path: str) -> str:
        """The full URI of a path."""

    def files(self, uri: str) -> Files:
        """The files of a full URI."""

    def images(self) -> Images:
        """The images of the job, listed."""

    def embed(self, images: Any, partial: Partial) -> None:
        """Embeds all images, of the kind that `images` gives, and adds them to the table `features`."""

    def count(self, partial: Partial) -> Counts:
        """Counts the rows of the table `features`."""

    def keys(self, folder: str) -> pa.Table:
        """`resume.DONE` of all rows in a folder of features."""

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None) -> None:
        """Writes rows of a folder of features into `partial`: those of `kept` (path, label), or all as they are."""

    def reduce(self, partial: Partial) -> Pca:
        """Fits the PCA, writes the table `pca` and `pca-model`; gives the fitted PCA."""

    def rows(self, partial: Partial, share: float) -> pa.Table:
        """`look.LOOKED_AT` of the images that have features: of all, or of those that `look.is_sampled` says."""

    def write_text(self, partial: Partial, table: str, form: str) -> None:
        """Writes a table as JSON or CSV, too."""

    def publish(self, partial: Partial) -> None:
        """Writes what the job is to write beside its files: tables of Spark's catalog."""

    def profile(self) -> dict[str, Any]:
        """What the summary says of this engine's work."""

    def versions(self) -> dict[str, str]:
        """Versions of what only this engine uses."""


@names_checked
def run(
    config: JobConfig,
    *,
    spark: SparkSession | None = None,
    master: str | None = None,
    conf: Mapping[str, str] | None = None,
    verbose: bool = False,
    progress: Callable[[str], None] | Progress | None = None,
) -> Summary:
    """Runs a job: images in, embeddings and principal components out.

    Args:
        config: What to read, do and write.
        spark: The session to run on, classic (PySpark >= 3.5) or Connect (>= 4.0). Default: the active one where
            `config.engine` is `spark` or `auto`, else a new one where a reason for Spark remains; it is stopped at
            the end.
        master: Master of a new session, such as `local[4]`. Default: Spark's own settings.
        conf: Spark settings of a new session.
        verbose: Let the warnings of a new session through.
        progress: Takes a line of text at a time. Default: lines on stdout, with a bar in terminals and in Jupyter.

    Returns:
        The summary, as it is written to `summary.json`: a dict, which notebooks show as a table.

    Raises:
        FileNotFoundError: The input or the model does not exist.
        FileExistsError: The output exists and may not be replaced.
        ImportError: There is no jinja2, which the report needs.
        TypeError: The configuration is something else.
        ValueError: The input holds no file or no readable image, or an option has a wrong value.
        ModelError: The model does not have exactly one image input, or cannot be loaded.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from sparkcider.samples import write_samples
        >>> with TemporaryDirectory() as folder:
        ...     n_files = write_samples(f"{folder}/images", images_per_label=2)
        ...     config = JobConfig(
        ...         input=f"{folder}/images", output=f"{folder}/out", model="fruits-tiny", pca_k=3, engine="embedded"
        ...     )
        ...     summary = run(config, progress=lambda line: None)
        >>> summary["engine"], summary["images"], summary["pca"]["k"]
        ('embedded', 40, 3)
    """
    if not isinstance(config, JobConfig):
        hint = ": run(JobConfig(**settings))" if isinstance(config, dict) else ""
        raise TypeError(f"run takes a JobConfig, got {found(config)}{hint}")
    if not isinstance(progress, Progress):
        progress = Progress.of_this_process() if progress is None else Progress(progress)
    settings = master is not None or bool(conf)
    choice = choose_engine(config, settings=settings, session=spark is not None or session_is_active())
    progress.line(f"{'engine':<9} {choice.engine} ({choice.reason})")
    if config.report:
        check_report()
    extractor = open_model(config)
    if choice.engine == "embedded":
        from sparkcider.job.embedded import EmbeddedEngine

        return Summary(_run_on(EmbeddedEngine(config, extractor, progress), config, extractor, progress))
    from sparkcider.job.cluster import SparkEngine, session_for

    with session_for(spark, master, conf, verbose=verbose) as session:
        return Summary(_run_on(SparkEngine(session, config, progress), config, extractor, progress))


def _run_on(engine: Engine, config: JobConfig, extractor: FeatureExtractor, progress: Progress) -> dict[str, Any]:
    output = engine.location(config.output)
    _check_apart(engine.location(config.input), output)
    files, now = engine.files(output), dependencies(config, extractor)
    check_free(files, output, overwrite=config.mode == "overwrite" or config.resume)
    older = output if config.resume and files.exists(output) else None
    for folder in filter(None, (older, f"{output}.partial" if config.resume else None)):
        check_same(files, folder, now)
    with progress.stage("input", config.input) as done:
        images = engine.images()
        done(_found_text(images.found))
    if older is not None and not files.exists(f"{output}.partial"):
        summary = unchanged_summary(engine, files, older, images.keys, config)
        if summary is not None:
            progress.line(f"{'result':<9} nothing has changed since {older} was written")
            return summary
    try:
        with unfinished(files, output, overwrite=config.mode == "overwrite", resume=config.resume) as partial:
            partial.write_text(JOB, json.dumps(now, indent=2) + "\n")
            summary, look = _stages(config, engine, images, partial, older, extractor.embedding_dim, progress)
            found = {"name": config.model_name, "hub_commit": hub_commit(config.model)}
            summary["model"] = {**found, **asdict(ModelFacts.of(extractor))}
            if look is not None:
                write_report(summary, look, partial, progress)
            partial.write_text(SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    except BaseException:
        if Partial(files, f"{output}.partial").has_features():
            kept = f"finished features are in {output}.partial; the same job with --resume goes on"
            progress.failure(f"{'kept':<9} {kept}")
        raise
    return summary


def _stages(
    config: JobConfig,
    engine: Engine,
    images: Images,
    partial: Partial,
    older: str | None,
    dimension: int,
    progress: Progress,
) -> tuple[dict[str, Any], Look | None]:
    """Runs the stages between the listing and the report; gives what the summary says of them, and what is reported."""
    todo, counts, rate = _embed(config, engine, images, partial, older, progress)
    _remove_later_stages(partial)
    pca = _reduce(config, engine, partial, progress) if config.pca else None
    look = None
    if config.report:
        rows = engine.rows(partial, sampled_share(counts.n_images, dimension))
        look = find(rows, pca, counts.n_images, partial, progress)
    _write_text(config, engine, partial, progress)
    engine.publish(partial)
    profile = engine.profile()
    advice = scaled_advice(config, todo, profile["worker_seconds"])
    if advice is not None:
        progress.line(f"{'advice':<9} {advice}")
    summary = {
        "engine": engine.name,
        "input": {**images.found, "labels": len(counts.files) - (None in counts.files)},
        "images": counts.n_images,
        "errors": counts.n_errors,
        "errors_by_kind": counts.by_kind(),
        "errors_by_reason": counts.by_reason(),
        "by_label": counts.by_label(),
        "embedded": todo.found["files"],
        "images_per_second": round(rate, 1),
        "pca": None if pca is None else _pca_facts(config, pca),
        "findings": None if look is None else look.findings.facts,
        "seconds": progress.seconds,
        **profile,
        "scaled_decoding": None if advice is None else advice.as_dict(),
        "versions": {**_versions(), **engine.versions()},
        "config": {**asdict(config), "model": config.model_name},
    }
    return summary, look


def _embed(
    config: JobConfig, engine: Engine, images: Images, partial: Partial, older: str | None, progress: Progress
) -> tuple[Images, Counts, float]:
    """Embeds the images that have no features yet; gives these images, the counts of all, and the images/s."""
    with progress.stage("features", config.model_name) as done:
        todo = images
        if config.resume and images.keys is not None:
            todo = images.of(carry_over(engine, partial, older, images.keys))
        embedded = todo.found["files"]
        if embedded:
            engine.embed(todo, partial)
        rate = embedded / done.seconds()
        counts = engine.count(partial)
        check_error_rate(config, counts.n_files, counts.n_errors, finished=True)
        if counts.n_images == 0:
            reason = counts.by_reason()[0]["reason"]
            partial.files.remove(partial.child("features"))  # nothing in it is worth resuming
            raise ValueError(f"no image among {counts.n_files:,} files of {config.input}; most often: {reason}")
        kept = f", {counts.n_files - embedded:,} kept" if embedded < counts.n_files else ""
        done(f"{counts.n_images:,} images, {counts.n_errors:,} failed{kept}, {rate:,.0f} images/s")
    return todo, counts, rate


def _remove_later_stages(partial: Partial) -> None:
    """Removes what a run that failed after the features has left: it is made again."""
    for name in partial.files.children(partial.uri):
        if name not in ("features", JOB, LOCK):
            partial.files.remove(partial.child(name))


def _reduce(config: JobConfig, engine: Engine, partial: Partial, progress: Progress) -> Pca:
    asked = f"k {config.pca_k}" if config.pca_k is not None else f"variance {config.pca_variance or DEFAULT_VARIANCE}"
    with progress.stage("pca", asked) as done:
        pca = engine.reduce(partial)
        ratios = _ratios(pca)
        partial.write_text("explained_variance.csv", _variance_csv(ratios))
        done(f"{len(ratios):,} components hold {sum(ratios):.1%} of the variance")
    return pca


def _pca_facts(config: JobConfig, pca: Pca) -> dict[str, Any]:
    ratios = _ratios(pca)
    return {
        "k": len(ratios),
        "explained_variance_ratio": ratios,
        "standardize": config.standardize,
        "center": config.center or config.standardize,
    }


def _ratios(pca: Pca) -> list[float]:
    """The share of the variance per component."""
    return [float(ratio) for ratio in pca.explained_variance_ratio_]


def _write_text(config: JobConfig, engine: Engine, partial: Partial, progress: Progress) -> None:
    forms = [name for name in FORMATS[1:] if name in config.formats]
    if not forms:
        return
    with progress.stage("files", ", ".join(forms)) as done:
        for table in ("features", "pca") if config.pca else ("features",):
            for form in forms:
                engine.write_text(partial, table, form)
        done("written")


def _found_text(found: dict[str, int]) -> str:
    if "bytes" not in found:
        return f"{found['files']:,} rows"
    return f"{found['files']:,} files, {found['bytes'] / 1e6:,.1f} MB, {found['labels']:,} labels"


def _variance_csv(ratios: list[float]) -> str:
    """One line per component: number from 1, ratio, cumulated ratio."""
    lines = (f"{n},{ratio!r},{total!r}" for n, (ratio, total) in enumerate(zip(ratios, accumulate(ratios)), 1))
    return "\n".join(("component,ratio,cumulative", *lines)) + "\n"


def _check_apart(source: str, output: str) -> None:
    """ValueError where one is inside the other: results would be read as images, or images be replaced by results."""
    base = re.split(r"[*?\[{]", source, maxsplit=1)[0]
    inside_input = base == source and f"{output}/".startswith(f"{base.rstrip('/')}/")
    if inside_input or f"{base}/".startswith(f"{output}/"):
        raise ValueError(f"output {output} and input {source} are inside one another; keep them apart")


def _versions() -> dict[str, str]:
    return {
        "sparkcider": sparkcider.__version__,
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "numpy": np.__version__,
    }

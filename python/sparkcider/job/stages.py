"""The stages of a job in their order, whatever the engine."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from sparkcider import SparkciderError
from sparkcider.arguments import found, names_checked
from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.job.advice import scaled_advice
from sparkcider.job.config import DEFAULT_VARIANCE, FORMATS, JobConfig, ModelFacts, open_model
from sparkcider.job.counts import check_error_rate, check_unread_rate
from sparkcider.job.dependencies import JOB, check_same, dependencies, write_job
from sparkcider.job.engine import choose_engine, session_is_active
from sparkcider.job.look import check_report, find, sampled_share, write_report
from sparkcider.job.progress import Progress
from sparkcider.job.results import SUMMARY, Partial, check_free, finish_move, unfinished
from sparkcider.job.resume import Earlier, carry_over, doubled_line, drop_doubled, left_over, unchanged_summary
from sparkcider.job.summary import Summary, explained_ratios, pca_facts, variance_csv, versions
from sparkcider.models import hub_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa
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

    def embed(self, images: Any, partial: Partial, total: int) -> None:
        """Embeds all images, of the kind that `images` gives, and adds them to the table `features`.

        `total` is the number of the job's images, those that have rows already among them.
        """

    def count(self, partial: Partial) -> Counts:
        """Counts the rows of the table `features`."""

    def keys(self, folder: str, known: set[str] | None = None) -> pa.Table:
        """`resume.DONE` of all rows in a folder of features, or of those in parts of known names."""

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None, known: set[str] | None = None) -> None:
        """Writes rows of a folder of features into `partial`: each of `resume.KEPT` once, or all as they are."""

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
        TooManyErrorsError: More images failed than `max_error_rate` allows.
        TooManyUnreadError: More images could not be read than `max_unread_rate` allows.
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
    from sparkcider.job.cluster import SparkEngine
    from sparkcider.job.session import session_for

    with session_for(spark, master, conf, verbose=verbose) as session:
        return Summary(_run_on(SparkEngine(session, config, progress), config, extractor, progress))


def _run_on(engine: Engine, config: JobConfig, extractor: FeatureExtractor, progress: Progress) -> dict[str, Any]:
    output = engine.location(config.output)
    source = engine.location(config.input)
    _check_apart(source, output)
    files, now = engine.files(output), dependencies(config, extractor, source)
    overwrite = config.mode == "overwrite"
    if overwrite or config.resume:
        finish_move(files, output, progress.line)
    check_free(files, output, overwrite=overwrite or config.resume)
    older = _earlier(files, output, now, config).older
    with progress.stage("input", config.input) as done:
        images = engine.images()
        done(_found_text(images.found))
    if older is not None and not files.exists(f"{output}.partial"):
        summary = unchanged_summary(engine, files, older, images.keys, config)
        if summary is not None:
            progress.line(f"{'result':<9} nothing has changed since {older} was written")
            return summary
    if not overwrite and not config.resume:
        _say_left_over(engine, Partial(files, f"{output}.partial"), progress)
    partial = None
    try:
        with unfinished(files, output, overwrite=overwrite, resume=config.resume, say=progress.line) as partial:
            # once more: another run may have ended while this one listed the input, or waited
            earlier = _earlier(files, output, now, config)
            summary, look = _stages(config, engine, images, partial, earlier, extractor.embedding_dim, progress)
            found = {"name": config.model_name, "hub_commit": hub_commit(config.model)}
            summary["model"] = {**found, **asdict(ModelFacts.of(extractor))}
            if look is not None:
                write_report(summary, look, partial, progress)
            partial.write_text(SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    except BaseException:
        if partial is not None:
            _say_kept(partial, progress)
        raise
    return summary


def _earlier(files: Files, output: str, now: dict[str, Any], config: JobConfig) -> Earlier:
    """What a run that resumes finds; ValueError if it was made in another way."""
    if not config.resume:
        return Earlier(None, now)
    older = output if files.exists(output) else None
    for folder in filter(None, (older, f"{output}.partial")):
        check_same(files, folder, now, same_input=config.same_input)
    return Earlier(older, now)


def _say_left_over(engine: Engine, partial: Partial, progress: Progress) -> None:
    left = left_over(engine, partial)
    if left is not None:
        progress.failure(f"{'found':<9} {left}")


def _say_kept(partial: Partial, progress: Progress) -> None:
    try:
        kept = "finished features are" if partial.has_features() else None
    except Exception:  # noqa: BLE001 - Spark may be gone, and with it the way to the files
        kept = "finished features, if there are any, are"
    if kept is not None:
        progress.failure(f"{'kept':<9} {kept} in {partial.uri}; the same job with --resume goes on")


class Embedded(NamedTuple):
    """What became of the images.

    Attributes:
        todo: Those that had no features yet.
        counts: Of all.
        rate: Images per second of `todo`.
        removed: Images whose rows of an earlier run were left out.
    """

    todo: Images
    counts: Counts
    rate: float
    removed: int


def _stages(
    config: JobConfig,
    engine: Engine,
    images: Images,
    partial: Partial,
    earlier: Earlier,
    dimension: int,
    progress: Progress,
) -> tuple[dict[str, Any], Look | None]:
    """Runs the stages between the listing and the report; gives what the summary says of them, and what is reported."""
    todo, counts, rate, removed = _embed(config, engine, images, partial, earlier, progress)
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
        "unread": counts.n_unread,
        "errors_by_kind": counts.by_kind(),
        "errors_by_reason": counts.by_reason(),
        "by_label": counts.by_label(),
        "embedded": todo.found["files"],
        "removed": removed,
        "images_per_second": round(rate, 1),
        "pca": None if pca is None else pca_facts(config, pca),
        "findings": None if look is None else look.findings.facts,
        "seconds": progress.seconds,
        **profile,
        "scaled_decoding": None if advice is None else advice.as_dict(),
        "versions": {**versions(), **engine.versions()},
        "config": {**asdict(config), "model": config.model_name},
    }
    return summary, look


def _embed(
    config: JobConfig, engine: Engine, images: Images, partial: Partial, earlier: Earlier, progress: Progress
) -> Embedded:
    """Embeds the images that have no features yet."""
    with progress.stage("features", config.model_name) as done:
        todo, removed = images, 0
        if config.resume and images.keys is not None:
            keys, removed = carry_over(
                engine, partial, earlier, images.keys, allow_removed=config.allow_removed, say=progress.line
            )
            todo = images.of(keys)
        write_job(partial, earlier.now)
        embedded = todo.found["files"]
        if embedded:
            engine.embed(todo, partial, images.found["files"])
        rate = embedded / done.seconds()
        counts = engine.count(partial)
        if images.keys is not None:
            counts = _each_once(engine, images.keys, counts, partial, progress)
        _check_counts(config, counts, partial)
        kept = f", {counts.n_files - embedded:,} kept" if embedded < counts.n_files else ""
        kept += f", {removed:,} removed (their files are not there)" if removed else ""
        done(f"{counts.n_images:,} images, {counts.n_errors:,} failed{kept}, {rate:,.0f} images/s")
    if counts.n_unread:
        progress.line(f"{'unread':<9} {counts.n_unread:,} images could not be read; --resume reads them again")
    return Embedded(todo, counts, rate, removed)


def _each_once(engine: Engine, keys: pa.Table, counts: Counts, partial: Partial, progress: Progress) -> Counts:
    """The counts when each image has one row: what another writer has left twice is dropped.

    Raises:
        SparkciderError: An image has no row.
    """
    if counts.n_files > counts.n_paths:
        progress.line(doubled_line(drop_doubled(engine, partial), partial.child("features")))
        counts = engine.count(partial)
    if counts.n_paths < len(keys):
        raise SparkciderError(
            f"{len(keys) - counts.n_paths:,} of {len(keys):,} images have no row in {partial.child('features')}, as if "
            "another program had removed a part; the same job with --resume (resume=True) embeds them"
        )
    return counts


def _check_counts(config: JobConfig, counts: Counts, partial: Partial) -> None:
    """Ends a job of which too much failed before anything is made of the rest."""
    if counts.n_unread:
        example = next(fault for fault in counts.by_reason() if fault["kind"] in FETCHING_KINDS)
        check_unread_rate(config, counts.n_files, counts.n_unread, f"{example['example']}: {example['reason']}")
    check_error_rate(config, counts.n_files, counts.n_errors, finished=True)
    if counts.n_images == 0:
        reason = counts.by_reason()[0]["reason"]
        partial.files.remove(partial.child("features"))  # nothing in it is worth resuming
        raise ValueError(f"no image among {counts.n_files:,} files of {config.input}; most often: {reason}")


def _remove_later_stages(partial: Partial) -> None:
    """Removes what a run that failed after the features has left: it is made again."""
    for name in partial.files.children(partial.uri):
        if name not in ("features", JOB):
            partial.files.remove(partial.child(name))


def _reduce(config: JobConfig, engine: Engine, partial: Partial, progress: Progress) -> Pca:
    asked = f"k {config.pca_k}" if config.pca_k is not None else f"variance {config.pca_variance or DEFAULT_VARIANCE}"
    with progress.stage("pca", asked) as done:
        pca = engine.reduce(partial)
        ratios = explained_ratios(pca)
        partial.write_text("explained_variance.csv", variance_csv(ratios))
        done(f"{len(ratios):,} components hold {sum(ratios):.1%} of the variance")
    return pca


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


def _check_apart(source: str, output: str) -> None:
    """ValueError where one is inside the other: results would be read as images, or images be replaced by results."""
    base = re.split(r"[*?\[{]", source, maxsplit=1)[0]
    inside_input = base == source and f"{output}/".startswith(f"{base.rstrip('/')}/")
    if inside_input or f"{base}/".startswith(f"{output}/"):
        raise ValueError(f"output {output} and input {source} are inside one another; keep them apart")

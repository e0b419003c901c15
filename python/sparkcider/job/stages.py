"""The job on Spark: its session, and its stages in their order."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

import sparkcider
from sparkcider.feature import PCA
from sparkcider.functions import image_features
from sparkcider.job.config import DEFAULT_VARIANCE, FORMATS, JobConfig, ModelFacts, inspect_model
from sparkcider.job.results import SUMMARY, Staging, staged
from sparkcider.storage.hadoop import is_classic, qualified, reachable

LISTED = 1000
"""How many labels and how many kinds of error the summary lists; the most frequent ones."""

# 60000 x 50000 and 70000 x 50000 pixels are one kind of error; so are two unknown formats by their first bytes.
_PARTICULARS = r"(?<=first bytes: )[0-9a-f ]+|0x[0-9A-Fa-f]+|\d+"
_PARENT_FOLDER = "([^/]+)/[^/]+$"
_OPEN_COST = "spark.sql.files.openCostInBytes"
_FILE_BYTES, _TASK_BYTES = 512 << 10, 128 << 20  # at most 256 images a task; Spark's own size of a task


Progress = Callable[[str], None]
"""Is given one line of text at a time."""


def start_session(
    master: str | None = None, conf: Mapping[str, str] | None = None, *, verbose: bool = False
) -> SparkSession:
    """A session for the job, quiet unless ``verbose``.

    Args:
        master: Such as ``local[4]``; ``None`` leaves it to Spark's own settings.
        conf: Any Spark settings.
        verbose: Let Spark's warnings through.
    """
    builder = SparkSession.builder.appName("sparkcider").config("spark.ui.showConsoleProgress", "false")
    if not verbose:
        builder = builder.config("spark.log.level", "ERROR")
    if master is not None:
        builder = builder.master(master)
    for key, value in (conf or {}).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    if "PYSPARK_PYTHON" not in os.environ and is_classic(spark) and str(spark.sparkContext.master).startswith("local"):
        # Spark would take the first python3 of the PATH, which is not the one of a virtualenv that is not activated.
        spark.sparkContext.pythonExec = sys.executable
    return spark


def run(spark: SparkSession, config: JobConfig, progress: Progress | None = None) -> dict[str, Any]:
    """Runs the job; classic sessions (PySpark >= 3.5) and Spark Connect (>= 4.0) alike.

    Args:
        spark: The session to run on.
        config: What to read, do and write.
        progress: Is given a line when a stage begins and one when it ends.

    Returns:
        The summary, as it is written to ``summary.json``.

    Raises:
        FileNotFoundError: The input or the model does not exist.
        FileExistsError: The output exists and may not be replaced.
        ValueError: The input holds no file or no readable image, or an option has a wrong value.
        ModelError: The model is no network with one image input.
    """
    facts = inspect_model(config)
    config = replace(config, input=reachable(spark, config.input), output=reachable(spark, config.output))
    _check_apart(qualified(spark, config.input), qualified(spark, config.output))
    with staged(spark, config.output, overwrite=config.mode == "overwrite") as staging:
        work = _Work(spark, config, facts, staging, progress or (lambda _line: None))
        images, found = work.input()
        features, counts = work.features(images)
        pca = work.pca(features)
        work.files()
        summary = {
            "input": found,
            **counts,
            "pca": pca,
            "model": {"name": config.model_name, **asdict(facts)},
            "seconds": work.seconds,
            "versions": _versions(spark),
            "config": {**asdict(config), "model": config.model_name},
        }
        staging.write_text(SUMMARY, json.dumps(summary, indent=2, ensure_ascii=False) + "\n")
    return summary


@dataclass
class _Work:
    """The stages of one run, in their order."""

    spark: SparkSession
    config: JobConfig
    facts: ModelFacts
    staging: Staging
    progress: Progress
    seconds: dict[str, float] = field(default_factory=dict)

    def input(self) -> tuple[DataFrame, dict[str, Any]]:
        """The images (path, label, content), unread, and how many there are."""
        with self._stage("input", self.config.input) as done:
            try:
                images = _images(self.spark, self.config)
                found = _survey(images, self.config)
            except AnalysisException as error:  # classic sessions look for the path at once, Connect when it counts
                if "PATH_NOT_FOUND" not in str(error):
                    raise
                raise FileNotFoundError(f"input {self.config.input} does not exist") from error
            done(f"{found['files']:,} files, {found['bytes'] / 1e6:,.1f} MB, {found['labels']:,} labels")
        return _packed(images, found), found

    def features(self, images: DataFrame) -> tuple[DataFrame, dict[str, Any]]:
        """Embeds and writes the images; gives back what was written, and counts of it."""
        with self._stage(
            "features", f"{self.config.model_name}, {self.facts.embedding_dim:,} numbers an image"
        ) as done:
            column = image_features("content", model=self.config.model, with_error=True, **self.config.options)
            outcome = images.select("path", "label", column.alias("outcome"))
            table = outcome.select("path", "label", "outcome.features", "outcome.error")
            begin = time.perf_counter()
            table.write.parquet(self.staging.child("features"))
            seconds = time.perf_counter() - begin
            features = self.spark.read.parquet(self.staging.child("features"))
            counts = _count(features, self.config)
            rate = (counts["images"] + counts["errors"]) / seconds
            done(f"{counts['images']:,} images, {counts['errors']:,} failed, {rate:,.0f} images/s")
        return features, {**counts, "images_per_second": round(rate, 1)}

    def pca(self, features: DataFrame) -> dict[str, Any]:
        """Fits, applies and saves the PCA of the rows that have features."""
        asked: dict[str, Any] = {"variance": self.config.pca_variance or DEFAULT_VARIANCE}
        if self.config.pca_k is not None:
            asked = {"k": self.config.pca_k}
        with self._stage("pca", ", ".join(f"{name} {value}" for name, value in asked.items())) as done:
            good = features.where(F.col("features").isNotNull()).select("path", "label", "features")
            pca = PCA(inputCol="features", outputCol="pca", standardize=self.config.standardize, **asked)
            model = pca.fit(good)
            model.transform(good).select("path", "label", "pca").write.parquet(self.staging.child("pca"))
            model.save(self.staging.child("pca-model"))
            ratios = [float(ratio) for ratio in model.explainedVariance.toArray()]
            self.staging.write_text("explained_variance.csv", _variance_csv(ratios))
            done(f"{len(ratios):,} components hold {sum(ratios):.1%} of the variance")
        return {"k": len(ratios), "explained_variance_ratio": ratios, "standardize": self.config.standardize}

    def files(self) -> None:
        """Writes the tables in the other formats that were asked for."""
        others = [name for name in FORMATS[1:] if name in self.config.formats]
        if not others:
            return
        with self._stage("files", ", ".join(others)) as done:
            for table in ("features", "pca"):
                rows = self.spark.read.parquet(self.staging.child(table))
                if "json" in others:
                    rows.write.option("ignoreNullFields", "false").json(self.staging.child(f"{table}-json"))
                if "csv" in others:
                    _write_csv(rows, table, self.staging.child(f"{table}-csv"))
            done("written")

    @contextmanager
    def _stage(self, name: str, what: str) -> Iterator[Progress]:
        """Says that a stage begins, and with what the block says is done, how long it took."""
        self.progress(f"{name:<9} {what} ...")
        begin, said = time.perf_counter(), list[str]()
        yield said.append
        self.seconds[name] = round(time.perf_counter() - begin, 3)
        self.progress(f"{'':<9} {''.join(said)} ({self.seconds[name]:,.1f} s)")


def label_column(label_regex: str | None) -> Column:
    """The label of a file as a column over ``path``: the parent folder, or the expression's first group; else null."""
    found = F.regexp_extract("path", _PARENT_FOLDER if label_regex is None else label_regex, 1)
    return F.when(found != "", found)


def _images(spark: SparkSession, config: JobConfig) -> DataFrame:
    """path, label, length, content of every file of the input."""
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true")
    if config.glob is not None:
        reader = reader.option("pathGlobFilter", config.glob)
    files = reader.load(config.input)
    return files.select("path", label_column(config.label_regex).alias("label"), "length", "content")


def _survey(images: DataFrame, config: JobConfig) -> dict[str, int]:
    """Counts the files without reading them; what is wrong with the input or the label is found here."""
    row = images.agg(
        F.count("*").alias("files"),
        F.sum("length").alias("bytes"),
        F.countDistinct("label").alias("labels"),
        F.count("label").alias("labeled"),
        F.min("path").alias("example"),
    ).first()
    if row is None or row["files"] == 0:
        asked = "" if config.glob is None else f" whose name fits {config.glob}"
        raise ValueError(f"input {config.input} holds no file{asked}")
    if row["labeled"] == 0:
        raise ValueError(f"label_regex {config.label_regex} finds no label in any path, such as {row['example']}")
    return {
        "files": row["files"],
        "bytes": row["bytes"],
        "labels": row["labels"],
        "unlabeled": row["files"] - row["labeled"],
    }


def _count(features: DataFrame, config: JobConfig) -> dict[str, Any]:
    """Images and errors, by label and by kind; ValueError if there is no image at all."""
    kind = F.regexp_replace("error", _PARTICULARS, "N").alias("kind")
    rows = (F.count("*").alias("n"), F.count("features").alias("images"), F.min("path").alias("example"))
    by_kind = features.groupBy(kind).agg(*rows).orderBy(F.desc("images"), F.desc("n"), "kind").limit(LISTED).collect()
    by_label = features.groupBy("label").agg(*rows).orderBy(F.desc("n"), "label").limit(LISTED).collect()
    total = features.agg(*rows).collect()[0]
    kinds = [{"kind": row["kind"], "count": row["n"], "example": row["example"]} for row in by_kind if row["kind"]]
    if total["images"] == 0:
        raise ValueError(f"no image among {total['n']:,} files of {config.input}; most often: {kinds[0]['kind']}")
    return {
        "images": total["images"],
        "errors": total["n"] - total["images"],
        "errors_by_kind": kinds,
        "by_label": [{"label": row["label"], "files": row["n"], "images": row["images"]} for row in by_label],
    }


def _write_csv(rows: DataFrame, array: str, path: str) -> None:
    """CSV as pandas reads it: a header, doubled quotes, the array as JSON text (``json.loads`` gives a list)."""
    text = rows.withColumn(array, F.to_json(array))
    options: dict[str, Any] = {"header": True, "escape": '"'}
    # by default Spark trims labels and paths that begin or end with a space
    options.update(ignoreLeadingWhiteSpace=False, ignoreTrailingWhiteSpace=False)
    text.write.options(**options).csv(path)


def _variance_csv(ratios: list[float]) -> str:
    """One line per component: number from 1, ratio, cumulated ratio."""
    lines = (f"{n},{ratio!r},{total!r}" for n, (ratio, total) in enumerate(zip(ratios, accumulate(ratios)), 1))
    return "\n".join(("component,ratio,cumulative", *lines)) + "\n"


def _check_apart(source: str, output: str) -> None:
    """ValueError where one lies inside the other: results would be read as images, or images be replaced by results."""
    base = re.split(r"[*?\[{]", source, maxsplit=1)[0]
    inside_input = base == source and f"{output}/".startswith(f"{base.rstrip('/')}/")
    if inside_input or f"{base}/".startswith(f"{output}/"):
        raise ValueError(f"output {output} and input {source} lie inside one another; keep them apart")


def _packed(images: DataFrame, found: dict[str, Any]) -> DataFrame:
    """The images in tasks of more files than Spark's own packing gives, unless the user has set that packing.

    Spark counts 4 MB for opening a file, so a task gets 31 small images. An image costs far less here. On Connect the
    number of cores is not known, and the packing stays Spark's.
    """
    session = images.sparkSession
    if not is_classic(session) or session.conf.get(_OPEN_COST) != "4194304b":
        return images
    tasks = -(-(found["bytes"] + found["files"] * _FILE_BYTES) // _TASK_BYTES)
    return images.coalesce(max(tasks, session.sparkContext.defaultParallelism))


def _versions(spark: SparkSession) -> dict[str, str]:
    return {
        "sparkcider": sparkcider.__version__,
        "spark": spark.version,
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "numpy": np.__version__,
    }

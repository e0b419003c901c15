"""The job on Spark. The driver lists the files once; tasks fetch their files, so only features cross the JVM.

Where the workers cannot open the files by themselves, Spark reads them (`binaryFile`), as it reads tables: a file
system that only Hadoop has, or credentials that are in Spark's settings.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from functools import cached_property, reduce
from hashlib import sha256
from operator import and_
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
from pyspark import SparkFiles
from pyspark.sql import Observation
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from sparkcider.contents import PREVIEWS
from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.feature import PCA
from sparkcider.job.config import DEFAULT_VARIANCE, TABLE
from sparkcider.job.counts import Counts, Example, check_error_rate, check_unread_rate
from sparkcider.job.look import LOOKED_AT, hash_limit
from sparkcider.job.resume import DONE
from sparkcider.job.source import FileImages, checked, image_columns, with_labels
from sparkcider.job.spark_csv import write_csv
from sparkcider.job.waves import plan_tasks, wave_size
from sparkcider.pca.saved_model import from_arrays
from sparkcider.saved_stage import write_stage
from sparkcider.spark import embedding
from sparkcider.spark.collect import collected
from sparkcider.spark.columns import quoted
from sparkcider.spark.delivery import deliver
from sparkcider.spark.listing import listed
from sparkcider.spark.progress import watch
from sparkcider.spark.udf import model_reference
from sparkcider.storage.fetch import fetch
from sparkcider.storage.hadoop import files_of, is_classic, qualified, reachable
from sparkcider.storage.uri import ALIASES, scheme_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from sparkcider._native import Pca
    from sparkcider.job.config import JobConfig
    from sparkcider.job.progress import Progress
    from sparkcider.job.results import Partial
    from sparkcider.job.source import ImageColumns
    from sparkcider.spark.worker import ModelFile
    from sparkcider.storage.files import Files

_KEPT = "kept_path string, kept_label string, kept_length long, kept_modified long, kept_error_kind string, now string"
"""Columns of `resume.KEPT`, by other names than those of the features."""

FETCHED = ("s3", "gs", "abfss")
"""Stores that a worker opens by itself, if it has credentials of its own."""


_TASK_BY_TASK = {"mapreduce.fileoutputcommitter.algorithm.version": "2"}
"""A task's file gets its place when the task ends, not when the wave does: a job that is stopped keeps it."""


class SparkImages(NamedTuple):
    """The images of a job.

    Attributes:
        files: Those that are files; None for the rows of a table.
        found: How many there are, and what is known of them.
        fetched: The workers open the files by themselves.
        whole: They are all files of the input.
    """

    files: FileImages | None
    found: dict[str, int]
    fetched: bool
    whole: bool = True

    @property
    def keys(self) -> pa.Table | None:
        """`KEYS` of the files."""
        return None if self.files is None else self.files.keys

    def of(self, keys: pa.Table) -> SparkImages:
        """Some of the files."""
        files = FileImages(keys)
        return SparkImages(files, files.found, self.fetched, whole=False)


class _Wave(NamedTuple):
    """Rows of one write: `embedding.ROWS_AND_STEPS`, from so many tasks and so many files."""

    rows: DataFrame
    tasks: int
    files: int


class SparkEngine:
    """Runs the stages of a job on Spark, classic or Connect.

    Args:
        session: The session.
        config: The job.
        progress: Is told what happens.

    Raises:
        FileExistsError: A table that the job is to write exists and may not be replaced.
        ValueError: There is no schema of that name.
    """

    name = "spark"

    def __init__(self, session: SparkSession, config: JobConfig, progress: Progress) -> None:
        self._session, self._config, self._progress = session, config, progress
        self._input = config.input if config.input.startswith(TABLE) else reachable(session, config.input)
        self._seconds = dict.fromkeys(embedding.STEPS, 0.0)
        self._check_tables()

    def location(self, path: str) -> str:
        """The full URI of a path as Spark reads it."""
        return path if path.startswith(TABLE) else qualified(self._session, reachable(self._session, path))

    def files(self, uri: str) -> Files:
        """The files of a full URI."""
        return files_of(self._session, uri)

    def images(self) -> SparkImages:
        """The images of the job, listed; of a table only its rows are counted."""
        if self._config.is_table:
            _ = self._table_columns  # checked before any row is counted
            return SparkImages(None, {"files": self._table.count()}, fetched=False)
        found = listed(self._session, self._input, self._config.glob)
        files = checked(with_labels(found, self._config), self._config)
        return SparkImages(files, files.found, fetched=self._fetches(files.keys["path"][0].as_py()))

    def embed(self, images: SparkImages, partial: Partial, total: int) -> None:
        """Embeds all images and adds them to the table `features`, a wave after the other."""
        done = errors = unread = 0
        could_not_be_read = F.when(F.col("error_kind").isin(*FETCHING_KINDS), F.col("error"))
        with self._progress.counting(images.found["files"]) as count:
            for wave in self._waves(images):
                metrics = Observation()
                seconds = [F.sum(step).alias(step) for step in embedding.STEPS]
                rows = wave.rows.observe(
                    metrics,
                    F.count("error").alias("errors"),
                    F.count(could_not_be_read).alias("unread"),
                    F.min(could_not_be_read).alias("example"),
                    *seconds,
                )

                def advance(share: float, before: int = done, files: int = wave.files) -> None:
                    count.raise_to(before + int(share * files))

                with watch(self._session, advance):
                    _append(rows.drop(*embedding.STEPS), partial, "features")
                for step in embedding.STEPS:
                    self._seconds[step] += metrics.get[step] or 0.0
                done, errors = done + wave.files, errors + metrics.get["errors"]
                count.raise_to(done)
                count.add(0, metrics.get["errors"])
                unread += metrics.get["unread"]
                check_unread_rate(self._config, total, unread, metrics.get["example"])
                check_error_rate(self._config, done, errors)

    def count(self, partial: Partial) -> Counts:
        """Counts the rows of the table `features`."""
        features = self._own_features(partial)
        example = F.min(F.struct("path", "error"))
        counts = Counts(n_paths=features.agg(F.count_distinct(F.xxhash64("path"))).collect()[0][0])
        for row in (
            features.groupBy("label", "error_kind").agg(F.count("*").alias("count"), example.alias("example")).collect()
        ):
            counts.files[row["label"]] += row["count"]
            if row["error_kind"] is not None:
                counts.add_failed(row["label"], row["error_kind"], row["count"], Example(*row["example"]))
        return counts

    def keys(self, folder: str, known: set[str] | None = None) -> pa.Table:
        """`DONE` of all rows in a folder of features, or of those in parts of known names."""
        return collected(self._features(folder, known).select(*DONE.names), DONE)

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None, known: set[str] | None = None) -> None:
        """Writes rows of a folder of features into `partial`: each of `resume.KEPT` once, or all as they are."""
        rows = self._features(folder, known)
        if kept is not None:
            keys = self._session.createDataFrame(list(zip(*(column.to_pylist() for column in kept.columns))), _KEPT)
            alike = [F.col(name).eqNullSafe(F.col(f"kept_{name}")) for name in DONE.names if name != "label"]
            matched = rows.join(keys, reduce(and_, alike)).drop("path", "label")
            named = matched.withColumnsRenamed({"now": "path", "kept_label": "label"})
            rows = named.select(*rows.columns).dropDuplicates(["path"])
        _append(rows, partial, "features")

    def reduce(self, partial: Partial) -> Pca:
        """Fits the PCA, writes the table `pca` and `pca-model`; gives the fitted PCA."""
        config = self._config
        asked: dict[str, Any] = {"variance": config.pca_variance or DEFAULT_VARIANCE}
        if config.pca_k is not None:
            asked = {"k": config.pca_k}
        good = self._own_features(partial).where("features is not null")
        pca = PCA(inputCol="features", outputCol="pca", standardize=config.standardize, center=config.center, **asked)
        model = pca.fit(good)
        _append(model.transform(good).select("path", "label", "pca"), partial, "pca")
        # the same files as `model.save` gives, without a job of Spark for each of them
        stage = model.write().saved()
        write_stage(partial.files, partial.child("pca-model"), stage)
        return from_arrays(stage.arrays).pca

    def rows(self, partial: Partial, share: float) -> pa.Table:
        """`LOOKED_AT` of the images that have features: of all, or of those that `look.is_sampled` says."""
        rows = self._own_features(partial).where("features is not null").select(*LOOKED_AT.names)
        if share < 1.0:
            rows = rows.where(F.crc32("path") < hash_limit(share))
        return collected(rows, LOOKED_AT)

    def write_text(self, partial: Partial, table: str, form: str) -> None:
        """Writes a table as JSON or CSV, too."""
        partial.check()
        rows = self._table_of(partial, table).drop("length", "modified", *PREVIEWS.names)
        target = partial.child(f"{table}-{form}")
        if form == "json":
            rows.write.option("ignoreNullFields", "false").json(target)
        else:
            write_csv(rows, table, target)

    def _check_tables(self) -> None:
        """Looks at the tables of the catalog that the job is to write, before it has done any work."""
        catalog, config = self._session.catalog, self._config
        for name in config.table_names.values():
            schema = _schema_of(name)
            if schema is not None and not catalog.databaseExists(schema):
                raise ValueError(f"to_table {name}: there is no schema {schema}: create it, or correct the name")
            if catalog.tableExists(name) and config.mode == "error" and not config.resume:
                raise FileExistsError(f"table {name} exists already: use mode 'overwrite', or choose another name")

    def publish(self, partial: Partial) -> None:
        """Writes the tables of Spark's catalog that the job is to write."""
        names = self._config.table_names
        if names:
            with self._progress.stage("tables", ", ".join(names.values())) as done:
                for part, name in names.items():
                    partial.check()
                    rows = self._table_of(partial, part).drop(*PREVIEWS.names)
                    rows.write.mode("overwrite").saveAsTable(name)
                done("written")

    def profile(self) -> dict[str, Any]:
        """Seconds of all tasks together by step."""
        return {"worker_seconds": {step: round(seconds, 3) for step, seconds in self._seconds.items()}}

    def versions(self) -> dict[str, str]:
        """The version of Spark."""
        return {"spark": self._session.version}

    def _own_features(self, partial: Partial) -> DataFrame:
        return self._features(partial.child("features"), partial.parts["features"])

    def _features(self, folder: str, known: set[str] | None) -> DataFrame:
        # a schema that is given costs no job of its own
        # parts alone: the other engine may have left one that it had not closed
        reader = self._session.read.schema(embedding.ROWS).option("pathGlobFilter", "*.parquet")
        where = self._where(folder, known)
        return reader.parquet(*where) if where else self._session.createDataFrame([], embedding.ROWS)

    def _table_of(self, partial: Partial, table: str) -> DataFrame:
        return self._session.read.parquet(*self._where(partial.child(table), partial.parts[table]))

    def _where(self, folder: str, known: set[str] | None) -> list[str]:
        """What Spark is to read: the folder, or its known parts where it holds others."""
        if known is None:
            return [folder]
        found = [name for name in self.files(folder).children(folder) if name.endswith(".parquet")]
        return (
            [folder] if found and known.issuperset(found) else [f"{folder}/{name}" for name in found if name in known]
        )

    def _fetches(self, path: str) -> bool:
        """Whether a worker opens this file by itself."""
        scheme = ALIASES.get(scheme_of(path), scheme_of(path))
        if scheme == "file":
            return True
        if scheme != "dbfs" and (scheme not in FETCHED or self._has_hadoop_settings()):
            return False

        def attempt(_batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            # one fault by chance must not decide how all files are read
            found = next(iter(fetch([path], retries=2, timeout=10)))
            yield pa.RecordBatch.from_pydict({"reason": pa.array([found.reason], pa.string())})

        row = self._session.range(0, 1, 1, 1).mapInArrow(attempt, "reason string").first()
        return row is not None and row["reason"] is None

    def _has_hadoop_settings(self) -> bool:
        """Whether Spark was told how to reach a store: its workers' own file systems were not."""
        if not is_classic(self._session):
            return True
        settings = self._session.sparkContext.getConf().getAll()
        return any(key.startswith(("spark.hadoop.fs.", "fs.")) for key, _ in settings)

    def _waves(self, images: SparkImages) -> Iterator[_Wave]:
        """The rows of all images, a wave when the one before is written."""
        model, _ = model_reference(self._session, self._config.model, dict(self._config.options))
        if images.files is None or not images.fetched:
            yield _Wave(self._read_by_spark(images, model), 1, images.found["files"])
            return
        cores = self._cores
        bounds = plan_tasks(images.files.keys["length"].to_numpy(), cores)
        content = embedding.write_listing(images.files.keys, bounds)
        listing = f"sparkcider-{sha256(content).hexdigest()}.listing"
        deliver(self._session, listing, lambda: content)

        thumbnails = self._config.thumbnails

        def embed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return embedding.embed_listed(batches, listing, model, SparkFiles.get, thumbnails=thumbnails)

        start, before = 0, None
        while start < len(bounds) - 1:
            end = min(start + wave_size(cores, before), len(bounds) - 1)
            begin = time.perf_counter()
            tasks = self._session.range(start, end, 1, end - start)
            yield _Wave(tasks.mapInArrow(embed, embedding.ROWS_AND_STEPS), end - start, bounds[end] - bounds[start])
            start, before = end, (end - start, time.perf_counter() - begin)

    def _read_by_spark(self, images: SparkImages, model: ModelFile) -> DataFrame:
        """The rows of images that Spark reads."""
        label_regex, thumbnails = self._config.label_regex, self._config.thumbnails

        def embed(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return embedding.embed_rows(batches, label_regex, model, SparkFiles.get, thumbnails=thumbnails)

        content = self._table_content() if images.files is None else self._file_content(images)
        return content.mapInArrow(embed, embedding.ROWS_AND_STEPS)

    def _table_content(self) -> DataFrame:
        """path, modified and content of a table."""
        content, path = (F.col(".".join(map(quoted, parts))) for parts in self._table_columns)
        modified = F.lit(None).cast("long").alias("modified")
        return self._table.select(path.cast("string").alias("path"), modified, content.alias("content"))

    def _file_content(self, images: SparkImages) -> DataFrame:
        """path, modified and content of files."""
        reader = self._session.read.format("binaryFile").option("recursiveFileLookup", "true")
        if images.whole or images.keys is None:
            if self._config.glob is not None:
                reader = reader.option("pathGlobFilter", self._config.glob)
            files = reader.load(self._input)
        else:  # letters that mean something in a glob are escaped
            files = reader.load([re.sub(r"([*?\[\]{}\\])", r"\\\1", path) for path in images.keys["path"].to_pylist()])
        files = files.select("path", F.unix_millis("modificationTime").alias("modified"), "content")
        if not self._cores or images.keys is None:
            return files
        # Spark counts 4 MB for opening a file, so that a task gets 31 small images: too few.
        return files.coalesce(len(plan_tasks(images.keys["length"].to_numpy(), self._cores)) - 1)

    @cached_property
    def _table(self) -> DataFrame:
        """The input as a table."""
        if self._config.input.startswith(TABLE):
            return self._session.table(self._config.input[len(TABLE) :])
        return self._session.read.parquet(self._input)

    @cached_property
    def _table_columns(self) -> ImageColumns:
        """The columns of images and of their names; ValueError or TypeError if they are not there."""
        fields = self._table.schema.fields
        kinds: dict[tuple[str, ...], str] = {(field.name,): field.dataType.simpleString() for field in fields}
        for field in fields:
            if isinstance(field.dataType, StructType):
                kinds.update({(field.name, inner.name): inner.dataType.simpleString() for inner in field.dataType})
        return image_columns(self._config, kinds)

    @property
    def _cores(self) -> int:
        """Cores of the cluster as it is now; 0 on Connect, where a client does not know."""
        return self._session.sparkContext.defaultParallelism if is_classic(self._session) else 0


def _append(rows: DataFrame, partial: Partial, table: str) -> None:
    """Writes rows into a table of the result."""
    partial.check()
    rows.write.mode("append").options(**_TASK_BY_TASK).parquet(partial.child(table))
    partial.check()
    partial.adopt(table)


def _schema_of(table: str) -> str | None:
    """The catalog and schema in a table's name, as Spark quotes names; None if it has neither."""
    parts = re.findall(r"`(?:[^`]|``)*`|[^.`]+", table)
    return ".".join(parts[:-1]) or None

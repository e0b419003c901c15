"""The job in one process: a thread for each core, each with an extractor of its own. No Java, no pyspark, no fork.

    one reader thread      files -> blocks of encoded images, a few ahead
    a thread per worker    block -> features and errors -> rows of the open part

`extract`, Parquet and the moments release the GIL, so the threads use the cores.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, Full, Queue
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider import FeatureExtractor, _native
from sparkcider.columns import variable_lists
from sparkcider.contents import extract_with_previews
from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.job import machine, tables
from sparkcider.job.config import DEFAULT_VARIANCE
from sparkcider.job.counts import Counts, check_error_rate, check_unread_rate
from sparkcider.job.look import LOOKED_AT, is_sampled
from sparkcider.job.resume import DONE, Chosen, put_aside
from sparkcider.job.source import TableImages, list_images, most_blocks
from sparkcider.job.tables import FEATURES, REDUCED, VECTOR, PartWriter, groups_of, parts_in, parts_of
from sparkcider.memory import peak_memory
from sparkcider.models import one_file, resolve
from sparkcider.pca.batches import fit_batches
from sparkcider.pca.saved_model import MAX_K, pca_model_stage
from sparkcider.pca.solver_choice import PcaSpec
from sparkcider.saved_stage import write_stage
from sparkcider.storage.files import ArrowFiles, copy_file
from sparkcider.storage.uri import full_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkcider._native import Pca
    from sparkcider.job.config import JobConfig
    from sparkcider.job.progress import ImageCount, Progress
    from sparkcider.job.results import Partial
    from sparkcider.job.source import Block, FileImages

BLOCKS_AHEAD = 2
"""Blocks that are read ahead for each worker."""


STOP_SECONDS = 3.0
"""How long a job that is stopped waits for the blocks in work; a large network may take a minute for one."""

SMALL_PARTS = 8
"""A result with more small parts than these gets fewer and larger ones: a long job closes one each minute."""


class EmbeddedEngine:
    """Runs the stages of a job in threads of this process.

    Args:
        config: The job.
        extractor: The job's model, opened.
        progress: Is told what happens.
    """

    name = "embedded"

    def __init__(self, config: JobConfig, extractor: FeatureExtractor, progress: Progress) -> None:
        self._config, self._progress = config, progress
        path = resolve(config.model)
        size = one_file(path).stat().st_size if Path(path).is_file() else 0
        self._n_workers, why = machine.plan_workers(size, config.workers)
        progress.line(f"{'workers':<9} {self._n_workers} ({why})")
        self._extractors = [extractor]
        self._reading = self._writing = 0.0
        self._n_images = 0

    def location(self, path: str) -> str:
        """The full URI of a path."""
        return full_uri(path)

    def files(self, uri: str) -> ArrowFiles:
        """The files of a full URI."""
        return ArrowFiles(uri)

    def images(self) -> FileImages | TableImages:
        """The images of the job, listed."""
        images = list_images(self._config)
        note = images.memory_note() if isinstance(images, TableImages) else None
        if note is not None:
            self._progress.line(note)
        return images

    def embed(self, images: FileImages | TableImages, partial: Partial, total: int) -> None:
        """Embeds all images and adds them to the table `features`."""
        workers = min(self._n_workers, most_blocks(images.found))  # a twin costs as long as the first extractor
        while len(self._extractors) < workers:
            self._extractors.append(self._extractors[0].twin())
        writer = PartWriter(partial, "features", FEATURES)
        with self._progress.counting(images.found["files"]) as count, writer:
            work = _Embedding(images.blocks, writer, count, workers, self._config, total)
            work.run(self._extractors)
        self._reading, self._writing = work.reading, writer.seconds
        if tables.count_small_parts(parts_of(partial, "features")) > SMALL_PARTS:
            _join_parts(partial)

    def count(self, partial: Partial) -> Counts:
        """Counts the rows of the table `features`."""
        counts, paths = Counts(), array("q")
        for group in groups_of(parts_of(partial, "features"), ["path", "label", "error", "error_kind"]):
            columns = [column.to_pylist() for column in group.columns]
            counts.add(*columns)
            paths.extend(map(hash, columns[0]))  # 64 bits: 8 bytes an image, however long its path
        counts.n_paths = len(np.unique(np.asarray(paths)))
        self._n_images = counts.n_images
        return counts

    def keys(self, folder: str, known: set[str] | None = None) -> pa.Table:
        """`DONE` of all rows in a folder of features, or of those in parts of known names."""
        return pa.concat_tables([DONE.empty_table(), *groups_of(parts_in(folder, known), DONE.names)])

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None, known: set[str] | None = None) -> None:
        """Writes rows of a folder of features into `partial`: each of `resume.KEPT` once, or all as they are."""
        target = partial.child("features")
        partial.files.make_folder(target)
        if kept is None:
            for part in parts_in(folder, known):
                partial.check()
                name = partial.new_part("features")
                copy_file(part, f"{target}/{name}")
                partial.parts["features"].add(name)
            return
        chosen = Chosen(kept)
        with PartWriter(partial, "features", FEATURES) as writer:
            for group in groups_of(parts_in(folder, known), FEATURES.names):
                for batch in chosen.of(group).cast(FEATURES).to_batches():
                    writer.add(batch)

    def reduce(self, partial: Partial) -> Pca:
        """Fits the PCA, writes the table `pca` and `pca-model`; gives the fitted PCA."""
        config, parts = self._config, parts_of(partial, "features")
        asked: Any = {"k": config.pca_k, "variance": None}
        if config.pca_k is None:
            asked = {"k": None, "variance": config.pca_variance or DEFAULT_VARIANCE}

        def read() -> Iterator[pa.Array[Any]]:
            for group in groups_of(parts, ["features"]):
                for chunk in group["features"].chunks:
                    yield chunk.drop_null()

        spec = PcaSpec(**asked, standardize=config.standardize, solver="auto", max_k=MAX_K)
        dimension = self._extractors[0].embedding_dim
        fitted = fit_batches(read, spec, dimension, self._n_images, self._n_workers)
        self._project(partial, fitted.pca)
        stage = pca_model_stage(
            *fitted,
            **asked,
            standardize=config.standardize,
            center=config.center,
            input_col="features",
            output_col="pca",
        )
        write_stage(partial.files, partial.child("pca-model"), stage)
        return fitted.pca

    def rows(self, partial: Partial, share: float) -> pa.Table:
        """`LOOKED_AT` of the images that have features: of all, or of those that `is_sampled` says."""
        found = [LOOKED_AT.empty_table()]
        for group in groups_of(parts_of(partial, "features"), LOOKED_AT.names):
            rows = group.filter(pc.is_valid(group["features"]))
            found.append(rows if share == 1.0 else rows.filter(is_sampled(rows["path"], share)))
        return pa.concat_tables(found)

    def _project(self, partial: Partial, pca: Pca) -> None:
        """Writes the table `pca` of all images that have features."""
        center = self._config.center or self._config.standardize

        def projected(group: pa.Table) -> pa.RecordBatch:
            good = group.filter(pc.is_valid(group["features"])).combine_chunks()
            rows = good.to_batches(max_chunksize=None)
            found = [pca.transform(batch.column("features"), center=center) for batch in rows]
            return pa.Table.from_arrays(
                [good["path"], good["label"], pa.chunked_array(found, VECTOR)], schema=REDUCED
            ).combine_chunks()

        groups = groups_of(parts_of(partial, "features"), ["path", "label", "features"])
        with PartWriter(partial, "pca", REDUCED) as writer:
            for table in _mapped(projected, groups, self._n_workers):
                for batch in table.to_batches():
                    writer.add(batch)

    def write_text(self, partial: Partial, table: str, form: str) -> None:
        """Writes a table as JSON or CSV, too."""
        tables.write_text(partial, table, form)

    def publish(self, partial: Partial) -> None:
        """Nothing: a job that writes tables of Spark's catalog runs on Spark."""

    def profile(self) -> dict[str, Any]:
        """Seconds of all workers together by step, and the peak of memory."""
        steps: dict[str, float] = {"fetching": self._reading}
        for extractor in self._extractors:
            for step, seconds in extractor.stage_seconds().items():
                steps[step] = steps.get(step, 0.0) + seconds
        steps["writing"] = self._writing
        return {
            "workers": self._n_workers,
            "worker_seconds": {step: round(seconds, 3) for step, seconds in steps.items()},
            "peak_memory_bytes": peak_memory(),
        }

    def versions(self) -> dict[str, str]:
        """Versions of what only this engine uses."""
        return {}


class _Embedding:
    """Blocks to rows of the writer, by several threads; the first error of any of them ends all."""

    def __init__(
        self,
        blocks: Callable[[], Iterator[Block]],
        writer: PartWriter,
        count: ImageCount,
        n_workers: int,
        config: JobConfig,
        total: int,
    ) -> None:
        self.reading = 0.0
        self._config, self._total, self._unread = config, total, 0
        self._blocks, self._writer, self._count = blocks, writer, count
        self._ahead: Queue[Block | None] = Queue(BLOCKS_AHEAD * n_workers)
        self._budget = machine.MemoryBudget(machine.IMAGE_BYTES * n_workers)
        self._stop = Event()
        self._counting = Lock()
        self._faults: list[BaseException] = []

    def run(self, extractors: list[FeatureExtractor]) -> None:
        """Embeds all blocks with a thread for each extractor.

        Raises:
            KeyboardInterrupt: The user stopped it; blocks that end within `STOP_SECONDS` are finished first.
        """
        reader = Thread(target=self._guarded, args=(self._read, len(extractors)), name="sparkcider reader")
        workers = [
            Thread(target=self._guarded, args=(self._work, extractor), name=f"sparkcider worker {number}")
            for number, extractor in enumerate(extractors)
        ]
        for thread in (reader, *workers):
            thread.start()
        try:
            for thread in (*workers, reader):
                while thread.is_alive():
                    thread.join(0.2)  # a join without a limit would not see Ctrl-C
        except BaseException:
            self._stop.set()
            end = time.monotonic() + STOP_SECONDS
            for thread in (*workers, reader):
                thread.join(max(end - time.monotonic(), 0))
            raise
        if self._faults:
            raise self._faults[0]

    def _guarded(self, work: Callable[[Any], None], argument: Any) -> None:
        try:
            work(argument)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            self._faults.append(error)
            self._stop.set()

    def _read(self, n_workers: int) -> None:
        begin = time.perf_counter()
        for block in self._blocks():
            self.reading += time.perf_counter() - begin
            if not self._put(block):
                return
            begin = time.perf_counter()
        for _ in range(n_workers):
            self._put(None)

    def _put(self, block: Block | None) -> bool:
        """Waits for a place; False if the work has ended meanwhile."""
        while not self._stop.is_set():
            try:
                self._ahead.put(block, timeout=0.2)
            except Full:
                continue
            return True
        return False

    def _work(self, extractor: FeatureExtractor) -> None:
        while not self._stop.is_set():
            try:
                block = self._ahead.get(timeout=0.2)
            except Empty:
                continue
            if block is None:
                return
            (features, errors, kinds), previews = self._extracted(extractor, block)
            columns = [*block.keys.columns, variable_lists(features), errors, kinds, *previews]
            rows = pa.RecordBatch.from_arrays(columns, schema=FEATURES)
            self._writer.add(rows)
            self._count.add(len(errors), len(errors) - errors.null_count)
            self._check_unread(rows)
            check_error_rate(self._config, self._count.done, self._count.errors)

    def _check_unread(self, rows: pa.RecordBatch) -> None:
        unread = rows["error"].filter(pc.is_in(rows["error_kind"], value_set=pa.array(list(FETCHING_KINDS))))
        if len(unread):
            with self._counting:
                self._unread += len(unread)
            check_unread_rate(self._config, self._total, self._unread, unread[0].as_py())

    def _extracted(self, extractor: FeatureExtractor, block: Block) -> Any:
        """Waits for the memory; one image at a time is decoded, so the largest one counts."""
        images = block.contents.images
        pixels = pc.max(_native._header_pixels(images)).as_py() or 0  # noqa: SLF001 - asks what users need not
        with self._budget.reserve(machine.PIXEL_BYTES * pixels + images.nbytes):
            return extract_with_previews(extractor, block.contents, thumbnails=self._config.thumbnails)


def _join_parts(partial: Partial) -> None:
    """Writes the features again in full parts."""
    aside = put_aside(partial)
    with PartWriter(partial, "features", FEATURES, part_seconds=float("inf")) as writer:
        for group in groups_of(parts_of(partial, aside), FEATURES.names):
            for batch in group.to_batches():
                writer.add(batch)
    partial.files.remove(partial.child(aside))


def _mapped(work: Callable[[Any], Any], items: Iterator[Any], n_threads: int) -> Iterator[Any]:
    """`map` in threads, in order, a few items ahead: `ThreadPoolExecutor.map` would read all of them first."""
    waiting: deque[Any] = deque()
    with ThreadPoolExecutor(n_threads, thread_name_prefix="sparkcider") as pool:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

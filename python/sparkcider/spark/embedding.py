"""What the job runs on executors: images, listed or with their bytes, to rows of the table `features`.

Like `worker`, nothing here names pyspark: record batches in, record batches out.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparkcider.columns import variable_lists
from sparkcider.contents import PREVIEWS, Contents, extract_with_previews
from sparkcider.labels import labels_of
from sparkcider.spark.image_slices import SLICE_ROWS, file_slices
from sparkcider.spark.worker import OUTCOME, open_extractor
from sparkcider.storage.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkcider import FeatureExtractor
    from sparkcider.spark.worker import Locate, ModelFile

STEPS = ("fetching", "decoding", "resizing", "inference")
"""What a worker's seconds are counted for; a column each, with the seconds of a batch in its first row."""

ROWS = (
    "path string, label string, length long, modified long, features array<float>, error string, error_kind string, "
    "digest binary, fingerprint binary, thumbnail binary"
)
"""The table `features`, for Spark."""

ROWS_AND_STEPS = ", ".join([ROWS, *(f"{step} double" for step in STEPS)])

_KEYS = ("path", "label", "length", "modified")


def write_listing(keys: pa.Table, bounds: list[int]) -> bytes:
    """The listing of a job (path, label, length, modified) as a Parquet file with a row group for each task.

    Args:
        keys: The listing.
        bounds: The first row of each task, and the number of rows.
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, keys.schema) as writer:
        for start, end in zip(bounds, bounds[1:]):
            writer.write_table(keys.slice(start, end - start))
    content: bytes = sink.getvalue().to_pybytes()
    return content


def embed_listed(
    batches: Iterable[pa.RecordBatch], listing: str, model: ModelFile, locate: Locate, *, thumbnails: bool
) -> Iterator[pa.RecordBatch]:
    """Fetches and embeds the files of a task.

    Args:
        batches: Rows whose first column is the number of a row group of the listing.
        listing: Name of the delivered file that `write_listing` made.
        model: The model to embed with.
        locate: Where delivered files are.
        thumbnails: Whether rows get thumbnails.

    Yields:
        `ROWS_AND_STEPS`, a row for each file; one that cannot be read or decoded has a reason.
    """
    extractor = open_extractor(os.getpid(), model, locate)
    for batch in batches:
        for number in batch.column(0).to_pylist():
            keys = pq.ParquetFile(locate(listing)).read_row_group(number, use_threads=False)
            fetched = fetch(keys["path"].to_pylist(), lengths=keys["length"].to_pylist())
            start, begin = 0, time.perf_counter()
            for files in file_slices(fetched, SLICE_ROWS):
                contents = Contents.fetched(files)
                fetching = time.perf_counter() - begin
                rows = keys.slice(start, len(files))
                columns = [rows[name].combine_chunks() for name in _KEYS]
                yield _embedded(extractor, columns, contents, fetching, thumbnails=thumbnails)
                start, begin = start + len(files), time.perf_counter()


def embed_rows(
    batches: Iterable[pa.RecordBatch], label_regex: str | None, model: ModelFile, locate: Locate, *, thumbnails: bool
) -> Iterator[pa.RecordBatch]:
    """Embeds images that Spark has read.

    Args:
        batches: path, modified, content.
        label_regex: As in `labels_of`.
        model: The model to embed with.
        locate: Where delivered files are.
        thumbnails: Whether rows get thumbnails.

    Yields:
        `ROWS_AND_STEPS`, a row for each image.
    """
    extractor = open_extractor(os.getpid(), model, locate)
    for batch in batches:
        for start in range(0, batch.num_rows, SLICE_ROWS):
            paths, modified, images = batch.slice(start, SLICE_ROWS).columns
            labels = pa.array(labels_of(paths.to_pylist(), label_regex), pa.string())
            lengths = pc.binary_length(images).cast(pa.int64())
            columns = [paths, labels, lengths, modified]
            yield _embedded(extractor, columns, Contents.read(images), 0.0, thumbnails=thumbnails)


def _embedded(
    extractor: FeatureExtractor, keys: list[pa.Array[Any]], contents: Contents, fetching: float, *, thumbnails: bool
) -> pa.RecordBatch:
    before = extractor.stage_seconds()
    (features, errors, kinds), previews = extract_with_previews(extractor, contents, thumbnails=thumbnails)
    after = extractor.stage_seconds()
    seconds = {"fetching": fetching, **{step: after[step] - before[step] for step in after}}
    steps = [pa.array([seconds[step]] + [0.0] * (len(errors) - 1), pa.float64()) for step in STEPS]
    columns = [*keys, variable_lists(features), errors, kinds, *previews, *steps]
    return pa.RecordBatch.from_arrays(columns, [*_KEYS, *OUTCOME, *PREVIEWS.names, *STEPS])

"""Tables of a result without Spark: Parquet in parts, and the same as JSON lines and CSV, as Spark writes them."""

from __future__ import annotations

import json
import re
import time
from contextlib import nullcontext, suppress
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sparkcider.contents import PREVIEWS
from sparkcider.job.parquet import open_parquet
from sparkcider.job.source import KEYS
from sparkcider.storage.files import RENAMED_IN_ONE_STEP, ArrowFiles, arrow_location, sync
from sparkcider.storage.uri import scheme_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from typing_extensions import Self

    from sparkcider.job.results import Partial

VECTOR = pa.list_(pa.float32())

FEATURES = pa.schema([*KEYS, ("features", VECTOR), ("error", pa.string()), ("error_kind", pa.string()), *PREVIEWS])
"""The table `features`: D values, or null where `error` says why there are none, and `error_kind` in one word."""

REDUCED = pa.schema([("path", pa.string()), ("label", pa.string()), ("pca", VECTOR)])
"""The table `pca`: k values of each image that has features."""

TEXT_COLUMNS = {"features": ("path", "label", "features", "error", "error_kind"), "pca": ("path", "label", "pca")}
"""What JSON and CSV hold of each table; the vector has the table's name."""

FORMULA = r"[=+\-@\x00-\x1f\x7f]"
"""What a text begins with that a spreadsheet may run; an expression of Python and of Java."""

PART_BYTES, PART_SECONDS = 128 << 20, 60.0
"""When a part is closed. What is not in a closed part is lost if the process dies."""

OPEN = ".open"
"""Ends the name of a part that is being written."""

GROUP_ROWS, GROUP_BYTES = 1024, 16 << 20
"""Rows that are written at a time, and read at a time by what follows."""


class PartWriter:
    """Writes one table as parts `part-00000-TOKEN.parquet`, ...; any thread may add rows.

    A part has its name only when it is complete. The token is that of the run (`Partial.new_part`).

    Args:
        partial: The result that grows.
        table: Name of the table's folder.
        schema: Its columns.
        part_seconds: When a part is closed that is not full. Default: `PART_SECONDS`.
    """

    def __init__(self, partial: Partial, table: str, schema: pa.Schema, *, part_seconds: float | None = None) -> None:
        self.seconds = 0.0
        self._part_seconds = PART_SECONDS if part_seconds is None else part_seconds
        self._partial, self._table, self._schema = partial, table, schema
        self._folder = partial.child(table)
        self._lock = Lock()
        self._closed = False
        self._writer: pq.ParquetWriter | None = None
        self._opened = 0.0
        self._part_bytes = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        partial.files.make_folder(self._folder)
        for name in partial.files.children(self._folder):
            if name.endswith(OPEN):  # of a run that was killed
                partial.files.remove(f"{self._folder}/{name}")
        self._name = partial.new_part(table)

    def add(self, rows: pa.RecordBatch) -> None:
        """Adds rows of the schema; after `close`, those of a thread that was not waited for are left out."""
        begin = time.perf_counter()
        with self._lock:
            if self._closed:
                return
            self._waiting.append(rows)
            self._waiting_rows += rows.num_rows
            self._waiting_bytes += rows.nbytes
            if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
                self._flush()
            if self._writer is not None and (
                self._part_bytes >= PART_BYTES or time.perf_counter() - self._opened >= self._part_seconds
            ):
                self._close_part()
            self.seconds += time.perf_counter() - begin

    def __enter__(self) -> Self:
        """The writer: what is added is in closed parts after the block, whatever ended it."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Closes the last part; where the block failed already, its own error is the one that says why."""
        with suppress(Exception) if kind is not None else nullcontext():
            self.close()

    def close(self) -> None:
        """Writes what waits, and closes the last part."""
        with self._lock:
            self._closed = True
            self._flush()
            self._close_part()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            self._partial.check()
            filesystem, path = arrow_location(self._open_uri)
            self._writer = pq.ParquetWriter(path, self._schema, filesystem=filesystem, use_dictionary=["label"])
            self._opened = time.perf_counter()
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=GROUP_ROWS)
        self._part_bytes += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _close_part(self) -> None:
        if self._writer is None:
            return
        self._flush()
        try:
            self._partial.check()
        except BaseException:
            self._discard()
            raise
        self._writer.close()
        self._writer, self._part_bytes = None, 0
        sync(self._open_uri)
        if self._open_uri != f"{self._folder}/{self._name}":
            self._partial.files.rename(self._open_uri, f"{self._folder}/{self._name}")
        self._partial.parts[self._table].add(self._name)
        self._name = self._partial.new_part(self._table)

    def _discard(self) -> None:
        """Removes the open part. Arrow cannot abort an upload, so an object of a store is ended first."""
        writer, self._writer = self._writer, None
        with suppress(OSError):
            if writer is not None:
                writer.close()
            filesystem, path = arrow_location(self._open_uri)
            filesystem.delete_file(path)

    @property
    def _open_uri(self) -> str:
        # An object of a store appears when it is closed, so it has its name from the start.
        uri = f"{self._folder}/{self._name}"
        return f"{uri}{OPEN}" if scheme_of(uri) in RENAMED_IN_ONE_STEP else uri


def parts_in(folder: str, known: Container[str] | None = None) -> list[str]:
    """The URIs of the complete parts in a folder, in their order: those of known names. Default: all."""
    names = sorted(ArrowFiles(folder).children(folder))
    return [f"{folder}/{name}" for name in names if name.endswith(".parquet") and (known is None or name in known)]


def parts_of(partial: Partial, table: str) -> list[str]:
    """The URIs of the parts of a table that this run has found or written, in their order."""
    return parts_in(partial.child(table), partial.parts[table])


def count_small_parts(parts: list[str]) -> int:
    """How many parts are below a quarter of `PART_BYTES`."""
    paths = [arrow_location(uri)[1] for uri in parts]
    infos = arrow_location(parts[0])[0].get_file_info(paths) if paths else []
    return sum(info.size < PART_BYTES // 4 for info in infos)


def open_part(uri: str) -> pq.ParquetFile:
    """A part, for reading."""
    return open_parquet(*arrow_location(uri))


def groups_of(parts: Iterable[str], columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of parts, in their order: at most `GROUP_ROWS` of a row group at a time."""
    for uri in parts:
        with open_part(uri) as part:
            for group in range(part.num_row_groups):
                for batch in part.iter_batches(GROUP_ROWS, row_groups=[group], columns=columns, use_threads=False):
                    yield pa.Table.from_batches([batch]).select(columns)


def write_text(partial: Partial, table: str, form: str) -> None:
    """Writes a table once more, as `json` (lines) or `csv`, a file for each of its parts.

    JSON has the vector as an array. CSV has a column for each of its values, after those of text: `csv_header`.
    """
    folder = partial.child(f"{table}-{form}")
    partial.files.make_folder(folder)
    columns, parts = TEXT_COLUMNS[table], parts_of(partial, table)
    width = _width(parts, table) if form == "csv" else 0
    for number, part in enumerate(parts):
        partial.check()
        filesystem, path = arrow_location(f"{folder}/part-{number:05}.{form}")
        with filesystem.open_output_stream(path) as stream:
            if form == "csv":
                stream.write((",".join(csv_header(table, width)) + "\n").encode())
            for group in groups_of([part], list(columns)):
                vectors = _joined(group[table])
                texts = [vectors if name == table else group[name].to_pylist() for name in columns]
                text = _csv_lines(columns, table, texts, width) if form == "csv" else _json_lines(columns, table, texts)
                stream.write(text.encode())


def csv_header(table: str, width: int) -> list[str]:
    """The columns of a table in CSV: those of text, then a number for each of so many values.

    Example:
        >>> csv_header("pca", 2)
        ['path', 'label', 'pca_0', 'pca_1']
    """
    return [*(name for name in TEXT_COLUMNS[table] if name != table), *(f"{table}_{at}" for at in range(width))]


def _width(parts: list[str], vector: str) -> int:
    """How many values a vector has."""
    good = (group[vector].drop_null() for group in groups_of(parts, [vector]))
    return next((len(rows[0]) for rows in good if len(rows)), 0)


def _joined(vectors: pa.ChunkedArray[Any]) -> list[str | None]:
    """The values of each vector with commas, each with the fewest digits that give the same float32."""
    lists = vectors.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    numbers = pa.ListArray.from_arrays(lists.offsets, lists.values.cast(pa.string()), mask=lists.is_null())
    joined: list[str | None] = pc.binary_join(numbers, ",").to_pylist()
    return joined


def _json_lines(columns: tuple[str, ...], vector: str, texts: list[list[str | None]]) -> str:
    def value(column: str, text: str | None) -> str:
        if text is None:
            return "null"
        return f"[{text}]" if column == vector else json.dumps(text, ensure_ascii=False)

    lines = (",".join(f'"{column}":{value(column, text)}' for column, text in zip(columns, row)) for row in zip(*texts))
    return "".join(f"{{{line}}}\n" for line in lines)


def _csv_lines(columns: tuple[str, ...], vector: str, texts: list[list[str | None]], width: int) -> str:
    cells = [[csv_cell(text) for text in column] for name, column in zip(columns, texts) if name != vector]
    bad = "," * (width - 1)
    vectors = (bad if text is None else text for text in texts[columns.index(vector)])
    return "".join(",".join(row) + "\n" for row in zip(*cells, vectors))


def csv_cell(text: str | None) -> str:
    """A text as a cell of CSV that no spreadsheet takes for a formula: an apostrophe is put before what may be one.

    Example:
        >>> csv_cell("=1+1"), csv_cell("a, b"), csv_cell(None)
        ("'=1+1", '"a, b"', '')
    """
    text = text or ""
    text = f"'{text}" if re.match(FORMULA, text) else text
    return '"' + text.replace('"', '""') + '"' if re.search('[,"\r\n]', text) else text

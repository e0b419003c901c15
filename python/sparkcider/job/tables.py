"""Tables of a result without Spark: Parquet in parts, and the same as JSON lines and CSV, as Spark writes them."""

from __future__ import annotations

import csv
import io
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
from sparkcider.job.source import KEYS
from sparkcider.storage.files import RENAMED_IN_ONE_STEP, ArrowFiles, arrow_location
from sparkcider.storage.uri import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from typing_extensions import Self

    from sparkcider.job.results import Partial

VECTOR = pa.list_(pa.float32())

FEATURES = pa.schema([*KEYS, ("features", VECTOR), ("error", pa.string()), ("error_kind", pa.string()), *PREVIEWS])
"""The table `features`: D values, or null where `error` says why there are none, and `error_kind` in one word."""

REDUCED = pa.schema([("path", pa.string()), ("label", pa.string()), ("pca", VECTOR)])
"""The table `pca`: k values of each image that has features."""

TEXT_COLUMNS = {"features": ("path", "label", "features", "error", "error_kind"), "pca": ("path", "label", "pca")}
"""What JSON and CSV hold of each table; the last vector column as an array."""

PART_BYTES, PART_SECONDS = 128 << 20, 60.0
"""When a part is closed. What is not in a closed part is lost if the process dies."""

OPEN = ".open"
"""Ends the name of a part that is being written."""

GROUP_ROWS, GROUP_BYTES = 1024, 16 << 20
"""Rows that are written at a time, and read at a time by what follows."""


class PartWriter:
    """Writes one table as parts `part-00000.parquet`, ...; any thread may add rows.

    A part has its name only when it is complete.

    Args:
        partial: The result that grows.
        table: Name of the table's folder.
        schema: Its columns.
        part_seconds: When a part is closed that is not full. Default: `PART_SECONDS`.
    """

    def __init__(self, partial: Partial, table: str, schema: pa.Schema, *, part_seconds: float | None = None) -> None:
        self.seconds = 0.0
        self._part_seconds = PART_SECONDS if part_seconds is None else part_seconds
        self._partial, self._folder, self._schema = partial, partial.child(table), schema
        self._lock = Lock()
        self._writer: pq.ParquetWriter | None = None
        self._opened = 0.0
        self._part_bytes = self._number = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = self._waiting_bytes = 0
        partial.files.make_folder(self._folder)
        for name in partial.files.children(self._folder):
            number = re.match(r"part-(\d+)", name)  # Spark's parts are numbered so, too
            if name.endswith(OPEN):  # of a run that was killed
                partial.files.remove(f"{self._folder}/{name}")
            elif number is not None:
                self._number = max(self._number, int(number[1]) + 1)

    def add(self, rows: pa.RecordBatch) -> None:
        """Adds rows of the schema."""
        begin = time.perf_counter()
        with self._lock:
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
            self._flush()
            self._close_part()

    def _flush(self) -> None:
        if not self._waiting:
            return
        if self._writer is None:
            filesystem, path = arrow_location(self._open_name)
            self._writer = pq.ParquetWriter(path, self._schema, filesystem=filesystem, use_dictionary=["label"])
            self._opened = time.perf_counter()
        self._writer.write_table(pa.Table.from_batches(self._waiting, self._schema), row_group_size=GROUP_ROWS)
        self._part_bytes += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _close_part(self) -> None:
        if self._writer is None:
            return
        self._flush()
        self._writer.close()
        if self._open_name != self._name:
            self._partial.files.rename(self._open_name, self._name)
        self._writer, self._part_bytes, self._number = None, 0, self._number + 1

    @property
    def _name(self) -> str:
        return f"{self._folder}/part-{self._number:05}.parquet"

    @property
    def _open_name(self) -> str:
        # An object of a store appears when it is closed, so it has its name from the start.
        return f"{self._name}{OPEN}" if scheme_of(self._folder) in RENAMED_IN_ONE_STEP else self._name


def parts_in(folder: str) -> list[str]:
    """The URIs of the complete parts in a folder, in their order."""
    names = sorted(ArrowFiles(folder).children(folder))
    return [f"{folder}/{name}" for name in names if name.endswith(".parquet")]


def count_small_parts(folder: str) -> int:
    """How many parts of a folder are below a quarter of `PART_BYTES`."""
    paths = [arrow_location(uri)[1] for uri in parts_in(folder)]
    infos = arrow_location(folder)[0].get_file_info(paths) if paths else []
    return sum(info.size < PART_BYTES // 4 for info in infos)


def open_part(uri: str) -> pq.ParquetFile:
    """A part, for reading."""
    filesystem, path = arrow_location(uri)
    return pq.ParquetFile(filesystem.open_input_file(path))


def groups_of(parts: Iterable[str], columns: list[str]) -> Iterator[pa.Table]:
    """Some columns of parts, a row group at a time."""
    for uri in parts:
        with open_part(uri) as part:
            for group in range(part.num_row_groups):
                yield part.read_row_group(group, columns=columns, use_threads=False)


def write_text(partial: Partial, table: str, form: str) -> None:
    """Writes a table once more, as `json` (lines) or `csv`, a file for each of its parts.

    CSV is as pandas reads it: a header, doubled quotes, the array as JSON text (`json.loads` gives a list).
    """
    folder = partial.child(f"{table}-{form}")
    partial.files.make_folder(folder)
    columns = TEXT_COLUMNS[table]
    for number, part in enumerate(parts_in(partial.child(table))):
        filesystem, path = arrow_location(f"{folder}/part-{number:05}.{form}")
        with filesystem.open_output_stream(path) as stream:
            if form == "csv":
                stream.write((",".join(columns) + "\n").encode())
            for group in groups_of([part], list(columns)):
                rows = zip(*(_as_text(group[column]) for column in columns))
                text = _csv_lines(rows) if form == "csv" else _json_lines(columns, table, rows)
                stream.write(text.encode())


def _as_text(column: pa.ChunkedArray[Any]) -> list[str | None]:
    """Strings as they are; an array of numbers as JSON, each with the fewest digits that give the same float32."""
    if not pa.types.is_list(column.type):
        texts: list[str | None] = column.to_pylist()
        return texts
    lists = column.combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    numbers = pa.ListArray.from_arrays(lists.offsets, lists.values.cast(pa.string()), mask=lists.is_null())
    joined = pc.binary_join(numbers, ",")
    return [None if text is None else f"[{text}]" for text in joined.to_pylist()]


def _json_lines(columns: tuple[str, ...], vector: str, rows: Iterable[tuple[str | None, ...]]) -> str:
    def value(column: str, text: str | None) -> str:
        return "null" if text is None else text if column == vector else json.dumps(text, ensure_ascii=False)

    lines = (",".join(f'"{column}":{value(column, text)}' for column, text in zip(columns, row)) for row in rows)
    return "".join(f"{{{line}}}\n" for line in lines)


def _csv_lines(rows: Iterable[tuple[str | None, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()

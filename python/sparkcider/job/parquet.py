"""Parquet read a page at a time, so that memory does not grow with a file or with its row groups.

pyarrow's scanner and its `pre_buffer` hold whole column chunks. With a buffered stream a column chunk costs the page
that is read: compressed and decompressed. How large that is, only the page itself says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow.parquet as pq

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pyarrow.fs import FileSystem

BUFFER_BYTES = 4 << 20
"""Read at a time of each column: a request of a store, so more than its latency costs."""

_HEADER_BYTES = 64


def open_parquet(filesystem: FileSystem, path: str) -> pq.ParquetFile:
    """A file, for reading with `iter_batches`."""
    return pq.ParquetFile(filesystem.open_input_file(path), pre_buffer=False, buffer_size=BUFFER_BYTES)


class LargestChunk(NamedTuple):
    """The column chunk with the most bytes, and the memory that its first page takes.

    Attributes:
        path: The file.
        chunk_bytes: The size of the chunk.
        page_bytes: The memory that its first page takes; the size of the chunk where the page does not say.
    """

    path: str
    chunk_bytes: int
    page_bytes: int


def largest_chunk(filesystem: FileSystem, footers: Iterable[tuple[str, Any]], column: str) -> LargestChunk | None:
    """The largest chunk of a column among files, by their metadata; None if no file has a row.

    Args:
        filesystem: Of the files.
        footers: Path and metadata of each file.
        column: The column's path in the schema, with dots.
    """
    chunks = [
        (chunk.total_uncompressed_size, path, chunk)
        for path, metadata in footers
        for group in range(metadata.num_row_groups)
        for chunk in map(metadata.row_group(group).column, range(metadata.num_columns))
        if chunk.path_in_schema == column
    ]
    if not chunks:
        return None
    size, path, chunk = max(chunks, key=lambda found: found[:2])
    with filesystem.open_input_file(path) as file:
        file.seek(chunk.dictionary_page_offset or chunk.data_page_offset)
        sizes = _page_sizes(file.read(_HEADER_BYTES))
    if sizes is None:
        return LargestChunk(path, size, size)
    return LargestChunk(path, size, sizes[0] if chunk.compression == "UNCOMPRESSED" else sum(sizes))


def _page_sizes(header: bytes) -> tuple[int, int] | None:
    """Bytes of a page, decompressed and compressed: fields 2 and 3 of its header in Thrift's compact protocol.

    Example:
        >>> _page_sizes(bytes.fromhex("1500158ca9c30115a8aac3012c"))
        (1600070, 1600148)
    """
    numbers, at = [], 0
    for _ in range(3):  # of the page's kind, too
        if header[at : at + 1] != b"\x15":  # the next field is an i32
            return None
        at, number, shift = at + 1, 0, 0
        while at < len(header):
            number |= (header[at] & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if header[at - 1] < 0x80:  # noqa: PLR2004 - the last byte of a varint
                break
        numbers.append(number >> 1)  # zigzag
    return numbers[1], numbers[2]

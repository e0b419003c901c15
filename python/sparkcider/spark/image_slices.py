"""A column's batches to slices of encoded images: from binary, from paths to fetch, from lists of binary.

Like `worker`, nothing here names pyspark.
"""

from __future__ import annotations

import errno
import os
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.base64_images import is_base64_image, shortened
from sparkcider.contents import Contents
from sparkcider.storage.uri import literal_path, scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkcider.storage.fetch import Fetched

SLICE_ROWS = 256
"""Rows embedded and given back at a time: 1,280 float32 each are 1.3 MB, whatever the size of Spark's batch."""

FIRST_ROWS = 16
"""Of the first slice of a task; each next one is twice as large: `limit(10)` embeds few images beyond its ten."""

SLICE_BYTES = 32 << 20
"""Of the encoded images of a slice that were fetched: 256 of 12 megapixels would be a gigabyte."""


LONGEST_NAME = 255
"""Bytes of a file's name: a longer text may be too long for a path."""


class Lists(NamedTuple):
    """Where the images of each row are among those of a slice.

    Attributes:
        offsets: The first image of each row, and the number of images.
        absent: Rows whose list is null: one image, a null one, stands for it.
    """

    offsets: np.ndarray
    absent: np.ndarray

    def features(self, features: pa.Array[Any]) -> pa.Array[Any]:
        """A list per row; null where it was."""
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), features, mask=pa.array(self.absent))

    def words(self, words: pa.Array[Any]) -> pa.Array[Any]:
        """A list per row of reasons or kinds; where there is no list of images, that of its absence."""
        return pa.ListArray.from_arrays(pa.array(self.offsets, pa.int32()), words)


Slice = tuple[Contents, Optional[Lists]]
"""Encoded images, and the rows that they belong to, None where each is a row."""


def image_slices(batches: Iterator[pa.Array[Any]], in_flight: int, *, many: bool) -> Iterator[Slice]:
    """Cuts batches into slices of at most `SLICE_ROWS` images; for a batch of no rows, one of none.

    Args:
        batches: As in `worker.embed`.
        in_flight: Likewise.
        many: Likewise.

    Raises:
        TypeError: The column is neither binary nor string.
    """
    if many:
        return _listed(batches)
    kind, batches = _kind(batches)
    return _fetched(batches, in_flight) if kind == "paths" else _slices(batches)


def _listed(batches: Iterator[pa.Array[Any]]) -> Iterator[Slice]:
    lists = pa.list_(pa.binary())
    for batch in batches:
        # pandas forgets the type of empty lists and of all nulls
        forgotten = pa.types.is_null(batch.type) or pa.types.is_null(batch.type.value_type)
        rows = batch.cast(lists) if forgotten else batch
        counts = np.array(pc.fill_null(pc.list_value_length(rows), 1), np.int64)
        ends = np.concatenate([[0], np.cumsum(counts)])
        start = 0
        while start < max(len(rows), 1):
            stop = max(int(np.searchsorted(ends, ends[start] + SLICE_ROWS, side="right")) - 1, start + 1)
            piece = rows.slice(start, stop - start)
            absent = np.array(piece.is_null(), bool)
            whole = pc.fill_null(piece, pa.scalar([None], rows.type)) if absent.any() else piece
            offsets = ends[start : start + len(piece) + 1] - ends[start]
            yield Contents.read(whole.flatten()), Lists(offsets, absent)
            start = stop


def _kind(batches: Iterator[pa.Array[Any]]) -> tuple[str, Iterator[pa.Array[Any]]]:
    """Whether a column holds `images` or `paths`, and all of its batches: pandas forgets the type of all nulls."""
    seen = []
    kind = "images"
    for batch in batches:
        seen.append(batch)
        if not pa.types.is_null(batch.type):
            kind = "paths" if _is_string(batch.type) else "images"
            if kind == "images" and str(batch.type) not in ("binary", "large_binary", "binary_view"):
                raise TypeError(
                    "image_features: expected a column of binary (encoded images, as content of binaryFile) or string "
                    f"(absolute paths or URIs), got {batch.type}"
                )
            break
    return kind, chain(seen, batches)


def _is_string(kind: pa.DataType) -> bool:
    return str(kind) in ("string", "large_string", "string_view")  # pyarrow 14 has no is_string_view


def _slices(batches: Iterator[pa.Array[Any]]) -> Iterator[Slice]:
    # An empty batch is one empty slice: Spark wants a batch back for each one it sends.
    size = FIRST_ROWS
    for batch in batches:
        images = batch.cast(pa.binary()) if pa.types.is_null(batch.type) else batch
        start = 0
        while start < max(len(images), 1):
            yield Contents.read(images.slice(start, size)), None
            start, size = start + size, min(2 * size, SLICE_ROWS)


def _fetched(batches: Iterator[pa.Array[Any]], in_flight: int) -> Iterator[Slice]:
    from sparkcider.storage.fetch import fetch  # its import of ssl costs a worker that has no paths 30 ms

    empty = True
    paths = (_path(text) for batch in batches for text in batch.to_pylist())
    with closing(fetch(paths, in_flight=in_flight)) as files:
        for taken in file_slices(files, FIRST_ROWS):
            empty = False
            yield Contents.fetched(taken), None
    if empty:
        yield Contents.read(pa.array([], pa.binary())), None


def _path(text: str | None) -> str | None:
    """The text if it can be a path.

    Base64 of a JPEG begins with `/9j/`, as an absolute path may: a text is refused only where there is no such file.

    Raises:
        TypeError: It is an image in base64, or longer than a path can be.
    """
    scheme = "" if text is None or text.startswith("/") else scheme_of(text)
    if text is None or scheme not in ("", "file", "data"):
        return text
    local = literal_path(text) if scheme == "file" else text
    if local.startswith("/") and len(local) <= LONGEST_NAME and not local.startswith("/9j/"):
        return text
    too_long = False
    if local.startswith("/"):
        try:
            os.lstat(local)
        except (OSError, ValueError) as error:  # ValueError: a null character
            too_long = getattr(error, "errno", None) == errno.ENAMETOOLONG
        else:
            return text
    if is_base64_image(text):
        raise TypeError(
            f"expected a column of paths or of binary, got images in base64, such as {shortened(text)!r}: "
            "decode them first, unbase64(...)"
        )
    if too_long:
        raise TypeError(
            f"expected a column of paths or of binary, got a text of {len(text):,} characters, more than a path can "
            f"have, such as {shortened(text)!r}: base64 is decoded by unbase64(...)"
        )
    return text


def file_slices(files: Iterable[Fetched], rows: int) -> Iterator[list[Fetched]]:
    """Files in lists that end with `SLICE_ROWS` of them, or with the file that makes `SLICE_BYTES`.

    Args:
        files: In their order; one more is requested only where a list has room.
        rows: Most files of the first list; each next one may have twice as many.
    """
    taken: list[Fetched] = []
    size = 0
    for file in files:
        taken.append(file)
        size += len(file.content or b"")
        if len(taken) == rows or size >= SLICE_BYTES:
            yield taken
            taken, size, rows = [], 0, min(2 * rows, SLICE_ROWS)
    if taken:
        yield taken

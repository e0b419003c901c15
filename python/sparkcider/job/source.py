"""The images of a job: files that are listed once, or rows of a Parquet table; with the label of each.

Both engines plan with what is here. The embedded engine also reads here, a block of images at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.contents import Contents
from sparkcider.labels import labels_of
from sparkcider.storage.fetch import fetch
from sparkcider.storage.files import arrow_location
from sparkcider.storage.listing import list_files
from sparkcider.storage.uri import full_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow.dataset as ds

    from sparkcider.job.config import JobConfig
    from sparkcider.storage.fetch import Fetched

BLOCK_ROWS, BLOCK_BYTES = 64, 4 << 20
"""Images that a worker takes at a time: so few that the last ones end together, so many that a turn costs nothing."""

KEYS = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("length", pa.int64()),
        ("modified", pa.int64()),
    ]
)
"""What is known of an image before it is read: its bytes, and when it was modified, in milliseconds since 1970 (UTC).

A timestamp would be of another type in Spark's Parquet than in pyarrow's. `modified` is null for a row of a table."""


class Images(Protocol):
    """What a job embeds."""

    @property
    def found(self) -> dict[str, int]:
        """How many images (`files`) there are, and what else is known before they are read."""

    @property
    def keys(self) -> pa.Table | None:
        """`KEYS` of files; None for rows of a table, which are known only when they are read."""

    def of(self, keys: pa.Table) -> Images:
        """Those of the files with these keys."""


def most_blocks(found: dict[str, int]) -> int:
    """How many blocks the images make at most, by what is known of them before they are read.

    Example:
        >>> most_blocks({"files": 8, "bytes": 40_000}), most_blocks({"files": 8, "bytes": 40_000_000})
        (1, 10)
    """
    if "bytes" not in found:  # rows of a table
        return found["files"]
    return found["files"] // BLOCK_ROWS + found["bytes"] // BLOCK_BYTES + 1


class Block(NamedTuple):
    """Some images with their bytes.

    Attributes:
        keys: `KEYS`, N rows.
        contents: What was read of the N images.
    """

    keys: pa.RecordBatch
    contents: Contents


@dataclass(frozen=True)
class FileImages:
    """Files, each an image.

    Attributes:
        keys: `KEYS` of all files, sorted by path.
    """

    keys: pa.Table

    @property
    def found(self) -> dict[str, int]:
        """How many files, bytes, labels and files without a label there are."""
        labels = self.keys["label"]
        return {
            "files": len(self.keys),
            "bytes": pc.sum(self.keys["length"]).as_py() or 0,
            "labels": pc.count_distinct(labels).as_py(),
            "unlabeled": labels.null_count,
        }

    def of(self, keys: pa.Table) -> FileImages:
        """Some of the files."""
        return FileImages(keys)

    def blocks(self) -> Iterator[Block]:
        """Reads all files in their order; what cannot be read has a reason."""
        start, size = 0, 0
        taken: list[Fetched] = []
        for item in fetch(self.keys["path"].to_pylist()):
            taken.append(item)
            size += len(item.content or b"")
            if len(taken) == BLOCK_ROWS or size >= BLOCK_BYTES:
                yield self._block(start, taken)
                start, size, taken = start + len(taken), 0, []
        if taken:
            yield self._block(start, taken)

    def _block(self, start: int, taken: list[Fetched]) -> Block:
        rows = self.keys.slice(start, len(taken)).combine_chunks().to_batches()[0]
        return Block(rows, Contents.fetched(taken))


@dataclass(frozen=True)
class TableImages:
    """Rows of a Parquet file or folder, each an image.

    Attributes:
        dataset: The table.
        content: Its column of encoded images.
        path: Its column that names each image.
        label_regex: As in `JobConfig`.
    """

    dataset: ds.Dataset
    content: str
    path: str
    label_regex: str | None

    keys = None

    def of(self, _keys: pa.Table) -> TableImages:
        """TypeError: rows have no keys."""
        raise TypeError("rows of a table have no sizes and times to tell them by")

    @property
    def found(self) -> dict[str, int]:
        """How many images there are; of their bytes and labels nothing is known before they are read."""
        return {"files": self.dataset.count_rows()}

    def blocks(self) -> Iterator[Block]:
        """Reads all rows in their order."""
        # A row group is read whole: few at a time bound the memory.
        for batch in self.dataset.to_batches(
            columns=[self.path, self.content], batch_size=BLOCK_ROWS, batch_readahead=2, fragment_readahead=1
        ):
            yield from _cut(self._block(batch))

    def _block(self, batch: pa.RecordBatch) -> Block:
        paths, images = batch.column(0).cast(pa.string()), batch.column(1).cast(pa.binary())
        labels = pa.array(labels_of(paths.to_pylist(), self.label_regex), pa.string())
        times = pa.nulls(len(paths), pa.int64())
        lengths = pc.binary_length(images).cast(pa.int64())
        return Block(pa.RecordBatch.from_arrays([paths, labels, lengths, times], schema=KEYS), Contents.read(images))


def list_images(config: JobConfig) -> FileImages | TableImages:
    """The images of a job, by this process's own view of files.

    Raises:
        FileNotFoundError: There is no such input.
        ValueError: It holds no file or row, no path of a file has a label, or a column is missing.
    """
    if config.is_table:
        return _table(config)
    return checked(with_labels(list_files(full_uri(config.input), glob=config.glob), config), config)


def with_labels(files: pa.Table, config: JobConfig) -> FileImages:
    """Adds the labels to a listing (path, length, modificationTime)."""
    labels = pa.array(labels_of(files["path"].to_pylist(), config.label_regex), pa.string())
    # Hadoop's file systems give milliseconds, so all do.
    modified = files["modificationTime"].cast(pa.timestamp("ms", tz="UTC"), safe=False).cast(pa.int64())
    return FileImages(pa.table([files["path"], labels, files["length"], modified], schema=KEYS))


def checked(images: FileImages, config: JobConfig) -> FileImages:
    """The images, if there is one and the label regex finds a label.

    Raises:
        ValueError: There is no file, or no label.
    """
    if len(images.keys) == 0:
        asked = "" if config.glob is None else f" whose name matches {config.glob}"
        raise ValueError(f"input {config.input} holds no file{asked}")
    if all(path.endswith(".parquet") for path in images.keys["path"].to_pylist()):
        raise ValueError(f"input {config.input} holds Parquet: content_column must name its column of encoded images")
    if images.keys["label"].null_count == len(images.keys):
        example = images.keys["path"][0].as_py()
        raise ValueError(f"label_regex {config.label_regex} finds no label in any path, such as {example}")
    return images


def _table(config: JobConfig) -> TableImages:
    import pyarrow.dataset as ds  # imports pandas where there is one: a third of a second

    uri = full_uri(config.input)
    filesystem, path = arrow_location(uri)
    dataset = ds.dataset(path, format="parquet", filesystem=filesystem, exclude_invalid_files=False)
    content, names = str(config.content_column), dataset.schema.names
    name = config.path_column or "path"
    for option, column in (("content_column", content), ("path_column", name)):
        if column not in names:
            raise ValueError(f"{option} {column} is not a column of {config.input}; it has {', '.join(names)}")
    kind = dataset.schema.field(content).type
    if not (pa.types.is_binary(kind) or pa.types.is_large_binary(kind)):
        raise TypeError(f"content_column {content} must be binary (encoded images), got {kind}")
    if dataset.count_rows() == 0:
        raise ValueError(f"input {config.input} holds no row")
    return TableImages(dataset, content, name, config.label_regex)


def _cut(block: Block) -> Iterator[Block]:
    """The block in pieces of at most `BLOCK_BYTES`, at least a row each."""
    start, size = 0, 0
    for row, length in enumerate(block.keys.column("length").to_pylist(), 1):
        size += length or 0
        if size >= BLOCK_BYTES or row == block.keys.num_rows:
            yield Block(block.keys.slice(start, row - start), block.contents.slice(start, row - start))
            start, size = row, 0

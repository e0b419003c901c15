"""The images of a job: files that are listed once, or rows of a Parquet table; with the label of each.

Both engines plan with what is here. The embedded engine also reads here, a block of images at a time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.contents import Contents
from sparkcider.job.parquet import largest_chunk, open_parquet
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

LARGE_PAGE = 64 << 20
"""Bytes of memory for a page of a table, above which the job says how many it takes."""

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
        for item in fetch(self.keys["path"].to_pylist(), lengths=self.keys["length"].to_pylist()):
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


class ImageColumns(NamedTuple):
    """Where the images of a table are, and their names; each as the names of a column and of a field in it.

    Attributes:
        content: Encoded images.
        path: What names each image.
    """

    content: tuple[str, ...]
    path: tuple[str, ...]


@dataclass(frozen=True)
class TableImages:
    """Rows of a Parquet file or folder, each an image.

    Attributes:
        dataset: The table.
        columns: Its columns.
        label_regex: As in `JobConfig`.
    """

    dataset: ds.FileSystemDataset
    columns: ImageColumns
    label_regex: str | None

    keys = None

    def of(self, _keys: pa.Table) -> TableImages:
        """TypeError: rows have no keys."""
        raise TypeError("rows of a table have no sizes and times to tell them by")

    @property
    def found(self) -> dict[str, int]:
        """How many images there are; of their bytes and labels nothing is known before they are read."""
        return {"files": self.dataset.count_rows()}

    def memory_note(self) -> str | None:
        """A line about the memory that a page of images takes, if that is much."""
        footers = ((fragment.path, fragment.metadata) for fragment in self.dataset.get_fragments())
        largest = largest_chunk(self.dataset.filesystem, footers, ".".join(self.columns.content))
        if largest is None or largest.page_bytes <= LARGE_PAGE:
            return None
        return (
            f"{'memory':<9} reading {largest.path} takes about {largest.page_bytes / 1e6:,.0f} MB at a time beside the "
            f"workers: a row group has {largest.chunk_bytes / 1e6:,.0f} MB of images in large pages; pyarrow writes "
            "small ones with write_batch_size=8"
        )

    def blocks(self) -> Iterator[Block]:
        """Reads all rows in their order, a page of each column at a time."""
        names = [".".join(column) for column in self.columns]
        for path in self.dataset.files:
            with open_parquet(self.dataset.filesystem, path) as file:
                for batch in file.iter_batches(BLOCK_ROWS, columns=names, use_threads=False):
                    yield from _cut(self._block(batch))

    def _block(self, batch: pa.RecordBatch) -> Block:
        images, paths = (_column(batch, parts) for parts in self.columns)
        images, paths = images.cast(pa.binary()), paths.cast(pa.string())
        labels = pa.array(labels_of(paths.to_pylist(), self.label_regex), pa.string())
        times = pa.nulls(len(paths), pa.int64())
        lengths = pc.binary_length(images).cast(pa.int64())
        return Block(pa.RecordBatch.from_arrays([paths, labels, lengths, times], schema=KEYS), Contents.read(images))


def _column(batch: pa.RecordBatch, parts: tuple[str, ...]) -> pa.Array[Any]:
    column = batch.column(batch.schema.get_field_index(parts[0]))
    return pc.struct_field(column, list(parts[1:])) if parts[1:] else column


def image_columns(config: JobConfig, kinds: dict[tuple[str, ...], str], where: str | None = None) -> ImageColumns:
    """The columns of images and of their names.

    A struct of `bytes` and `path`, as Hugging Face's datasets write images, is both; its fields can be named as
    `image.bytes`.

    Args:
        config: The job.
        kinds: The types of the columns, and of the fields of those that are structs; `binary` of images.
        where: What has these columns, for messages. Default: the input.

    Raises:
        ValueError: A column is missing.
        TypeError: The column of images is not binary.
    """
    # a column named `a.b` overrides a field b of a
    known = {".".join(parts): parts for parts in sorted(kinds, key=len, reverse=True)}
    content, path = str(config.content_column), config.path_column or "path"
    if f"{content}.bytes" in known:
        if config.path_column is None and "path" not in known and f"{content}.path" in known:
            path = f"{content}.path"
        content = f"{content}.bytes"
    for option, column in (("content_column", content), ("path_column", path)):
        if column not in known:
            columns = ", ".join(parts[0] for parts in kinds if len(parts) == 1)
            raise ValueError(f"{option} {column} is not a column of {where or config.input}; it has {columns}")
    kind = kinds[known[content]]
    if kind != "binary":
        hint = ": decode base64 into a column of binary first" if "string" in kind else ""
        raise TypeError(f"content_column {content} must be binary (encoded images), got {kind}{hint}")
    return ImageColumns(known[content], known[path])


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
    filesystem, _ = arrow_location(uri)
    files = [arrow_location(path)[1] for path in list_files(uri)["path"].to_pylist()]
    if not files:
        raise ValueError(f"input {config.input} holds no file")
    dataset = ds.dataset(files, format="parquet", filesystem=filesystem, exclude_invalid_files=False)
    columns = image_columns(config, _kinds(dataset.schema))
    if dataset.count_rows() == 0:
        raise ValueError(f"input {config.input} holds no row")
    for fragment in dataset.get_fragments():
        image_columns(config, _kinds(fragment.physical_schema), fragment.path)
    return TableImages(dataset, columns, config.label_regex)


def _kinds(schema: pa.Schema) -> dict[tuple[str, ...], str]:
    """The types of columns and of the fields of structs, for `image_columns`."""
    kinds: dict[tuple[str, ...], str] = {(field.name,): _kind(field.type) for field in schema}
    for field in schema:
        if pa.types.is_struct(field.type):
            kinds.update({(field.name, inner.name): _kind(inner.type) for inner in field.type})
    return kinds


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return "binary" if str(kind) in ("binary", "large_binary", "binary_view") else str(kind)


def _cut(block: Block) -> Iterator[Block]:
    """The block in pieces of at most `BLOCK_BYTES`, at least a row each."""
    start, size = 0, 0
    for row, length in enumerate(block.keys.column("length").to_pylist(), 1):
        size += length or 0
        if size >= BLOCK_BYTES or row == block.keys.num_rows:
            yield Block(block.keys.slice(start, row - start), block.contents.slice(start, row - start))
            start, size = row, 0

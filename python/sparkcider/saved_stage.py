"""The files of a saved stage, which Spark and pyarrow write and read alike; this module needs no Spark.

A saved stage is a folder. `metadata/` holds Spark's own JSON line as text. Each array of a model is a folder of its
name, with Parquet of (chunk int, data binary); an ONNX file is an array like the others. The metadata is written last
and holds the arrays' checksums: a stage that was saved by halves does not load.
"""

from __future__ import annotations

import json
import re
import time
import uuid
from hashlib import sha256
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from sparkcider._native import ModelError, SparkciderError
from sparkcider.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkcider.storage.files import Files

PUBLIC = "sparkcider.feature"
"""Where users find every stage, whichever module defines it: what is saved outlives a move."""

METADATA = "metadata"
"""Folder of the JSON line."""

FORMAT = 2
"""Of the folder: 1, without a number, had no facts and no ONNX file. Later versions read all formats up to theirs."""

MODEL = "model"
"""Name of the array that is an ONNX file."""

CHUNK_BYTES = 1 << 16
"""Of an array per row: also of a summary on its way to a merge, where a batch of 1,024 rows is then 64 MiB."""

PART_BYTES = 32 << 20
"""Of an array per file, and per message to a server: Spark Connect refuses messages over 128 MiB."""

OLDEST_SPARK = "3.5.0"
"""The version of Spark in the metadata of a stage that no Spark wrote: the oldest that reads it."""


KEYS = {"class", "uid", "paramMap", "defaultParamMap", "sparkVersion"}
"""Of the JSON line, that a stage is made from."""


class SavedStage(NamedTuple):
    """All that is saved of a stage.

    Attributes:
        name: Its class in `sparkcider.feature`.
        uid: Its name among the stages of a pipeline: `new_uid`.
        params: The Params that were set, by name; values are those of JSON.
        defaults: Likewise the defaults.
        arrays: The bytes of a model, by name.
        facts: What else must be known to load it, in JSON's types: `ImageFeaturizer` says of its network what it is.
    """

    name: str
    uid: str
    params: dict[str, Any]
    defaults: dict[str, Any]
    arrays: dict[str, bytes]
    facts: dict[str, Any] | None = None


def new_uid(name: str) -> str:
    """A name for a stage as Spark makes them: that of its class and 12 random hexadecimal digits."""
    return f"{name}_{uuid.uuid4().hex[-12:]}"


def write_stage(files: Files, uri: str, stage: SavedStage) -> None:
    """Writes a stage without Spark; `load` of its class reads it on every Spark from 3.5 on.

    Args:
        files: The file system of `uri`.
        uri: The folder to make.
        stage: What to save.

    Raises:
        FileExistsError: There is something at `uri`.
    """
    if files.exists(uri):
        raise FileExistsError(f"{uri} exists: a stage is saved to a new folder")
    for name, data in stage.arrays.items():
        files.make_folder(f"{uri}/{name}")
        for number, rows in enumerate(parts(data)):
            files.write(f"{uri}/{name}/part-{number:05}.parquet", _to_parquet(rows))
    files.make_folder(f"{uri}/{METADATA}")
    files.write(f"{uri}/{METADATA}/part-00000.txt", f"{metadata_line(stage, OLDEST_SPARK)}\n".encode())


def read_stage(files: Files, uri: str, name: str | None = None) -> SavedStage:
    """Reads without Spark what `write_stage` or Spark wrote.

    Args:
        files: The file system of `uri`.
        uri: The stage's folder.
        name: The class that it must be of; None: any.

    Raises:
        FileNotFoundError: There is no saved stage at `uri`.
        SparkciderError: It is of another class, incomplete or damaged.
    """
    lines = b"".join(_contents(files, f"{uri}/{METADATA}")).splitlines()
    if not lines:
        raise FileNotFoundError(f"{uri} holds no saved stage: there is no text in {uri}/{METADATA}")
    metadata = parse_metadata(lines[0].decode(errors="replace"), uri, name)
    arrays = {}
    for array, checksum in metadata["arrays"].items():
        where = f"{uri}/{array}"
        rows = [row for content in _contents(files, where) for row in _from_parquet(content, where)]
        arrays[array] = joined(rows, where, checksum)
    class_name = metadata["class"].rpartition(".")[2]
    params, defaults = metadata["paramMap"], metadata["defaultParamMap"]
    return SavedStage(class_name, metadata["uid"], params, defaults, arrays, metadata["facts"])


def metadata_line(stage: SavedStage, spark_version: str) -> str:
    """The JSON line of a stage, with the keys of Spark's own writer and the checksums of the arrays."""
    metadata = {
        "class": f"{PUBLIC}.{stage.name}",
        "timestamp": int(time.time() * 1000),
        "sparkVersion": spark_version,
        "sparkciderVersion": __version__,
        "format": FORMAT,
        "uid": stage.uid,
        "paramMap": stage.params,
        "defaultParamMap": stage.defaults,
        "arrays": {name: sha256(data).hexdigest() for name, data in stage.arrays.items()},
        "facts": stage.facts,
    }
    return json.dumps(metadata, separators=(",", ":"))


def parse_metadata(line: str, uri: str, name: str | None = None) -> dict[str, Any]:
    """What `metadata_line` wrote; `arrays` are checksums by name.

    Args:
        line: The JSON line.
        uri: Where it was read, for messages.
        name: The class that the stage must be of; None: any.

    Raises:
        SparkciderError: It is of another class or of a later format, or the line is not the metadata of a stage of this
            package.
    """
    try:
        metadata: Any = json.loads(line)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict) or not metadata.keys() >= KEYS:
        raise SparkciderError(f"{uri}/{METADATA} is incomplete or damaged: it is not the JSON line of a saved stage")
    expected, found = f"{PUBLIC}.{name or '*'}", str(metadata["class"])
    if found.rpartition(".") != (PUBLIC, ".", name or found.rpartition(".")[2]):
        raise SparkciderError(f"{uri} holds a {found}, expected a {expected}")
    if metadata.get("format", 1) > FORMAT:
        raise SparkciderError(
            f"{uri} was saved by sparkcider {metadata.get('sparkciderVersion')} in format {metadata['format']}; "
            f"{__version__} reads formats up to {FORMAT}: install the version that saved it, or a later one"
        )
    arrays = metadata.get("arrays", {})
    if not isinstance(arrays, dict) or not all(re.fullmatch(r"[\w-]+", str(array)) for array in arrays):
        raise SparkciderError(f"{uri}/{METADATA} is damaged: arrays must be folders of the stage, got {arrays}")
    return {"facts": None, **metadata, "arrays": arrays}


def parts(data: bytes) -> Iterator[list[tuple[int, bytes]]]:
    """The rows (chunk, data) of an array, in parts of `PART_BYTES`; of no bytes, one part of no rows."""
    rows = list(enumerate(chunks(data)))
    step = max(PART_BYTES // CHUNK_BYTES, 1)
    return (rows[start : start + step] for start in range(0, max(len(rows), 1), step))


def chunks(data: bytes) -> Iterator[bytes]:
    """Cuts bytes into pieces of `CHUNK_BYTES`; the last is shorter."""
    return (data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES))


def joined(rows: list[tuple[int, bytes]], uri: str, checksum: str) -> bytes:
    """The array whose rows these are, in any order.

    Raises:
        SparkciderError: Its checksum is not the one in the metadata; a ModelError if it is an ONNX file.
    """
    data = b"".join(chunk for _, chunk in sorted(rows, key=itemgetter(0)))
    found = sha256(data).hexdigest()
    if found != checksum:
        error = ModelError if uri.rpartition("/")[2] == MODEL else SparkciderError
        raise error(
            f"{uri} is incomplete or damaged: its checksum is {found}, the metadata says {checksum}: "
            "save the stage again"
        )
    return data


def _contents(files: Files, uri: str) -> Iterator[bytes]:
    """The files in a folder, in the order of their names; Spark's marks and checksums begin with `_` and `.`."""
    if files.exists(uri):
        for name in sorted(files.children(uri)):
            if not name.startswith(("_", ".")):
                yield files.read(f"{uri}/{name}")


def _to_parquet(rows: list[tuple[int, bytes]]) -> bytes:
    import pyarrow.parquet as pq  # a worker that imports this module for its chunks needs no Parquet

    columns = {
        "chunk": pa.array([index for index, _ in rows], pa.int32()),
        "data": pa.array([chunk for _, chunk in rows], pa.binary()),
    }
    sink = pa.BufferOutputStream()
    # Each chunk is one of a kind and does not compress.
    pq.write_table(pa.table(columns), sink, compression="none", use_dictionary=False, write_statistics=False)
    return bytes(sink.getvalue())


def _from_parquet(content: bytes, uri: str) -> list[tuple[int, bytes]]:
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(pa.BufferReader(content)).read(["chunk", "data"])
        return list(zip(table["chunk"].to_pylist(), table["data"].to_pylist()))
    except (pa.ArrowException, OSError, KeyError) as error:
        raise SparkciderError(f"{uri} is incomplete or damaged: {str(error).splitlines()[0]}") from error

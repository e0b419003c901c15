"""Saving and loading by DataFrames alone, so alike on classic Spark and on Connect.

A saved stage is a folder: `metadata/` holds Spark's own JSON line as text, and each array of a model lies in a folder
of its name as Parquet of (chunk, data). The metadata is written last and holds the arrays' checksums: what was saved
by halves does not load.
"""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.ml.util import DefaultParamsReader, MLReadable, MLReader, MLWriter

from sparkcider import SparkciderError
from sparkcider.spark.worker import CHUNK_BYTES, chunks

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

PUBLIC = "sparkcider.feature"
"""Where users find every stage, whichever module defines it: what is saved outlives a move."""

CHUNKS_PER_WRITE = (32 << 20) // CHUNK_BYTES
"""32 MiB of rows per write: Spark Connect refuses messages over 128 MiB."""

Stage = TypeVar("Stage", bound="MLReadable[Any]")


class StageWriter(MLWriter):
    """Writes the Params of a stage and its arrays.

    Args:
        stage: The stage.
        arrays: Bytes by name; a folder each.
    """

    def __init__(self, stage: Any, arrays: dict[str, bytes] | None = None) -> None:
        super().__init__()
        self._stage = stage
        self._arrays = arrays or {}

    def save(self, path: str) -> None:
        """Writes to a folder; an existing one is replaced only after `overwrite()`.

        Not `saveImpl`, as `MLWriter.save` overwrites through the JVM.
        """
        mode = "overwrite" if self.shouldOverwrite else "error"
        for name, data in self._arrays.items():
            _write_array(self.sparkSession, f"{path}/{name}", data, mode)
        line = json.dumps(self._metadata(), separators=(",", ":"))
        rows = self.sparkSession.createDataFrame([(line,)], "value string").coalesce(1)
        rows.write.mode(mode).text(f"{path}/metadata")

    def _metadata(self) -> dict[str, Any]:
        stage = self._stage
        return {
            "class": f"{PUBLIC}.{type(stage).__name__}",
            "timestamp": int(time.time() * 1000),
            "sparkVersion": self.sparkSession.version,
            "uid": stage.uid,
            "paramMap": {param.name: value for param, value in stage._paramMap.items()},  # noqa: SLF001 - as Spark's
            "defaultParamMap": {param.name: value for param, value in stage._defaultParamMap.items()},  # noqa: SLF001
            "arrays": {name: sha256(data).hexdigest() for name, data in self._arrays.items()},
        }


class StageReader(MLReader[Stage]):
    """Reads what `StageWriter` wrote.

    Args:
        stage_class: Class of the stage; its `_from_arrays` takes the arrays' bytes by name.
    """

    def __init__(self, stage_class: Any) -> None:
        super().__init__()
        self._class = stage_class

    def load(self, path: str) -> Stage:
        """Reads a folder.

        Raises:
            SparkciderError: Another class was saved there, or the folder is incomplete.
        """
        metadata = json.loads(self.sparkSession.read.text(f"{path}/metadata").first()[0])  # type: ignore[index]
        expected = f"{PUBLIC}.{self._class.__name__}"
        if metadata["class"] != expected:
            raise SparkciderError(f"{path} holds a {metadata['class']}, expected a {expected}")
        arrays = {
            name: _read_array(self.sparkSession, f"{path}/{name}", checksum)
            for name, checksum in metadata.get("arrays", {}).items()
        }
        stage: Stage = self._class._from_arrays(arrays)  # noqa: SLF001 - a stage's own way in
        stage._resetUid(metadata["uid"])  # type: ignore[attr-defined] # noqa: SLF001 - as Spark's reader does
        DefaultParamsReader.getAndSetParams(stage, metadata)
        return stage


def _write_array(session: SparkSession, path: str, data: bytes, mode: str) -> None:
    rows = [(index, bytearray(chunk)) for index, chunk in enumerate(chunks(data))]
    for start in range(0, len(rows), CHUNKS_PER_WRITE):
        part = session.createDataFrame(rows[start : start + CHUNKS_PER_WRITE], "chunk int, data binary").coalesce(1)
        part.write.mode(mode if start == 0 else "append").parquet(path)


def _read_array(session: SparkSession, path: str, checksum: str) -> bytes:
    rows = session.read.parquet(path).orderBy("chunk").collect()
    data = b"".join(bytes(row["data"]) for row in rows)
    if sha256(data).hexdigest() != checksum:
        raise SparkciderError(f"{path} is incomplete or damaged: its checksum is not the one in the metadata")
    return data

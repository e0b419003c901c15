"""Saving and loading by DataFrames alone, so alike on classic Spark and on Connect.

`sparkcider.saved_stage` has the format.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.ml.util import DefaultParamsReader, MLReadable, MLReader, MLWriter

from sparkcider import SparkciderError
from sparkcider.saved_stage import METADATA, SavedStage, joined, metadata_line, parse_metadata, parts
from sparkcider.version import __version__

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARRAY = "chunk int, data binary"

Stage = TypeVar("Stage", bound="MLReadable[Any]")


class StageWriter(MLWriter):
    """Writes the Params of a stage and its arrays.

    Args:
        stage: The stage.
        arrays: Bytes by name; a folder each.
        facts: As in `SavedStage`.
    """

    def __init__(self, stage: Any, arrays: dict[str, bytes] | None = None, facts: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._stage = stage
        self._arrays = arrays or {}
        self._facts = facts

    def save(self, path: str) -> None:
        """Writes to a folder; an existing one is replaced only after `overwrite()`.

        Not `saveImpl`, as `MLWriter.save` overwrites through the JVM.
        """
        mode = "overwrite" if self.shouldOverwrite else "error"
        for name, data in self._arrays.items():
            _write_array(self.sparkSession, f"{path}/{name}", data, mode)
        line = metadata_line(self.saved(), self.sparkSession.version)
        rows = self.sparkSession.createDataFrame([(line,)], "value string").coalesce(1)
        rows.write.mode(mode).text(f"{path}/{METADATA}")

    def saved(self) -> SavedStage:
        """All that is saved of the stage."""
        stage = self._stage
        return SavedStage(
            name=type(stage).__name__,
            uid=stage.uid,
            params={param.name: value for param, value in stage._paramMap.items()},  # noqa: SLF001 - as Spark's
            defaults={param.name: value for param, value in stage._defaultParamMap.items()},  # noqa: SLF001
            arrays=self._arrays,
            facts=self._facts,
        )


class StageReader(MLReader[Stage]):
    """Reads what `StageWriter` or `sparkcider.saved_stage.write_stage` wrote.

    Args:
        stage_class: Class of the stage; its `_from_arrays` takes the arrays' bytes by name, and its `_restored`, once
            the Params are set, those and the facts.
    """

    def __init__(self, stage_class: Any) -> None:
        super().__init__()
        self._class = stage_class

    def load(self, path: str) -> Stage:
        """Reads a folder.

        Raises:
            SparkciderError: Another class was saved there, the folder is incomplete, or a later version saved it.
            ModelError: The network is not the one that the stage was saved with.
        """
        first = self.sparkSession.read.text(f"{path}/{METADATA}").first()
        metadata = parse_metadata("" if first is None else first[0], path, self._class.__name__)
        arrays = {
            name: _read_array(self.sparkSession, f"{path}/{name}", checksum)
            for name, checksum in metadata["arrays"].items()
        }
        stage: Stage = self._class._from_arrays(arrays)  # noqa: SLF001 - a stage's own way in
        stage._resetUid(metadata["uid"])  # type: ignore[attr-defined] # noqa: SLF001 - as Spark's reader does
        self._check_params(stage, metadata, path)
        DefaultParamsReader.getAndSetParams(stage, metadata)
        stage._restored(arrays, metadata["facts"], path)  # type: ignore[attr-defined] # noqa: SLF001 - likewise
        return stage

    def _check_params(self, stage: Any, metadata: dict[str, Any], path: str) -> None:
        for name in {**metadata["paramMap"], **metadata["defaultParamMap"]}:
            if not stage.hasParam(name):
                saved_by = f"sparkcider {metadata.get('sparkciderVersion', '0.1.0')}"
                raise SparkciderError(
                    f"{path} was saved by {saved_by} with the Param {name}, which {self._class.__name__} of sparkcider "
                    f"{__version__} does not have: install the version that saved it, or a later one"
                )


def _write_array(session: SparkSession, path: str, data: bytes, mode: str) -> None:
    for number, rows in enumerate(parts(data)):
        part = session.createDataFrame([(index, bytearray(chunk)) for index, chunk in rows], ARRAY).coalesce(1)
        part.write.mode(mode if number == 0 else "append").parquet(path)


def _read_array(session: SparkSession, path: str, checksum: str) -> bytes:
    rows = session.read.schema(ARRAY).parquet(path).collect()  # a schema that is given costs no job of its own
    return joined([(row["chunk"] or 0, bytes(row["data"] or b"")) for row in rows], path, checksum)

"""What an earlier run has done already, so that a resumed one does the rest.

The rows of `features` say what is done: each has the path, the size and the modification time of its file. A row holds
for a file that has the same three today, unless the file could not be read. Parts appear only when they are complete,
so no other record is needed.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

import sparkcider
from sparkcider import _native
from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.job.results import SUMMARY
from sparkcider.job.source import KEYS
from sparkcider.options import Description

if TYPE_CHECKING:
    from sparkcider import FeatureExtractor
    from sparkcider.job.config import JobConfig
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import Files

DONE = pa.schema([*KEYS, ("error_kind", pa.string())])
"""What an earlier run says of a file; `error_kind` is null where it has features."""

JOB = "job.json"
"""The file that says what the features of a result depend on."""

_ASIDE = "features-"
"""Begins the names of folders of features that are being carried over."""

_OF_A_WRITE = "_temporary"
"""Spark's folder of a write that is not finished: the next write would adopt the finished tasks of a killed one."""

_OF_THE_RESULT = ("pca", "pca_k", "pca_variance", "standardize", "center", "formats", "to_table", "report")
"""Settings that change what a run writes beside the features."""

_SHOWN = 12
"""Digits of a checksum in a message."""

_REMEDY = "--mode overwrite (mode='overwrite') starts over"


def dependencies(config: JobConfig, extractor: FeatureExtractor) -> dict[str, Any]:
    """What must be the same for the features of two runs to be in one table."""
    runtime = "none" if config.model == "pixels" else _native._onnxruntime()[1]  # noqa: SLF001 - asks what users need not
    options = dict(config.options)
    description = extractor.resolved_options.get("preprocessing")
    if isinstance(description, Description):  # the same words in another file are the same
        options["preprocessing"] = dict(description.entries)
    found = {
        "model": extractor.checksum,
        "model_name": config.model_name,
        "options": dict(sorted(options.items())),
        "thumbnails": config.thumbnails,
        "sparkcider": sparkcider.__version__,
        "onnxruntime": runtime,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))  # tuples are lists in a file
    return plain


def check_same(files: Files, folder: str, now: dict[str, Any]) -> None:
    """Refuses to go on with features that were made in another way.

    Args:
        files: How the folder is reached.
        folder: A result, complete or not.
        now: `dependencies` of this run.

    Raises:
        ValueError: Something differs; each difference is named.
    """
    if not files.exists(f"{folder}/{JOB}"):
        if files.exists(f"{folder}/features"):
            raise ValueError(f"{folder} cannot be resumed: it has no {JOB}, as an older version wrote it; {_REMEDY}")
        return
    before = json.loads(files.read(f"{folder}/{JOB}"))
    changes = _changes(_flat(before), _flat(now))
    if changes:
        raise ValueError(f"{folder} cannot be resumed: {'; '.join(changes)}; {_REMEDY}")


class Comparison(NamedTuple):
    """Rows of an earlier run against today's files.

    Attributes:
        kept: path and today's label of each row whose file is unchanged.
        unchanged: Every row is kept, with the label that it has.
        todo: Today's files that have no row.
    """

    kept: pa.Table
    unchanged: bool
    todo: pa.Table


def compare(done: pa.Table, files: pa.Table) -> Comparison:
    """Compares the rows of an earlier run with today's files.

    Args:
        done: `DONE` of each row.
        files: `KEYS` of each file.

    Example:
        >>> done = pa.table([["a", "b", "c"], ["x", "x", "x"], [1, 2, 3], [7, 7, 7], [None] * 3], schema=DONE)
        >>> files = pa.table([["b", "c", "d"], ["x", "x", "y"], [2, 4, 5], [7, 7, 7]], schema=KEYS)
        >>> found = compare(done, files)
        >>> found.kept["path"].to_pylist(), found.unchanged, found.todo["path"].to_pylist()
        (['b'], False, ['c', 'd'])
    """
    at = pc.index_in(done["path"], value_set=files["path"].combine_chunks())
    today = files.take(at)  # a row of nulls where there is no such file
    same = pc.and_(pc.equal(today["length"], done["length"]), pc.equal(today["modified"], done["modified"]))
    unread = pc.is_in(done["error_kind"], value_set=pa.array(list(FETCHING_KINDS)))  # may be readable today
    holds = pc.and_not(pc.fill_null(same, fill_value=False), unread)
    kept = today.filter(holds).select(["path", "label"])
    unchanged = len(kept) == len(done) and kept["label"].to_pylist() == done["label"].to_pylist()
    todo = files.filter(pc.invert(pc.is_in(files["path"], value_set=kept["path"].combine_chunks())))
    return Comparison(kept, unchanged, todo)


class Carrier(Protocol):
    """What carrying rows over needs of an engine."""

    def keys(self, folder: str) -> pa.Table:
        """`DONE` of all rows in a folder of features."""

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None) -> None:
        """Writes rows of a folder of features into `partial`: those of `kept` (path, label), or all as they are."""


def put_aside(partial: Partial) -> str:
    """Moves the features away, to be written again from there; a resumed run finds them if this one is killed."""
    folder = partial.child(f"{_ASIDE}{uuid.uuid4().hex[:8]}")
    partial.files.rename(partial.child("features"), folder)
    return folder


def carry_over(engine: Carrier, partial: Partial, older: str | None, files: pa.Table) -> pa.Table:
    """Brings the rows of earlier runs that still hold into the unfinished result.

    Args:
        engine: Reads and writes features.
        partial: The unfinished result, perhaps with features of its own.
        older: Full URI of a complete result; None where there is none.
        files: Today's files.

    Returns:
        Those of the files that have no row yet.
    """
    store, own = partial.files, partial.child("features")
    todo = files
    if store.exists(own):
        if _OF_A_WRITE in store.children(own):
            store.remove(f"{own}/{_OF_A_WRITE}")
        found = compare(engine.keys(own), todo)
        if found.unchanged:
            todo = found.todo
        else:
            put_aside(partial)
    asides = [partial.child(name) for name in store.children(partial.uri) if name.startswith(_ASIDE)]
    for folder in [*asides, *([f"{older}/features"] if older is not None else [])]:
        found = compare(engine.keys(folder), todo)
        if len(found.kept):
            engine.carry(folder, partial, None if found.unchanged else found.kept)
        todo = found.todo
    for folder in asides:
        store.remove(folder)
    return todo


def unchanged_summary(
    engine: Carrier, files: Files, older: str, listed: pa.Table | None, config: JobConfig
) -> dict[str, Any] | None:
    """The summary of a complete result if a new run would write the same; else None.

    Args:
        engine: Reads features.
        files: How the result is reached.
        older: The result's full URI.
        listed: Today's files.
        config: The job.
    """
    summary: dict[str, Any] = json.loads(files.read(f"{older}/{SUMMARY}"))
    plain = json.loads(json.dumps(asdict(config)))
    if any(summary["config"].get(name) != plain[name] for name in _OF_THE_RESULT):
        return None
    if listed is None:
        return None
    found = compare(engine.keys(f"{older}/features"), listed)
    return summary if found.unchanged and len(found.todo) == 0 else None


def _changes(was: dict[str, Any], is_now: dict[str, Any]) -> list[str]:
    """What differs, in words; one model may have two names."""
    differing = {name for name in was.keys() | is_now.keys() if was.get(name) != is_now.get(name)} - {"model_name"}
    if "model" in differing and "none" in (was.get("onnxruntime"), is_now.get("onnxruntime")):
        differing.discard("onnxruntime")  # `pixels` runs no network
    return [f"{name} was {_said(name, was)} and is {_said(name, is_now)}" for name in sorted(differing)]


def _said(name: str, settings: dict[str, Any]) -> str:
    """The value of a setting; a model by its name and the beginning of its checksum."""
    value = str(settings.get(name, "not set"))
    if name != "model" or value == "pixels":
        return value
    short = f"{value[:_SHOWN]}..."
    called = settings.get("model_name")
    return f"{called} ({short})" if called else short


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """`{"options": {"a": 1}}` as `{"a": 1}`: differences are named by the option."""
    options = settings.get("options", {})
    return {**{name: value for name, value in settings.items() if name != "options"}, **options}

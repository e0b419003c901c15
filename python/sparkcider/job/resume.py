"""What an earlier run has done already, so that a resumed one does the rest.

The rows of `features` say what is done: each has the path, the size and the modification time of its file. A row holds
for a file that has the same three today, unless the file could not be read. Parts appear only when they are complete,
so no other record is needed.
"""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import asdict
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.job.dependencies import JOB, canonical, recorded, write_job
from sparkcider.job.results import SUMMARY
from sparkcider.job.source import KEYS
from sparkcider.job.tables import OPEN
from sparkcider.storage.uri import ALIASES

if TYPE_CHECKING:
    from sparkcider.job.config import JobConfig
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import Files

DONE = pa.schema([*KEYS, ("error_kind", pa.string())])
"""What an earlier run says of a file; `error_kind` is null where it has features."""

KEPT = pa.schema([("before", pa.string()), ("path", pa.string()), ("label", pa.string())])
"""The path that a row has, and the path and label that it has today."""

MOST_REMOVED, FEWEST_REMOVED = 0.1, 10
"""A larger share, and at least so many, of rows without files are taken for a mistake, such as a missing mount."""

_OF_A_WRITE = "_temporary"
"""Spark's folder of a write that is not finished: the next write would adopt the finished tasks of a killed one."""

_OF_THE_RESULT = ("pca", "pca_k", "pca_variance", "standardize", "center", "formats", "to_table", "report")
"""Settings that change what a run writes beside the features."""


class Comparison(NamedTuple):
    """Rows of an earlier run against today's files.

    Attributes:
        kept: `KEPT` of each row whose file is unchanged.
        unchanged: Every row is kept, with the path and the label that it has.
        todo: Today's files that have no row.
    """

    kept: pa.Table
    unchanged: bool
    todo: pa.Table


def compare(done: pa.Table, files: pa.Table, moved: Moved | None = None) -> Comparison:
    """Compares the rows of an earlier run with today's files.

    Args:
        done: `DONE` of each row.
        files: `KEYS` of each file.
        moved: Where the files of the rows are today.

    Example:
        >>> done = pa.table([["a", "b", "c"], ["x", "x", "x"], [1, 2, 3], [7, 7, 7], [None] * 3], schema=DONE)
        >>> files = pa.table([["b", "c", "d"], ["x", "x", "y"], [2, 4, 5], [7, 7, 7]], schema=KEYS)
        >>> found = compare(done, files)
        >>> found.kept["path"].to_pylist(), found.unchanged, found.todo["path"].to_pylist()
        (['b'], False, ['c', 'd'])
    """
    at = _places(done["path"], files["path"], moved)
    today = files.take(at)  # a row of nulls where there is no such file
    same = pc.and_(pc.equal(today["length"], done["length"]), pc.equal(today["modified"], done["modified"]))
    unread = pc.is_in(done["error_kind"], value_set=pa.array(list(FETCHING_KINDS)))  # may be readable today
    holds = pc.and_not(pc.fill_null(same, fill_value=False), unread)
    kept = pa.table([done["path"], today["path"], today["label"]], schema=KEPT).filter(holds)
    before = done.select(["path", "label"])
    unchanged = len(kept) == len(done) and kept.select(["path", "label"]).equals(before)
    todo = files.filter(pc.invert(pc.is_in(files["path"], value_set=kept["path"].combine_chunks())))
    return Comparison(kept, unchanged, todo)


class Moved(NamedTuple):
    """Images that were below one URI are below another one today.

    Attributes:
        old: What the paths began with, as `canonical` has it.
        new: What they begin with today.
    """

    old: str
    new: str

    @classmethod
    def between(cls, old: str | None, new: str) -> Moved | None:
        """Of two inputs; of a glob what stands before its first folder with a pattern. None where nothing moved."""
        if old is None or old == new:
            return None
        return cls(*(re.sub(r"/[^/]*[*?\[{].*", "", canonical(uri)) for uri in (old, new)))

    def today(self, paths: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
        """The paths of today; null for a path that was not there."""
        inside = pc.starts_with(paths, f"{self.old}/")
        rest = pc.utf8_slice_codeunits(paths, start=len(self.old))
        return pc.if_else(inside, pc.binary_join_element_wise(self.new, rest, ""), None)


def _places(paths: pa.ChunkedArray[Any], files: pa.ChunkedArray[Any], moved: Moved | None) -> pa.ChunkedArray[Any]:
    """For each path of a row the place of its file among today's; null where there is none."""
    paths, there = _canonical_paths(paths), _canonical_paths(files).combine_chunks()
    at = pc.index_in(paths, value_set=there)
    return at if moved is None else pc.coalesce(at, pc.index_in(moved.today(paths), value_set=there))


def _canonical_paths(paths: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """`canonical` of each."""
    for alias, scheme in ALIASES.items():
        if pc.any(pc.starts_with(paths, f"{alias}://")).as_py():
            paths = pc.replace_substring_regex(paths, f"^{alias}://", f"{scheme}://")
    return paths


class Carrier(Protocol):
    """What carrying rows over needs of an engine."""

    def keys(self, folder: str) -> pa.Table:
        """`DONE` of all rows in a folder of features."""

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None) -> None:
        """Writes rows of a folder of features into `partial`: those of `KEPT`, or all as they are."""


def put_aside(partial: Partial) -> str:
    """Moves the features away, to be written again from there; a resumed run finds them if this one is killed."""
    folder = partial.child(f"features-{uuid.uuid4().hex[:8]}")  # as `ASIDE` has it
    partial.files.rename(partial.child("features"), folder)
    return folder


class Carried(NamedTuple):
    """What was brought over from earlier runs.

    Attributes:
        todo: `KEYS` of the files that have no row yet.
        removed: Images whose rows were left out, because their files are not there.
    """

    todo: pa.Table
    removed: int


def carry_over(
    engine: Carrier, partial: Partial, older: str | None, files: pa.Table, now: dict[str, Any], *, allow_removed: bool
) -> Carried:
    """Brings the rows of earlier runs that still hold into the unfinished result.

    Args:
        engine: Reads and writes features.
        partial: The unfinished result, perhaps with features of its own.
        older: Full URI of a complete result; None where there is none.
        files: Today's files.
        now: `dependencies` of this run.
        allow_removed: Leave out rows of files that are not there, however many.

    Raises:
        ValueError: Too many files are not there; nothing was changed.
    """
    earlier = _earlier_rows(engine, partial, older, now)
    removed = _removed(earlier, files, now["input"], allow_removed=allow_removed)
    _remove_left_overs(partial)
    if not partial.files.exists(partial.child(JOB)):
        write_job(partial, now)  # before rows are carried, without which they could not be resumed
    todo, own = files, partial.child("features")
    for rows in earlier:
        found = compare(rows.done, todo, rows.moved)
        todo = found.todo
        if rows.folder == own and found.unchanged:
            continue
        folder = put_aside(partial) if rows.folder == own else rows.folder
        if len(found.kept):
            engine.carry(folder, partial, None if found.unchanged else found.kept)
    for folder in partial.feature_folders():
        if folder != own:
            partial.files.remove(folder)
    return Carried(todo, removed)


class _Rows(NamedTuple):
    """Rows of an earlier run: `DONE` of each, in a folder of features, and where their images are today."""

    folder: str
    done: pa.Table
    moved: Moved | None


def _earlier_rows(engine: Carrier, partial: Partial, older: str | None, now: dict[str, Any]) -> list[_Rows]:
    """The rows of all earlier runs; those of the unfinished result's own features first."""
    moved = _moved(partial.files, partial.uri, now)
    found = [_Rows(folder, engine.keys(folder), moved) for folder in partial.feature_folders()]
    if older is not None:
        folder = f"{older}/features"
        found.append(_Rows(folder, engine.keys(folder), _moved(partial.files, older, now)))
    return found


def _moved(files: Files, folder: str, now: dict[str, Any]) -> Moved | None:
    """Where the images of a result are today."""
    if not files.exists(f"{folder}/{JOB}"):
        return None
    return Moved.between(recorded(files, folder).get("input"), now["input"])


def _removed(earlier: list[_Rows], files: pa.Table, location: str, *, allow_removed: bool) -> int:
    """How many images that have rows are not among today's files.

    Raises:
        ValueError: Too many.
    """
    names, gone = [], []
    for _, done, moved in earlier:
        at = _places(done["path"], files["path"], moved)
        names += pc.coalesce(_canonical_paths(files["path"]).take(at), _canonical_paths(done["path"])).chunks
        gone += done["path"].filter(pc.is_null(at)).chunks
    if not gone:
        return 0
    lost = pc.unique(pa.chunked_array(gone))
    n_rows = pc.count_distinct(pa.chunked_array(names)).as_py()
    if not allow_removed and len(lost) >= FEWEST_REMOVED and len(lost) > MOST_REMOVED * n_rows:
        raise ValueError(
            f"{len(lost):,} of {n_rows:,} rows are of files that are not in {location} any more, such as "
            f"{lost[0].as_py()}: is a folder of it not mounted? If the files were deleted, --allow-removed "
            "(allow_removed=True) removes their rows"
        )
    return len(lost)


def _remove_left_overs(partial: Partial) -> None:
    """Removes what a killed run was writing into the features, by either engine."""
    for folder in partial.feature_folders():
        for name in partial.files.children(folder):
            if name == _OF_A_WRITE or name.endswith(OPEN):
                partial.files.remove(f"{folder}/{name}")


def left_over(engine: Carrier, partial: Partial) -> str | None:
    """What an earlier run has left: rows, parts, and when the last one was written; None where there is nothing."""
    if not partial.files.exists(partial.uri):
        return None
    parts = partial.parts()
    if not parts:
        return f"{partial.uri} has no finished part"
    rows = sum(len(engine.keys(folder)) for folder in partial.feature_folders())
    last = datetime.fromtimestamp(max(map(partial.files.modified, parts)), timezone.utc)
    return f"{partial.uri} has {rows:,} rows in {len(parts):,} parts, the last one of {last:%Y-%m-%d %H:%M:%S} UTC"


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

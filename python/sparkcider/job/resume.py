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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.error_kinds import FETCHING_KINDS
from sparkcider.job.dependencies import JOB, canonical, recorded, write_job
from sparkcider.job.results import SUMMARY
from sparkcider.job.source import KEYS
from sparkcider.job.tables import OPEN
from sparkcider.storage.uri import ALIASES

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkcider.job.config import JobConfig
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import Files

DONE = pa.schema([*KEYS, ("error_kind", pa.string())])
"""What an earlier run says of a file; `error_kind` is null where it has features."""

KEPT = pa.schema([*DONE, ("now", pa.string())])
"""`DONE` of rows that hold, with the label of today, and the path of today in `now`."""

MOST_REMOVED, FEWEST_REMOVED = 0.1, 10
"""A larger share, and at least so many, of rows without files are taken for a mistake, such as a missing mount."""

_OF_A_WRITE = "_temporary"
"""Spark's folder of a write that is not finished: the next write would adopt the finished tasks of a killed one."""

_OF_THE_RESULT = ("pca", "pca_k", "pca_variance", "standardize", "center", "formats", "to_table", "report")
"""Settings that change what a run writes beside the features."""


class Comparison(NamedTuple):
    """Rows of an earlier run against today's files.

    Attributes:
        kept: `KEPT` of the rows whose file is unchanged, one of each path.
        unchanged: Every row is kept, with the path and the label that it has.
        todo: Today's files that have no row.
        doubled: Rows of a path that another row has, too: two runs have written it.
    """

    kept: pa.Table
    unchanged: bool
    todo: pa.Table
    doubled: int


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
    holds = _one_of_each(at, pc.and_not(pc.fill_null(same, fill_value=False), unread))
    rows = done.set_column(1, "label", today["label"]).append_column("now", today["path"])
    kept = rows.filter(holds).cast(KEPT)
    as_it_was = kept["now"].equals(done["path"]) and kept["label"].equals(done["label"])
    todo = files.filter(pc.invert(pc.is_in(files["path"], value_set=kept["now"].combine_chunks())))
    doubled = len(done) - pc.count_distinct(done["path"]).as_py()
    return Comparison(kept, len(kept) == len(done) and as_it_was, todo, doubled)


def _one_of_each(values: pa.ChunkedArray[Any], among: pa.ChunkedArray[Any]) -> pa.Array[Any]:
    """A mask of the first row of each value, among some rows that have one."""
    rows = np.flatnonzero(among.to_numpy())
    _, first = np.unique(values.take(pa.array(rows)).to_numpy(), return_index=True)
    mask = np.zeros(len(values), dtype=bool)
    mask[rows[first]] = True
    return pa.array(mask)


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


class Chosen:
    """Picks the rows of `kept` out of groups of rows: of several rows that are alike, the first.

    Args:
        kept: `KEPT` of the rows, each path once.
    """

    def __init__(self, kept: pa.Table) -> None:
        self._kept = kept.combine_chunks()
        self._paths = self._kept["path"].combine_chunks()
        self._open = np.ones(len(kept), dtype=bool)

    def of(self, group: pa.Table) -> pa.Table:
        """Those rows of a group, with the path and the label of today."""
        at = pc.index_in(group["path"], value_set=self._paths)
        match = self._kept.take(at)
        alike = pc.is_valid(at)
        for name in ("length", "modified", "error_kind"):
            ours, theirs = match[name], group[name]
            equal = pc.fill_null(pc.equal(ours, theirs), fill_value=False)
            alike = pc.and_(alike, pc.or_(equal, pc.and_(pc.is_null(ours), pc.is_null(theirs))))
        taken = _one_of_each(at, pc.and_(alike, pc.take(pa.array(self._open), pc.fill_null(at, 0))))
        found = group.set_column(0, "path", match["now"]).set_column(1, "label", match["label"]).filter(taken)
        self._open[at.filter(taken).to_numpy()] = False
        return found


class Carrier(Protocol):
    """What carrying rows over needs of an engine."""

    def keys(self, folder: str, known: set[str] | None = None) -> pa.Table:
        """`DONE` of all rows in a folder of features, or of those in parts of known names."""

    def carry(self, folder: str, partial: Partial, kept: pa.Table | None, known: set[str] | None = None) -> None:
        """Writes rows of a folder of features into `partial`: each of `KEPT` once, or all as they are."""


def put_aside(partial: Partial) -> str:
    """Renames the features, to be written again from there; a resumed run finds them if this one is killed."""
    name = f"features-{uuid.uuid4().hex[:8]}"  # as `results.ASIDE` has it
    partial.move_table("features", name)
    return name


def drop_doubled(engine: Carrier, partial: Partial) -> int:
    """Keeps one row of each path, one with features where there is one; gives how many were dropped."""
    name = put_aside(partial)
    folder, known = partial.child(name), partial.parts[name]
    done = engine.keys(folder, known)
    places = pc.index_in(done["path"], value_set=pc.unique(done["path"]))
    order = pc.sort_indices(pa.table({"failed": pc.is_valid(done["error_kind"])}), [("failed", "ascending")])
    kept = done.take(order).filter(_one_of_each(places.take(order), pc.is_valid(places)))
    engine.carry(folder, partial, kept.append_column("now", kept["path"]), known)
    partial.files.remove(folder)
    return len(done) - len(kept)


class Earlier(NamedTuple):
    """What is known of the features before the stages begin.

    Attributes:
        older: Full URI of a complete result to bring up to date; None where there is none.
        now: `dependencies` of this run.
    """

    older: str | None
    now: dict[str, Any]


class Carried(NamedTuple):
    """What was brought over from earlier runs.

    Attributes:
        todo: `KEYS` of the files that have no row yet.
        removed: Images whose rows were left out, because their files are not there.
    """

    todo: pa.Table
    removed: int


def carry_over(
    engine: Carrier,
    partial: Partial,
    earlier: Earlier,
    files: pa.Table,
    *,
    allow_removed: bool,
    say: Callable[[str], None],
) -> Carried:
    """Brings the rows of earlier runs that still hold into the unfinished result, each path once.

    Args:
        engine: Reads and writes features.
        partial: The unfinished result, perhaps with features of its own.
        earlier: A complete result, and what this run's features depend on.
        files: Today's files.
        allow_removed: Leave out rows of files that are not there, however many.
        say: Takes a line of text about rows that were dropped.

    Raises:
        ValueError: Too many files are not there; nothing was changed.
    """
    found = _earlier_rows(engine, partial, earlier)
    removed = _removed(found, files, earlier.now["input"], allow_removed=allow_removed)
    _remove_left_overs(partial)
    if not partial.files.exists(partial.child(JOB)):
        write_job(partial, earlier.now)  # before rows are carried, without which they could not be resumed
    todo, own = files, partial.child("features")
    for rows in found:
        compared = compare(rows.done, todo, rows.moved)
        todo = compared.todo
        if compared.doubled and not rows.aside:
            say(doubled_line(compared.doubled, rows.folder))
        if rows.folder == own and compared.unchanged:
            continue
        folder, known = rows.folder, rows.known
        if folder == own:
            name = put_aside(partial)
            folder, known = partial.child(name), partial.parts[name]
        if len(compared.kept):
            engine.carry(folder, partial, None if compared.unchanged else compared.kept, known)
    for name in partial.feature_folders():
        if name != "features":
            partial.files.remove(partial.child(name))
    return Carried(todo, removed)


class _Rows(NamedTuple):
    """Rows of an earlier run: `DONE` of each, in the known parts of a folder, and where their images are today."""

    folder: str
    known: set[str] | None
    done: pa.Table
    moved: Moved | None
    aside: bool


def _earlier_rows(engine: Carrier, partial: Partial, earlier: Earlier) -> list[_Rows]:
    """The rows of all earlier runs; those of the unfinished result's own features first."""
    moved = _moved(partial.files, partial.uri, earlier.now)
    found = []
    for name in partial.feature_folders():
        folder, known = partial.child(name), partial.parts[name]
        found.append(_Rows(folder, known, engine.keys(folder, known), moved, name != "features"))
    if earlier.older is not None:
        folder = f"{earlier.older}/features"
        moved = _moved(partial.files, earlier.older, earlier.now)
        found.append(_Rows(folder, None, engine.keys(folder), moved, aside=False))
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
    for rows in earlier:
        paths = rows.done["path"]
        at = _places(paths, files["path"], rows.moved)
        names += pc.coalesce(_canonical_paths(files["path"]).take(at), _canonical_paths(paths)).chunks
        gone += paths.filter(pc.is_null(at)).chunks
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
    for folder in map(partial.child, partial.feature_folders()):
        for name in partial.files.children(folder):
            if name == _OF_A_WRITE or name.endswith(OPEN):
                partial.files.remove(f"{folder}/{name}")


def left_over(engine: Carrier, partial: Partial) -> str | None:
    """What an earlier run has left: rows, parts, and when the last one was written; None where there is nothing."""
    if not partial.files.exists(partial.uri):
        return None
    folders = {partial.child(name): partial.found(name) for name in partial.feature_folders()}
    parts = [f"{folder}/{name}" for folder, names in folders.items() for name in names]
    if not parts:
        return f"{partial.uri} has no finished part"
    rows = sum(len(engine.keys(folder)) for folder, names in folders.items() if names)
    last = datetime.fromtimestamp(max(map(partial.files.modified, parts)), timezone.utc)
    return f"{partial.uri} has {rows:,} rows in {len(parts):,} parts, the last one of {last:%Y-%m-%d %H:%M:%S} UTC"


def doubled_line(count: int, folder: str) -> str:
    """What is said of rows that were dropped."""
    return f"{'repaired':<9} {count:,} rows dropped whose images have another row in {folder}"


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

"""The folder that a job writes: until it is whole, everything is in `OUT.partial`.

Where a folder is renamed in one step (local disks, HDFS) a reader sees the old result or the new one, never a part.
Object stores copy and delete instead. There `summary.json` is removed first and written last: a reader who finds it
finds all that belongs to it.

A result that is whole is put in place by a list of its files, `.OUT.moving`. A run that finds this list goes on with
the move, so a job that is killed meanwhile loses nothing. What is not in the list stays behind: in a store nothing
stops a writer that has lost its lock from ending what it had begun.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sparkcider.job.lock import LockLostError, locked
from sparkcider.storage.files import RENAMED_IN_ONE_STEP, sync
from sparkcider.storage.uri import scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkcider.job.lock import Lock
    from sparkcider.storage.files import Files

SUMMARY = "summary.json"
"""The file that is put in place last."""

TABLES = ("features", "pca")
"""Folders of parts."""

ASIDE = re.compile("features-[0-9a-f]{8}")
"""Names of folders of features that are being written again."""

# What an older result must hold before it is replaced: a mistyped --output must not cost a home folder.
_MARKS = (SUMMARY, "features")


class Partial:
    """The folder in which a result grows.

    Args:
        files: How it is reached.
        uri: Its full URI.
        lock: What this run holds to write. Default: it only looks.

    Attributes:
        files: How it is reached; they write only while this run holds its lock.
        uri: Its full URI.
        parts: By table, the names of the parts that this run has found or written. Any other part is of a writer that
            has lost its lock: nobody reads or publishes it.
    """

    def __init__(self, files: Files, uri: str, lock: Lock | None = None) -> None:
        self.files = files if lock is None else _Fenced(files, lock)
        self.uri = uri
        self.parts: defaultdict[str, set[str]] = defaultdict(set)
        self._lock = lock

    def child(self, name: str) -> str:
        """The URI of one of the result's parts."""
        return f"{self.uri}/{name}"

    def has_features(self) -> bool:
        """Whether a part of the features is finished: then there is something to go on with."""
        return any(self.found(name) for name in self.feature_folders())

    def feature_folders(self) -> list[str]:
        """The names of the folders with features: the result's own, then those that are being written again."""
        names = self.files.children(self.uri) if self.files.exists(self.uri) else []
        return sorted(name for name in names if name == "features" or ASIDE.fullmatch(name))

    def write_text(self, name: str, text: str) -> None:
        """Writes a small file of the result, in UTF-8."""
        self.files.write(self.child(name), text.encode())

    def check(self) -> None:
        """LockLostError if another run has taken over: to be asked before anything is written past `files`."""
        if self._lock is not None:
            self._lock.check()

    def new_part(self, table: str) -> str:
        """A name for the next part of a table; no other run gives the same."""
        ours = f"-{'alone' if self._lock is None else self._lock.token}.parquet"
        number = sum(name.endswith(ours) for name in self.parts[table])
        return f"part-{number:05}{ours}"

    def adopt(self, table: str) -> None:
        """Takes the parts that are in a table's folder now as found, or as written by this run."""
        self.parts[table].update(self.found(table))

    def move_table(self, table: str, name: str) -> None:
        """Gives a table's folder another name."""
        self.files.rename(self.child(table), self.child(name))
        self.parts[name] = self.parts.pop(table, set())

    def whole(self) -> list[str]:
        """The names of all files of the result, without what a writer that has lost its lock has left."""
        return sorted(name for name in self.files.walk(self.uri) if self._belongs(*name.split("/")))

    def _belongs(self, folder: str, *below: str) -> bool:
        if folder not in TABLES:
            return True
        return len(below) == 1 and (below[0] in self.parts[folder] or below[0].startswith("_"))  # Spark's `_SUCCESS`

    def found(self, table: str) -> list[str]:
        """The names of the finished parts that are in a table's folder now."""
        folder = self.child(table)
        names = self.files.children(folder) if self.files.exists(folder) else []
        return [name for name in names if name.endswith(".parquet")]


class _Fenced:
    """Files that are written only while a lock is held; each writing method raises LockLostError."""

    def __init__(self, files: Files, lock: Lock) -> None:
        self._files, self._lock = files, lock
        self.read, self.exists, self.children, self.walk = files.read, files.exists, files.children, files.walk
        self.modified = files.modified

    def write(self, uri: str, content: bytes) -> None:
        self._lock.check()
        self._files.write(uri, content)

    def rename(self, source: str, target: str) -> None:
        self._lock.check()
        self._files.rename(source, target)

    def make_folder(self, uri: str) -> None:
        self._lock.check()
        self._files.make_folder(uri)

    def remove(self, uri: str) -> None:
        self._lock.check()
        self._files.remove(uri)

    def remove_empty(self, uri: str) -> None:
        self._lock.check()
        self._files.remove_empty(uri)


@contextmanager
def unfinished(
    files: Files, uri: str, *, overwrite: bool, resume: bool = False, say: Callable[[str], None] | None = None
) -> Iterator[Partial]:
    """Gives a folder to write to, and puts it in place of the output when the block ends well.

    An older result is replaced when the new one is whole. If the block fails, an older result is as it was, and
    finished features are kept in the folder, for a run that resumes.

    Args:
        files: How the output is reached.
        uri: The output's full URI, without a slash at the end.
        overwrite: Replace an older result of this job, and start over.
        resume: Go on with what an earlier run has left, and replace an older result.
        say: Takes a line of text before this run waits to see whether another writer lives.

    Yields:
        The folder.

    Raises:
        FileExistsError: If the output exists and may not be replaced, an earlier run has left unfinished work and it
            is not to be resumed, or another run is writing.
        LockLostError: If another run has taken over.
        ValueError: If the output is the root of a file system.
    """
    parent, _, name = uri.rpartition("/")
    if not parent or not name or parent.endswith("/"):
        raise ValueError(f"output {uri} is the root of a file system; name a folder in it")
    may_replace = overwrite or resume
    check_free(files, uri, overwrite=may_replace)
    with locked(files, uri, take_over=may_replace, say=say) as lock:
        partial = Partial(files, f"{uri}.partial", lock)
        _begin(partial, uri, overwrite=overwrite, resume=resume)
        try:
            yield partial
            check_free(files, uri, overwrite=may_replace)
        except LockLostError:
            raise
        except BaseException:
            if not partial.has_features() and files.exists(partial.uri):
                partial.files.remove(partial.uri)
            raise
        publish(partial, uri)


def _begin(partial: Partial, uri: str, *, overwrite: bool, resume: bool) -> None:
    """Takes over, removes or refuses what an earlier run has left."""
    files = partial.files
    if files.exists(partial.uri):
        if files.exists(_moving(uri)):
            raise FileExistsError(f"{uri} is being put in place: --resume and --mode overwrite go on with that first")
        if not resume:
            _remove_left(partial, overwrite=overwrite)
        for name in files.children(partial.uri):
            if name.partition("-")[0] in TABLES:  # `features-...` are being carried over
                partial.adopt(name)
    elif files.exists(_moving(uri)):  # what it lists was in place before it was removed by hand
        files.remove(_moving(uri))
    files.make_folder(partial.uri)


def _remove_left(partial: Partial, *, overwrite: bool) -> None:
    left = partial.files.children(partial.uri)
    if left and not overwrite:
        raise FileExistsError(
            f"{partial.uri} holds the unfinished work of an earlier run; --resume goes on with it, "
            "--mode overwrite starts over"
        )
    for name in left:
        partial.files.remove(partial.child(name))


def check_free(files: Files, uri: str, *, overwrite: bool) -> None:
    """FileExistsError if something is at ``uri`` that this run may not replace."""
    if not files.exists(uri):
        return
    if not overwrite:
        if files.exists(_moving(uri)):
            raise FileExistsError(
                f"output {uri} is being put in place, or was so when its job was killed; --resume and --mode overwrite "
                "go on with that"
            )
        raise FileExistsError(f"output {uri} exists; take another name, or mode 'overwrite' to replace it")
    found = files.children(uri)
    if not all(mark in found for mark in _MARKS):
        raise FileExistsError(f"output {uri} exists and is not a result of this job, so it is not replaced")


def publish(partial: Partial, uri: str) -> None:
    """Puts the finished folder in place of ``uri``.

    On local disks and HDFS ``uri`` is what it was on failure. In a store the next run goes on with the move.
    """
    names = partial.whole()
    sync(partial.uri)
    partial.files.write(_moving(uri), json.dumps(names).encode())
    _put_in_place(partial.files, uri, names)


def finish_move(files: Files, uri: str, say: Callable[[str], None]) -> None:
    """Goes on with the move of a finished result that an earlier run has left, if there is one.

    Args:
        files: How the output is reached.
        uri: The output's full URI.
        say: Takes a line of text.

    Raises:
        FileExistsError: Another run is writing.
        FileNotFoundError: Files of the result are neither here nor there.
    """
    if not files.exists(_moving(uri)):
        return
    with locked(files, uri, take_over=True, say=say) as lock:
        ours = _Fenced(files, lock)
        if not files.exists(_moving(uri)):  # another run was faster
            return
        try:
            names = json.loads(files.read(_moving(uri)))
        except ValueError:  # its job was killed before it had written the list, so nothing is moved
            ours.remove(_moving(uri))
            return
        _put_in_place(ours, uri, names)
    say(f"{'moved':<9} a finished result that an earlier run has left in pieces to {uri}")


def _moving(uri: str) -> str:
    """The list of files of a result that is being put in place of ``uri``."""
    parent, _, name = uri.rpartition("/")
    return f"{parent}/.{name}.moving"


def _put_in_place(files: Files, uri: str, names: list[str]) -> None:
    """Moves what is left in `OUT.partial`; after a kill at any moment the same call goes on."""
    left = set(files.walk(f"{uri}.partial"))
    if scheme_of(uri) in RENAMED_IN_ONE_STEP:
        _check_there(names, left or set(files.walk(uri)), uri)
        _rename(files, uri, names, left)
    else:
        _check_there(names, left | set(files.walk(uri)), uri)
        _move_each(files, uri, names, left)
    files.remove(_moving(uri))


def _check_there(names: list[str], found: set[str], uri: str) -> None:
    missing = sorted(set(names) - found)
    if missing:
        raise FileNotFoundError(
            f"{uri} was being put in place, and {len(missing)} of its {len(names)} files are gone, such as "
            f"{missing[0]}: remove {uri}, {uri}.partial and {_moving(uri)}, and start over"
        )


def _rename(files: Files, uri: str, names: list[str], left: set[str]) -> None:
    """Moves a result where folders are renamed in one step."""
    parent, _, name = uri.rpartition("/")
    partial, aside = f"{uri}.partial", f"{parent}/.{name}.old"
    if left:
        for foreign in left - set(names):
            files.remove(f"{partial}/{foreign}")
        if files.exists(uri):
            if files.exists(aside):  # older than what is in place
                files.remove(aside)
            files.rename(uri, aside)
        try:
            files.rename(partial, uri)
        except BaseException:
            if files.exists(aside) and not files.exists(uri):
                files.rename(aside, uri)
            files.remove(_moving(uri))
            raise
        sync(parent, below=False)
    if files.exists(aside):
        files.remove(aside)


def _move_each(files: Files, uri: str, names: list[str], left: set[str]) -> None:
    """Moves a result part by part, with the summary last."""
    partial, moved = f"{uri}.partial", set(names) - left
    if SUMMARY not in moved:
        if files.exists(f"{uri}/{SUMMARY}"):
            files.remove(f"{uri}/{SUMMARY}")
        if moved:
            for name in set(files.walk(uri)) - moved:
                files.remove(f"{uri}/{name}")
        elif files.exists(uri):
            files.remove(uri)
        for folder in sorted({f"{uri}/{name}".rpartition("/")[0] for name in names}):
            files.make_folder(folder)
        for name in sorted(set(names) & left, key=lambda name: (name == SUMMARY, name)):
            files.rename(f"{partial}/{name}", f"{uri}/{name}")
    if files.exists(partial):  # an object store may have no empty folder
        files.remove(partial)

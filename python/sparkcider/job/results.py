"""The folder that a job writes: `OUT` is complete or absent; until then everything is in `OUT.partial`.

Where a folder is renamed in one step (local disks, HDFS) a reader sees the old result or the new one, never a part.
Object stores copy and delete instead: there the parts arrive one by one and ``summary.json`` last, so a reader waits
for that file.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sparkcider.job.lock import LOCK, locked
from sparkcider.storage.files import RENAMED_IN_ONE_STEP
from sparkcider.storage.uri import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkcider.storage.files import Files

SUMMARY = "summary.json"
"""The file that is put in place last."""

ASIDE = re.compile("features-[0-9a-f]{8}")
"""Names of folders of features that are being written again."""

# What an older result must hold before it is replaced: a mistyped --output must not cost a home folder.
_MARKS = (SUMMARY, "features")


class Partial(NamedTuple):
    """The folder in which a result grows.

    Attributes:
        files: How it is reached.
        uri: Its full URI.
    """

    files: Files
    uri: str

    def child(self, name: str) -> str:
        """The URI of one of the result's parts."""
        return f"{self.uri}/{name}"

    def has_features(self) -> bool:
        """Whether a part of the features is finished: then there is something to go on with."""
        return bool(self.parts())

    def parts(self) -> list[str]:
        """The finished parts of the features, by their URIs."""
        folders = self.feature_folders()
        names = [(folder, name) for folder in folders for name in self.files.children(folder)]
        return [f"{folder}/{name}" for folder, name in names if name.endswith(".parquet")]

    def feature_folders(self) -> list[str]:
        """The folders with features: the result's own, and those that are being written again."""
        names = self.files.children(self.uri) if self.files.exists(self.uri) else []
        return [self.child(name) for name in sorted(names) if name == "features" or ASIDE.fullmatch(name)]

    def write_text(self, name: str, text: str) -> None:
        """Writes a small file of the result, in UTF-8."""
        self.files.write(self.child(name), text.encode())


@contextmanager
def unfinished(files: Files, uri: str, *, overwrite: bool, resume: bool = False) -> Iterator[Partial]:
    """Gives a folder to write to, and puts it in place of the output when the block ends well.

    An older result is moved aside and removed only when the new one is in place. If the block fails, an older result
    is as it was, and finished features are kept in the folder, for a run that resumes.

    Args:
        files: How the output is reached.
        uri: The output's full URI, without a slash at the end.
        overwrite: Replace an older result of this job, and start over.
        resume: Go on with what an earlier run has left, and replace an older result.

    Yields:
        The folder.

    Raises:
        FileExistsError: If the output exists and may not be replaced, an earlier run has left unfinished work and it
            is not to be resumed, or another run is writing.
        ValueError: If the output is the root of a file system.
    """
    parent, _, name = uri.rpartition("/")
    if not parent or not name or parent.endswith("/"):
        raise ValueError(f"output {uri} is the root of a file system; name a folder in it")
    check_free(files, uri, overwrite=overwrite or resume)
    partial = Partial(files, f"{uri}.partial")
    with locked(files, partial.child(LOCK), take_over=overwrite or resume):
        if files.exists(partial.uri) and not resume:
            _check_unfinished(partial, overwrite=overwrite)
        try:
            yield partial
        except BaseException:
            if not partial.has_features():
                files.remove(partial.uri)
            raise
        check_free(files, uri, overwrite=overwrite or resume)
    publish(files, partial.uri, uri, aside=f"{parent}/.{name}.old")


def _check_unfinished(partial: Partial, *, overwrite: bool) -> None:
    """Removes what an earlier run has left if it may, except for the lock, which this run holds."""
    left = [name for name in partial.files.children(partial.uri) if name != LOCK]
    if not left:
        return
    if not overwrite:
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
        raise FileExistsError(f"output {uri} exists; take another name, or mode 'overwrite' to replace it")
    found = files.children(uri)
    if not all(mark in found for mark in _MARKS):
        raise FileExistsError(f"output {uri} exists and is not a result of this job, so it is not replaced")


def publish(files: Files, partial: str, uri: str, aside: str) -> None:
    """Puts the finished folder in place of ``uri``; on failure ``uri`` is what it was."""
    replaced = files.exists(uri)
    if replaced:
        _move(files, uri, aside)
    try:
        _move(files, partial, uri)
    except BaseException:
        if replaced:
            _move(files, aside, uri)
        raise
    if replaced:
        files.remove(aside)


def _move(files: Files, source: str, target: str) -> None:
    """Moves a result: in one step where the file system can, else part by part with the summary last."""
    if scheme_of(target) in RENAMED_IN_ONE_STEP:
        files.rename(source, target)
        return
    files.make_folder(target)
    moved: list[str] = []
    try:
        for name in sorted(files.children(source), key=lambda name: (name == SUMMARY, name)):
            files.rename(f"{source}/{name}", f"{target}/{name}")
            moved.append(name)
    except BaseException:
        for name in moved:
            files.rename(f"{target}/{name}", f"{source}/{name}")
        files.remove(target)
        raise
    if files.exists(source):  # an object store may have no empty folder
        files.remove(source)

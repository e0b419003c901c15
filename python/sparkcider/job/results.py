"""The folder that a job writes: there whole, or not at all.

Everything is written under a hidden name beside the output, which is renamed when it is complete. Where a folder is
renamed in one step (local disks, HDFS) a reader sees the old result or the new one, never a part. Object stores copy
and delete instead: there the parts arrive one by one and ``summary.json`` last, so a reader waits for that file.
"""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from sparkcider.storage.files import RENAMED_IN_ONE_STEP
from sparkcider.storage.hadoop import files_of, qualified
from sparkcider.storage.uri import scheme_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

    from sparkcider.storage.files import Files

SUMMARY = "summary.json"
"""The file that is put in place last."""
# What an older result must hold before it is replaced: a mistyped --output must not cost a home folder.
_MARKS = (SUMMARY, "pca-model")


class Staging(NamedTuple):
    """The hidden folder in which a result grows."""

    files: Files
    uri: str

    def child(self, name: str) -> str:
        """The URI of one of the result's parts."""
        return f"{self.uri}/{name}"

    def write_text(self, name: str, text: str) -> None:
        """Writes a small file of the result, in UTF-8."""
        self.files.write(self.child(name), text.encode())


@contextmanager
def staged(session: SparkSession, output: str, *, overwrite: bool) -> Iterator[Staging]:
    """Gives a folder to write to, and puts it in place of ``output`` when the block ends well.

    An older result is moved aside and removed only when the new one is in place. If the block fails, nothing of it
    stays and an older result is as it was.

    Args:
        session: The session whose view of the files counts.
        output: Folder or URI; without a scheme, Spark's default file system (on Connect: the local disk).
        overwrite: Replace an older result of this job.

    Yields:
        The staging folder.

    Raises:
        FileExistsError: If ``output`` exists and may not be replaced.
        ValueError: If ``output`` is the root of a file system.
    """
    uri = qualified(session, output)
    parent, _, name = uri.rpartition("/")
    if not parent or parent.endswith("/"):
        raise ValueError(f"output {output} is the root of a file system; name a folder in it")
    files = files_of(session, uri)
    _check_free(files, uri, overwrite=overwrite)
    run = uuid.uuid4().hex[:8]
    staging = Staging(files, f"{parent}/.{name}.{run}.new")
    files.make_folder(staging.uri)
    try:
        yield staging
        _check_free(files, uri, overwrite=overwrite)
        _publish(files, staging.uri, uri, aside=f"{parent}/.{name}.{run}.old")
    finally:
        if files.exists(staging.uri):
            files.remove(staging.uri)


def _check_free(files: Files, uri: str, *, overwrite: bool) -> None:
    """FileExistsError if something is at ``uri`` that this run may not replace."""
    if not files.exists(uri):
        return
    if not overwrite:
        raise FileExistsError(f"output {uri} exists; take another name, or mode 'overwrite' to replace it")
    found = files.children(uri)
    if not all(mark in found for mark in _MARKS):
        raise FileExistsError(f"output {uri} exists and is no result of this job, so it is not replaced")


def _publish(files: Files, staging: str, uri: str, aside: str) -> None:
    """Puts the staging folder in place of ``uri``; on failure ``uri`` is what it was."""
    replaced = files.exists(uri)
    if replaced:
        _move(files, uri, aside)
    try:
        _move(files, staging, uri)
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
    if files.exists(source):  # an object store may know no empty folder
        files.remove(source)

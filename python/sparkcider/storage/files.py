"""The files of a result, over full URIs: local disks, and object stores without a JVM, by pyarrow."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from pyarrow import fs as arrow_fs

from sparkcider.storage.objects import opened_in, read_whole
from sparkcider.storage.stores import listed, store_of
from sparkcider.storage.uri import error_cause, full_uri, literal_path, mounted, redacted_uri, scheme_of

RENAMED_IN_ONE_STEP = ("file", "hdfs", "viewfs", "webhdfs")
"""Schemes of file systems that rename a folder in one step; object stores copy and delete."""


_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
"""What a mounted store or a shared disk says that cannot do this."""


class Files(Protocol):
    """The few file operations that a result needs, over full URIs."""

    def read(self, uri: str) -> bytes:
        """Reads one file whole."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, or of nothing, an empty list."""

    def modified(self, uri: str) -> float:
        """When a file was modified, in seconds since 1970 (UTC)."""

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder; the target's parent exists, the target does not. OSError if there is no source."""

    def make_folder(self, uri: str) -> None:
        """Makes a folder, where the store knows folders."""

    def remove(self, uri: str) -> None:
        """Removes a file or folder and what is in it."""

    def remove_empty(self, uri: str) -> None:
        """Removes a folder if nothing is in it; on local disks and HDFS in one step."""

    def walk(self, uri: str) -> list[str]:
        """The names of all files below a folder, relative to it; none where there is no folder."""


class ArrowFiles:
    """Files by pyarrow: local disks, and object stores without a JVM."""

    def __init__(self, uri: str) -> None:
        """Finds the file system of ``uri``; ValueError if pyarrow knows none for its scheme."""
        self._fs: arrow_fs.FileSystem = arrow_location(uri)[0]

    def read(self, uri: str) -> bytes:
        """Reads one file whole."""
        with opened_in(self._fs, self._path(uri)) as file:
            return read_whole(file)

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""
        found: bool = self._fs.get_file_info(self._path(uri)).type != arrow_fs.FileType.NotFound
        return found

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, or of nothing, an empty list."""
        path = self._path(uri)
        if self._fs.get_file_info(path).type != arrow_fs.FileType.Directory:
            return []
        return [info.base_name for info in listed(self._fs, path, recursive=False)]

    def modified(self, uri: str) -> float:
        """When a file was modified, in seconds since 1970 (UTC)."""
        return float(self._fs.get_file_info(self._path(uri)).mtime_ns) / 1e9

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""
        with self._fs.open_output_stream(self._path(uri)) as stream:
            stream.write(content)

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder; object stores rename no folder, so file by file there."""
        path, new_path = self._path(source), self._path(target)
        is_folder = self._fs.get_file_info(path).type == arrow_fs.FileType.Directory
        if not is_folder or scheme_of(source) in RENAMED_IN_ONE_STEP:
            self._fs.move(path, new_path)
            return
        self._fs.create_dir(new_path)
        found = self._fs.get_file_info(arrow_fs.FileSelector(path, recursive=True))
        for info in sorted(found, key=lambda info: info.path):  # a folder before what is in it
            target_path = new_path + info.path[len(path) :]
            if info.type == arrow_fs.FileType.Directory:
                self._fs.create_dir(target_path)
            else:
                self._fs.move(info.path, target_path)
        self._fs.delete_dir(path)

    def make_folder(self, uri: str) -> None:
        """Makes a folder."""
        self._fs.create_dir(self._path(uri))

    def remove(self, uri: str) -> None:
        """Removes a file or folder and what is in it."""
        path = self._path(uri)
        if self._fs.get_file_info(path).type == arrow_fs.FileType.Directory:
            self._fs.delete_dir(path)
        else:
            self._fs.delete_file(path)

    def remove_empty(self, uri: str) -> None:
        """Removes a folder if nothing is in it."""
        if scheme_of(uri) == "file":
            with suppress(OSError):  # something is in it, or it is gone
                Path(self._path(uri)).rmdir()
        elif not self.children(uri):
            self._fs.delete_dir(self._path(uri))

    def walk(self, uri: str) -> list[str]:
        """The names of all files below a folder, relative to it."""
        path = self._path(uri).rstrip("/")
        found = self._fs.get_file_info(arrow_fs.FileSelector(path, allow_not_found=True, recursive=True))
        return [info.path[len(path) + 1 :] for info in found if info.type == arrow_fs.FileType.File]

    def _path(self, uri: str) -> str:
        return arrow_location(uri)[1]


def sync(uri: str, *, below: bool = True) -> None:
    """Makes a local file, or a folder, outlive a loss of power; stores do so by themselves.

    Args:
        uri: Full URI.
        below: With all that is in it; else only the names in it.
    """
    uri = mounted(uri)
    if scheme_of(uri) != "file":
        return
    path = Path(literal_path(uri))
    if below and path.is_dir():
        for child in path.iterdir():
            sync(f"{uri}/{child.name}")
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)


def copy_file(source: str, target: str) -> None:
    """Copies a file by pyarrow, both URIs being of one store; on local disks by a hard link where that is possible."""
    filesystem, path = arrow_location(source)
    new_path = arrow_location(target)[1]
    if scheme_of(source) == "file":
        try:
            os.link(path, new_path)
        except OSError:  # the file system has no links
            shutil.copyfile(path, new_path)
        return
    filesystem.copy_file(path, new_path)


def upload(path: Path, target: str) -> None:
    """Writes a file of this machine under a path or URI; it appears there whole.

    Raises:
        ValueError: The scheme of the URI is unknown, or nothing can be written there.
        OSError: It cannot be written.
    """
    uri = full_uri(target)
    if scheme_of(uri) == "https":
        raise ValueError(
            f"a file cannot be written to {redacted_uri(uri)}: give a path or a URI of s3, gs, abfss, hdfs or file"
        )
    filesystem, name = arrow_location(uri)
    if scheme_of(uri) == "file":
        _upload_here(path, Path(name))
        return
    try:
        with path.open("rb") as source, filesystem.open_output_stream(name) as stream:
            shutil.copyfileobj(source, stream, 1 << 20)
    except OSError as error:
        raise OSError(f"{redacted_uri(uri)} cannot be written: {error_cause(uri, error)}") from None


def _upload_here(path: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        shutil.copyfile(path, part)
        os.chmod(part, 0o644)  # noqa: PTH101 - mkstemp makes files for one user only
        os.replace(part, target)  # noqa: PTH105
    finally:
        Path(part).unlink(missing_ok=True)


def arrow_location(uri: str) -> tuple[arrow_fs.FileSystem, str]:
    """pyarrow's file system of a full URI, and the path in it; nothing in it is percent-encoded, as Hadoop reads it.

    Raises:
        ValueError: pyarrow has no file system for its scheme, or cannot open it.
    """
    uri = mounted(uri)
    if scheme_of(uri) == "file":
        return arrow_fs.LocalFileSystem(), literal_path(uri)
    try:
        store, key = store_of(uri)
    except OSError as error:
        raise ValueError(f"{redacted_uri(uri)} cannot be reached from this machine: {error}") from error
    return store.systems[0], store.root + key

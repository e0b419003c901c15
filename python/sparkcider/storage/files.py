"""The files of a result, over full URIs: local disks, and object stores without a JVM, by pyarrow."""

from __future__ import annotations

import os
import shutil
from typing import Protocol

from pyarrow import fs as arrow_fs

from sparkcider.storage.stores import store_of
from sparkcider.storage.uri import literal_path, mounted, redacted_uri, scheme_of

RENAMED_IN_ONE_STEP = ("file", "hdfs", "viewfs", "webhdfs")
"""Schemes of file systems that rename a folder in one step; object stores copy and delete."""


S3_RETRIES = 10
"""Of a request to S3: 25 ms, then twice as long each time, 25 s in all."""


class Files(Protocol):
    """The few file operations that a result needs, over full URIs."""

    def read(self, uri: str) -> bytes:
        """Reads one file whole."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, an empty list."""

    def modified(self, uri: str) -> float:
        """When a file was modified, in seconds since 1970 (UTC)."""

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""

    def write_new(self, uri: str, content: bytes) -> bool:
        """Writes one small file and makes its folder; False if it exists. On local disks and HDFS one writer wins."""

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder; the target's parent exists, the target does not."""

    def make_folder(self, uri: str) -> None:
        """Makes a folder, where the store knows folders."""

    def remove(self, uri: str) -> None:
        """Removes a file or folder and what is in it."""


class ArrowFiles:
    """Files by pyarrow: local disks, and object stores without a JVM."""

    def __init__(self, uri: str) -> None:
        """Finds the file system of ``uri``; ValueError if pyarrow knows none for its scheme."""
        self._fs: arrow_fs.FileSystem = arrow_location(uri)[0]

    def read(self, uri: str) -> bytes:
        """Reads one file whole."""
        with self._fs.open_input_stream(self._path(uri)) as stream:
            content: bytes = stream.read()
        return content

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""
        found: bool = self._fs.get_file_info(self._path(uri)).type != arrow_fs.FileType.NotFound
        return found

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, an empty list."""
        path = self._path(uri)
        if self._fs.get_file_info(path).type != arrow_fs.FileType.Directory:
            return []
        return [info.base_name for info in self._fs.get_file_info(arrow_fs.FileSelector(path))]

    def modified(self, uri: str) -> float:
        """When a file was modified, in seconds since 1970 (UTC)."""
        return float(self._fs.get_file_info(self._path(uri)).mtime_ns) / 1e9

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""
        with self._fs.open_output_stream(self._path(uri)) as stream:
            stream.write(content)

    def write_new(self, uri: str, content: bytes) -> bool:
        """Writes one small file and makes its folder; False if it exists."""
        self._fs.create_dir(self._path(uri).rpartition("/")[0])
        if scheme_of(uri) != "file":
            if self.exists(uri):
                return False
            self.write(uri, content)
            return True
        try:
            with open(self._path(uri), "xb") as file:  # noqa: PTH123 - "x" is what this is about
                file.write(content)
        except FileExistsError:
            return False
        return True

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

    def _path(self, uri: str) -> str:
        return arrow_location(uri)[1]


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


def arrow_location(uri: str) -> tuple[arrow_fs.FileSystem, str]:
    """pyarrow's file system of a full URI, and the path in it; nothing in it is percent-encoded, as Hadoop reads it.

    Raises:
        ValueError: pyarrow has no file system for its scheme, or cannot open it.
    """
    uri = mounted(uri)
    if scheme_of(uri) == "file":
        return arrow_fs.LocalFileSystem(), literal_path(uri)
    try:
        store, key = store_of(uri, s3_retries=S3_RETRIES)
    except OSError as error:
        raise ValueError(f"{redacted_uri(uri)} cannot be reached from this machine: {error}") from error
    return store.systems[0], store.root + key

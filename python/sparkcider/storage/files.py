"""The files of a result, over full URIs: local disks, and object stores where no JVM is at hand, by pyarrow."""

from __future__ import annotations

from typing import Protocol

from pyarrow import fs as arrow_fs

from sparkcider.storage.uri import arrow_uri, scheme_of

RENAMED_IN_ONE_STEP = ("file", "hdfs", "viewfs", "webhdfs")
"""Schemes of file systems that rename a folder in one step; object stores copy and delete."""


class Files(Protocol):
    """The few file operations that a result needs, over full URIs."""

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, an empty list."""

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder; the target's parent exists, the target does not."""

    def make_folder(self, uri: str) -> None:
        """Makes a folder, where the store knows folders."""

    def remove(self, uri: str) -> None:
        """Removes a file or folder and what is in it."""


class ArrowFiles:
    """Files by pyarrow: local disks, and object stores where no JVM is at hand."""

    def __init__(self, uri: str) -> None:
        """Finds the file system of ``uri``; ValueError if pyarrow knows none for its scheme."""
        if scheme_of(uri) == "file":
            self._fs: arrow_fs.FileSystem = arrow_fs.LocalFileSystem()
            return
        try:
            self._fs, _ = arrow_fs.FileSystem.from_uri(arrow_uri(uri))
        except (ValueError, OSError) as error:
            raise ValueError(f"output {uri} cannot be reached from this Spark Connect client: {error}") from error

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

    def _path(self, uri: str) -> str:
        if scheme_of(uri) == "file":
            # as Hadoop reads it: nothing in it is percent-encoded
            return "/" + uri[len("file:") :].lstrip("/")
        path: str = arrow_fs.FileSystem.from_uri(arrow_uri(uri))[1]
        return path

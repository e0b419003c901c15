"""The folder that a job writes: there whole, or not at all.

Everything is written under a hidden name beside the output, which is renamed when it is complete. Where a folder is
renamed in one step (local disks, HDFS) a reader sees the old result or the new one, never a part. Object stores copy
and delete instead: there the parts arrive one by one and ``summary.json`` last, so a reader waits for that file.

Local folders and, on Spark Connect, all others are reached by pyarrow; a classic session reaches HDFS, S3, GCS and the
rest by the Hadoop file system that the cluster itself is configured for.
"""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pyarrow import fs as arrow_fs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

SUMMARY = "summary.json"
"""The file that is put in place last."""
_RECURSIVE = True
_RENAMED_IN_ONE_STEP = ("file", "hdfs", "viewfs", "webhdfs")
# What a Spark that comes without a store's file system must be started with.
_CONNECTORS = {
    "s3a": "--conf spark.jars.packages=org.apache.hadoop:hadoop-aws:{hadoop}",
    "abfss": "--conf spark.jars.packages=org.apache.hadoop:hadoop-azure:{hadoop}",
    "gs": "--conf spark.jars=gcs-connector-hadoop3-VERSION-shaded.jar (from Maven Central) "
    "--conf spark.hadoop.fs.gs.impl=com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
}
# What an older result must hold before it is replaced: a mistyped --output must not cost a home folder.
_MARKS = (SUMMARY, "pca-model")


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
        if _scheme(uri) == "file":
            self._fs: arrow_fs.FileSystem = arrow_fs.LocalFileSystem()
            return
        try:
            self._fs, _ = arrow_fs.FileSystem.from_uri(_arrow_uri(uri))
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
        if not is_folder or _scheme(source) in _RENAMED_IN_ONE_STEP:
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
        if _scheme(uri) == "file":
            # as Hadoop reads it: nothing in it is percent-encoded
            return "/" + uri[len("file:") :].lstrip("/")
        path: str = arrow_fs.FileSystem.from_uri(_arrow_uri(uri))[1]
        return path


class HadoopFiles:
    """Files by the Hadoop file system of a classic session's JVM."""

    def __init__(self, spark: SparkSession, uri: str) -> None:
        """Opens the file system of ``uri`` with the session's own Hadoop settings."""
        # Typed Any: py4j's objects have no types.
        session: Any = spark
        self._path_class = session._jvm.org.apache.hadoop.fs.Path
        self._fs = self._path_class(uri).getFileSystem(session._jsc.hadoopConfiguration())

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""
        return bool(self._fs.exists(self._path_class(uri)))

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, an empty list."""
        if not self._fs.getFileStatus(self._path_class(uri)).isDirectory():
            return []
        return [status.getPath().getName() for status in self._fs.listStatus(self._path_class(uri))]

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""
        stream = self._fs.create(self._path_class(uri))
        try:
            stream.write(content)
        finally:
            stream.close()

    def rename(self, source: str, target: str) -> None:
        """Renames a file or folder."""
        if self.exists(target):  # Hadoop would move the source into a folder of that name
            raise FileExistsError(f"{target} exists")
        if not self._fs.rename(self._path_class(source), self._path_class(target)):
            raise OSError(f"cannot rename {source} to {target}")

    def make_folder(self, uri: str) -> None:
        """Makes a folder."""
        self._fs.mkdirs(self._path_class(uri))

    def remove(self, uri: str) -> None:
        """Removes a file or folder and what is in it."""
        if not self._fs.delete(self._path_class(uri), _RECURSIVE):
            raise OSError(f"cannot remove {uri}")


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
def staged(spark: SparkSession, output: str, *, overwrite: bool) -> Iterator[Staging]:
    """Gives a folder to write to, and puts it in place of ``output`` when the block ends well.

    An older result is moved aside and removed only when the new one is in place. If the block fails, nothing of it
    stays and an older result is as it was.

    Args:
        spark: The session whose view of the files counts.
        output: Folder or URI; without a scheme, Spark's default file system (on Connect: the local disk).
        overwrite: Replace an older result of this job.

    Yields:
        The staging folder.

    Raises:
        FileExistsError: If ``output`` exists and may not be replaced.
        ValueError: If ``output`` is the root of a file system.
    """
    uri = qualified(spark, output)
    parent, _, name = uri.rpartition("/")
    if not parent or parent.endswith("/"):
        raise ValueError(f"output {output} is the root of a file system; name a folder in it")
    files: Files = ArrowFiles(uri) if _scheme(uri) == "file" or not is_classic(spark) else HadoopFiles(spark, uri)
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


def reachable(spark: SparkSession, path: str) -> str:
    """``path`` with the scheme that this session has a file system for.

    EMR, Dataproc and Databricks bring one for the stores that they are made for. Hadoop's own for S3 is called ``s3a``:
    where nothing else answers to ``s3`` or ``s3n``, those are read as ``s3a``. On Spark Connect the server knows, and
    the path stays as it is.

    Raises:
        ValueError: There is no file system for the scheme; the message says what to set.
    """
    scheme = _scheme(path)
    if not is_classic(spark) or scheme not in ("s3", "s3n", *_CONNECTORS) or _has_file_system(spark, scheme):
        return path
    if scheme in ("s3", "s3n"):
        return reachable(spark, "s3a" + path[len(scheme) :])
    session: Any = spark
    settings = _CONNECTORS[scheme].format(hadoop=session._jvm.org.apache.hadoop.util.VersionInfo.getVersion())
    raise ValueError(f"this Spark has no file system for {scheme}://, which {path} needs; start it with {settings}")


def qualified(spark: SparkSession, path: str) -> str:
    """The full URI of ``path`` as this session reads it, without a slash at the end."""
    session: Any = spark
    if is_classic(spark):
        hadoop_path = session._jvm.org.apache.hadoop.fs.Path(path)
        file_system = hadoop_path.getFileSystem(session._jsc.hadoopConfiguration())
        uri = str(file_system.makeQualified(hadoop_path).toString())
    else:
        uri = path if _scheme(path) else f"file:{os.path.abspath(path)}"  # noqa: PTH100 - the name as it is, links not followed
    if _scheme(uri) == "file":
        uri = "file:/" + uri[len("file:") :].lstrip("/")
    return uri.rstrip("/")


def is_classic(spark: SparkSession) -> bool:
    """Whether the session has a JVM of its own (a Connect client has none)."""
    return not type(spark).__module__.startswith("pyspark.sql.connect")


def _has_file_system(spark: SparkSession, scheme: str) -> bool:
    from py4j.protocol import Py4JJavaError

    session: Any = spark
    try:
        session._jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, session._jsc.hadoopConfiguration())
    except Py4JJavaError:  # the scheme has no class, or its class is in no jar
        return False
    return True


def _scheme(uri: str) -> str:
    """``s3a`` of ``s3a://bucket/key``; empty for a plain path."""
    head, colon, _ = uri.partition(":")
    return head if colon and "/" not in head else ""


def _arrow_uri(uri: str) -> str:
    """What pyarrow calls the URI: it knows Hadoop's ``s3a`` and ``s3n`` as ``s3``."""
    return "s3" + uri[3:] if _scheme(uri) in ("s3a", "s3n") else uri


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
    if _scheme(target) in _RENAMED_IN_ONE_STEP:
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

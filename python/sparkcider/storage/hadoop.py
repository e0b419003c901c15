"""The session's own view of files: the Hadoop file systems of a classic session's JVM.

The session is given, so nothing here imports pyspark.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.storage.files import ArrowFiles
from sparkcider.storage.uri import full_uri, scheme_of

if TYPE_CHECKING:
    from sparkcider.storage.files import Files

_RECURSIVE = True

# What a Spark that comes without a store's file system must be started with.
_CONNECTORS = {
    "s3a": "--conf spark.jars.packages=org.apache.hadoop:hadoop-aws:{hadoop}",
    "abfss": "--conf spark.jars.packages=org.apache.hadoop:hadoop-azure:{hadoop}",
    "gs": "--conf spark.jars=gcs-connector-hadoop3-VERSION-shaded.jar (from Maven Central) "
    "--conf spark.hadoop.fs.gs.impl=com.google.cloud.hadoop.fs.gcs.GoogleHadoopFileSystem",
}


class HadoopFiles:
    """Files by the Hadoop file system of a classic session's JVM."""

    def __init__(self, session: Any, uri: str) -> None:
        """Opens the file system of ``uri`` with the session's own Hadoop settings."""
        self._path_class = session._jvm.org.apache.hadoop.fs.Path
        self._whole = session._jvm.org.apache.commons.io.IOUtils.toByteArray  # Java 8 has no InputStream.readAllBytes
        self._fs = self._path_class(uri).getFileSystem(session._jsc.hadoopConfiguration())

    def read(self, uri: str) -> bytes:
        """Reads one file whole."""
        stream = self._fs.open(self._path_class(uri))
        try:
            return bytes(self._whole(stream))
        finally:
            stream.close()

    def exists(self, uri: str) -> bool:
        """Whether there is a file or folder of this name."""
        return bool(self._fs.exists(self._path_class(uri)))

    def children(self, uri: str) -> list[str]:
        """The names in a folder; of a file, an empty list."""
        if not self._fs.getFileStatus(self._path_class(uri)).isDirectory():
            return []
        return [status.getPath().getName() for status in self._fs.listStatus(self._path_class(uri))]

    def modified(self, uri: str) -> float:
        """When a file was modified, in seconds since 1970 (UTC)."""
        return float(self._fs.getFileStatus(self._path_class(uri)).getModificationTime()) / 1e3

    def write(self, uri: str, content: bytes) -> None:
        """Writes one small file."""
        stream = self._fs.create(self._path_class(uri))
        try:
            stream.write(content)
        finally:
            stream.close()

    def write_new(self, uri: str, content: bytes) -> bool:
        """Writes one small file and makes its folder; False if it exists."""
        from py4j.protocol import Py4JJavaError

        try:
            stream = self._fs.create(self._path_class(uri), False)  # noqa: FBT003 - do not overwrite
        except Py4JJavaError:
            if self.exists(uri):
                return False
            raise
        try:
            stream.write(content)
        finally:
            stream.close()
        return True

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


def files_of(session: Any, uri: str) -> Files:
    """The files of `uri` as this session reaches them: local ones, and on Spark Connect all others, by pyarrow.

    Args:
        session: Classic or Connect.
        uri: As `qualified` gives it.

    Raises:
        ValueError: pyarrow has no file system for it.
    """
    return ArrowFiles(uri) if scheme_of(uri) == "file" or not is_classic(session) else HadoopFiles(session, uri)


def reachable(session: Any, path: str) -> str:
    """``path`` with the scheme that this session has a file system for.

    EMR, Dataproc and Databricks bring one for the stores that they are made for. Hadoop's own for S3 is called ``s3a``:
    where nothing else answers to ``s3`` or ``s3n``, those are read as ``s3a``. On Spark Connect the server knows, and
    the path stays as it is.

    Raises:
        ValueError: There is no file system for the scheme; the message says what to set.
    """
    scheme = scheme_of(path)
    if not is_classic(session) or scheme not in ("s3", "s3n", *_CONNECTORS) or _has_file_system(session, scheme):
        return path
    if scheme in ("s3", "s3n"):
        return reachable(session, "s3a" + path[len(scheme) :])
    settings = _CONNECTORS[scheme].format(hadoop=session._jvm.org.apache.hadoop.util.VersionInfo.getVersion())
    raise ValueError(f"this Spark has no file system for {scheme}://, which {path} needs; start it with {settings}")


def qualified(session: Any, path: str) -> str:
    """The full URI of ``path`` as this session reads it, without a slash at the end."""
    if not is_classic(session):
        return path.rstrip("/") if scheme_of(path) == "dbfs" else full_uri(path)
    hadoop_path = session._jvm.org.apache.hadoop.fs.Path(path)
    file_system = hadoop_path.getFileSystem(session._jsc.hadoopConfiguration())
    uri = str(file_system.makeQualified(hadoop_path).toString())
    if scheme_of(uri) == "file":
        uri = "file:/" + uri[len("file:") :].lstrip("/")
    return uri.rstrip("/")


def is_classic(session: Any) -> bool:
    """Whether the session has a JVM of its own (a Connect client has none)."""
    return not type(session).__module__.startswith("pyspark.sql.connect")


def _has_file_system(session: Any, scheme: str) -> bool:
    from py4j.protocol import Py4JJavaError

    try:
        session._jvm.org.apache.hadoop.fs.FileSystem.getFileSystemClass(scheme, session._jsc.hadoopConfiguration())
    except Py4JJavaError:  # the scheme has no class, or its class is in no jar
        return False
    return True

"""URIs: their schemes, the other names of those, their parts, and what may be shown of them."""

from __future__ import annotations

import os
import re
import urllib.parse
import urllib.request
from pathlib import Path

SCHEMES = ("file", "s3", "gs", "abfss", "hdfs", "https")
"""What a URI of a model may begin with."""

ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss"}
"""Hadoop's and fsspec's names of the same stores."""


DBFS_MOUNT = "/dbfs"
"""Where Databricks mounts what `dbfs:/` names, but for volumes."""


def scheme_of(uri: str) -> str:
    """`s3a` of `s3a://bucket/key`; empty for a plain path."""
    head, colon, _ = uri.partition(":")
    return head.lower() if colon and "/" not in head else ""


def known_scheme(uri: str) -> str:
    """The scheme of a URI by the first of its names.

    Raises:
        ValueError: It is not in `SCHEMES`.
    """
    scheme = scheme_of(uri)
    scheme = ALIASES.get(scheme, scheme)
    if scheme not in SCHEMES:
        starts = ", ".join(f"{name}://" for name in SCHEMES)
        raise ValueError(f"a URI begins with one of {starts}, got {redacted_uri(uri)}")
    return scheme


def arrow_uri(uri: str) -> str:
    """The URI with the name of its scheme that pyarrow knows."""
    scheme = scheme_of(uri)
    return ALIASES.get(scheme, scheme) + uri[len(scheme) :]


def mounted(uri: str) -> str:
    """A `dbfs:` URI as the file that Databricks mounts on every node; others as they are.

    Volumes of Unity Catalog are files below `/Volumes`.

    Example:
        >>> mounted("dbfs:/Volumes/main/default/images"), mounted("dbfs:/FileStore/a.onnx"), mounted("s3://bucket/a")
        ('file:/Volumes/main/default/images', 'file:/dbfs/FileStore/a.onnx', 's3://bucket/a')
    """
    if scheme_of(uri) != "dbfs":
        return uri
    path = uri[len("dbfs:") :].lstrip("/")
    return f"file:/{path}" if path.startswith("Volumes/") else f"file:{DBFS_MOUNT}/{path}"


def full_uri(path: str) -> str:
    """The full URI of a path or URI, in Spark's form and without a slash at the end.

    Example:
        >>> full_uri("/data//photos/"), full_uri("file:///data/photos"), full_uri("s3://bucket/photos")
        ('file:/data/photos', 'file:/data/photos', 's3://bucket/photos')
    """
    path = mounted(path)
    scheme = scheme_of(path)
    if scheme not in ("", "file"):
        return path.rstrip("/")
    # Like Hadoop, nothing is percent-encoded; links are not followed, as the name is the user's.
    local = os.path.abspath("/" + path[len("file:") :] if scheme else path)  # noqa: PTH100 - links not followed
    return "file:/" + local.lstrip("/")


def redacted_uri(uri: str) -> str:
    """The URI as messages, logs and results name it: no password, no signed query, no fragment; a path as it is."""
    if "://" not in uri:
        return uri
    parts = urllib.parse.urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    # abfss://container@account: what stands before the @ is not secret unless there is a colon in it
    netloc = host if ":" in user or parts.scheme == "https" else user + at + host
    return urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def local_path(uri: str) -> Path:
    """The path that a `file:` URI names."""
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(uri).path))


def literal_path(uri: str) -> str:
    """The local path of a `file:` URI as Hadoop and Spark write it: nothing in it is percent-encoded."""
    return "/" + uri[len("file:") :].lstrip("/")


def store_parts(uri: str) -> tuple[str, str, str]:
    """Scheme, authority and key of a URI of a store as Hadoop and Spark write it: nothing in it is percent-encoded.

    `("s3a", "bucket", "a b.jpg")` of `s3a://bucket/a b.jpg`. Everything after the authority is the key: `?` and `#` are
    letters like any other.
    """
    scheme, _, rest = uri.partition("://")
    authority, _, key = rest.partition("/")
    return scheme.lower(), authority, key


def error_cause(uri: str, error: BaseException) -> str:
    """The first line of an error, without what is secret in the URI."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    parts = urllib.parse.urlsplit(uri)
    user = parts.netloc.rpartition("@")[0]
    for secret in {uri, parts.query, parts.password or "", user if ":" in user else ""} - {""}:
        text = text.replace(secret, "***").replace(urllib.parse.unquote(secret), "***")
    return re.sub(r"\s+", " ", text)

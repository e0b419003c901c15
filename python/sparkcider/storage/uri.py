"""URIs: their schemes, the other names of those, their parts, and what may be shown of them.

A URI means what it means to Spark and Hadoop, which encode nothing by percent; but for `https`, which is as browsers
write it.
"""

from __future__ import annotations

import os
import posixpath
import re
import urllib.parse

SCHEMES = ("file", "s3", "gs", "abfss", "hdfs", "https")
"""What a URI of a model may begin with."""

ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss"}
"""Hadoop's and fsspec's names of the same stores."""

_KEYS = re.compile(r"[?&](access_key|secret_key|session_token|account_key|sas_token|client_secret)=")
_OPTIONS = re.compile(r"[?&](endpoint_override|region|scheme)=")
"""What pyarrow takes behind a `?`."""

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
    local = os.path.abspath(literal_path(path) if scheme else path)  # noqa: PTH100 - links not followed
    return "file:/" + local.lstrip("/")


def has_password(uri: str) -> bool:
    """Whether there is a secret in a URI, which would be in each path, log and result.

    A slash in the secret ends the authority before its `@`: `KEY:SEC` is all of it in `s3://KEY:SEC/RET@bucket/a`.
    """
    scheme, authority, key = store_parts(arrow_uri(uri))
    if scheme != "https" and _KEYS.search(key):
        return True
    user, at, host = authority.rpartition("@")
    port = re.sub(r"^\[.*\]", "", host).partition(":")[2]
    if scheme in ("s3", "gs"):  # a bucket has neither a user nor a port
        return bool(at or port)
    return ":" in user or (scheme == "https" and bool(at)) or not (port.isdigit() or port == "")


def check_uri(uri: str) -> None:
    """Refuses what a URI of a store may not hold, before anything is asked.

    Raises:
        ValueError: There is a password in it; or options of pyarrow, which would be letters of the key.
    """
    if has_password(uri):
        raise ValueError(f"{redacted_uri(uri)} has a password in it; leave it to the environment, a profile or a role")
    if scheme_of(uri) != "https" and _OPTIONS.search(uri):
        raise ValueError(
            f"{redacted_uri(uri)} has options behind a `?`, which is a letter of a key: name an endpoint by the "
            "variable AWS_ENDPOINT_URL, a region by AWS_REGION"
        )


def redacted_uri(uri: str) -> str:
    """The URI as messages, logs and results name it: no password, no signed query, no fragment; a path as it is."""
    scheme, mark, rest = uri.partition("://")
    if not mark:
        return uri
    rest = re.split("[?#]", rest, maxsplit=1)[0]
    if has_password(uri):
        rest = rest.rpartition("@")[2] if "@" in rest else "***"
    return f"{scheme}://{rest}"


def literal_path(uri: str) -> str:
    """The local path of a `file:` URI as Hadoop and Spark write it: nothing in it is percent-encoded.

    Raises:
        ValueError: It names a host, or a path that is not absolute.
    """
    path = uri[len("file:") :]
    if not path.startswith("/") or re.match("//[^/]", path):
        raise ValueError(f"a URI of a file is file:/ABSOLUTE/PATH, got {uri}")
    return "/" + path.lstrip("/")


def store_parts(uri: str) -> tuple[str, str, str]:
    """Scheme, authority and key of a URI of a store as Hadoop and Spark write it: nothing in it is percent-encoded.

    Everything after the authority is the key: `?` and `#` are letters like any other. Slashes that follow one another
    are one, one at the end is none, and `.` and `..` are taken away, as Hadoop does.

    Example:
        >>> store_parts("s3a://bucket/a%20b//c d?.jpg")
        ('s3a', 'bucket', 'a%20b/c d?.jpg')
    """
    scheme, _, rest = uri.partition("://")
    authority, _, key = rest.partition("/")
    return scheme.lower(), authority, posixpath.normpath(f"/{key}").lstrip("/")


def error_cause(uri: str, error: BaseException) -> str:
    """The first line of an error, without what is secret in the URI: `check_uri` has let it pass."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    for secret in {uri, uri.partition("?")[2]} - {""}:
        text = text.replace(secret, "***").replace(urllib.parse.unquote(secret), "***")
    return re.sub(r"\s+", " ", text)

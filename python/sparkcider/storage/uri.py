"""URIs: their schemes, the other names of those, and what may be shown of them."""

from __future__ import annotations

import urllib.parse
import urllib.request
from pathlib import Path

SCHEMES = ("file", "s3", "gs", "abfss", "hdfs", "https")
"""What a URI of a model may begin with."""

ALIASES = {"s3a": "s3", "s3n": "s3", "gcs": "gs", "abfs": "abfss"}
"""Hadoop's and fsspec's names of the same stores."""


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


def redacted_uri(uri: str) -> str:
    """The URI as messages, logs and results name it: no password, no signed query, no fragment; a path as it is."""
    if "://" not in uri:
        return uri
    parts = urllib.parse.urlsplit(uri)
    user, at, host = parts.netloc.rpartition("@")
    # abfss://container@account: what stands before the @ is no secret unless there is a colon in it
    netloc = host if ":" in user or parts.scheme == "https" else user + at + host
    return urllib.parse.urlunsplit((parts.scheme, netloc, parts.path, "", ""))


def local_path(uri: str) -> Path:
    """The path that a `file:` URI names."""
    return Path(urllib.request.url2pathname(urllib.parse.urlsplit(uri).path))

"""pyarrow's file systems of stores, opened once per process and bucket.

A URI is read as Hadoop and Spark write it, so that a `path` column of Spark works as it is: what follows the authority
is the key, nothing in it is percent-encoded. Credentials come from where each store's own tools take them; another S3
endpoint than Amazon's from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import os
from datetime import timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sparkcider.storage.uri import arrow_uri, error_cause, redacted_uri, store_parts

S3_CONNECTIONS = 25
"""Connections of one S3FileSystem; a request more waits for one of them.

Arrow sets it to the number of its I/O threads, 8 by default, and at least to this (`ClientBuilder` in s3fs.cc).
"""

OPEN_STORES = 32
"""Stores kept open per process."""


class Store(NamedTuple):
    """One bucket, container or cluster.

    Attributes:
        systems: Its file system; several for S3, where more requests than `S3_CONNECTIONS` may be in flight.
        root: What stands before a key in their paths: `bucket/`, `container/` or `/`.
        tries_again: Whether its own client tries transient faults again.
    """

    systems: tuple[Any, ...]
    root: str
    tries_again: bool


def store_of(uri: str, *, in_flight: int = 1, timeout: float = 60, s3_retries: int = 0) -> tuple[Store, str]:
    """The store of a URI, and the key in it.

    Args:
        uri: `s3://bucket/key` and the like, with any scheme but `https` and `file`.
        in_flight: Requests that its file systems are to take at the same time.
        timeout: Seconds without a byte after which S3 gives up; GCS tries again for as long. Others have their own.
        s3_retries: How many more times S3 is asked after a transient fault; 0 for a caller that asks again itself.

    Raises:
        ValueError: pyarrow cannot open stores of this scheme, or there is a key in the URI.
        OSError: The store cannot be opened.
    """
    scheme, authority, key = store_parts(arrow_uri(uri))
    if ":" in authority.rpartition("@")[0]:
        raise ValueError(f"{redacted_uri(uri)} has a password in it; give it to the environment of the store's tools")
    count = -(-in_flight // S3_CONNECTIONS) if scheme == "s3" else 1
    # pyarrow itself reads these variables in URIs only (apache/arrow#49643)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return _opened(os.getpid(), scheme, authority, count, timeout, s3_retries, endpoint), key


@lru_cache(maxsize=OPEN_STORES)
def _opened(
    pid: int,  # noqa: ARG001 - a forked child opens its own
    scheme: str,
    authority: str,
    count: int,
    timeout: float,
    s3_retries: int,
    endpoint: str,
) -> Store:
    uri = f"{scheme}://{authority}/"
    try:
        if scheme == "s3":
            systems = tuple(_s3(authority, endpoint, timeout, s3_retries) for _ in range(count))
            return Store(systems, f"{authority}/", tries_again=s3_retries > 0)
        if scheme == "gs":
            return Store((_gcs(timeout),), f"{authority}/", tries_again=True)
        from pyarrow.fs import FileSystem

        system, root = FileSystem.from_uri(uri)
        return Store((system,), f"{root.rstrip('/')}/", tries_again=True)
    except (ImportError, NotImplementedError, ValueError) as error:
        from pyarrow import __version__

        cause = error_cause(uri, error)
        raise ValueError(f"{redacted_uri(uri)} cannot be opened by pyarrow {__version__}: {cause}") from None
    except OSError as error:
        raise OSError(f"{redacted_uri(uri)} cannot be opened: {error_cause(uri, error)}") from None


def _s3(bucket: str, endpoint: str, timeout: float, retries: int) -> Any:
    from pyarrow.fs import AwsDefaultS3RetryStrategy, S3FileSystem, resolve_s3_region

    where: dict[str, Any] = {}
    if endpoint:
        scheme, _, address = endpoint.rpartition("://")
        where = {"scheme": scheme or "https", "endpoint_override": address.rstrip("/")}
    else:
        try:
            where = {"region": resolve_s3_region(bucket)}
        except OSError:  # no such bucket, or no way to it: the first request says so
            where = {}
    # Never the "standard" strategy: its 500 tokens are spent by 100 retries and pyarrow never gives one back, so that
    # a file system that lives long ends up without retries.
    strategy = AwsDefaultS3RetryStrategy(max_attempts=retries)
    return S3FileSystem(retry_strategy=strategy, connect_timeout=timeout, request_timeout=timeout, **where)


def _gcs(timeout: float) -> Any:
    from pyarrow.fs import GcsFileSystem

    return GcsFileSystem(retry_time_limit=timedelta(seconds=max(1, round(timeout))))

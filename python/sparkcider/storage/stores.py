"""pyarrow's file systems of stores, opened once per process and bucket.

A URI is read as Hadoop and Spark write it, so that a `path` column of Spark works as it is: what follows the authority
is the key, nothing in it is percent-encoded. Credentials come from where each store's own tools take them; another S3
endpoint than Amazon's from `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import lru_cache, partial
from typing import Any, NamedTuple

from sparkcider.storage.faults import tried_again
from sparkcider.storage.uri import arrow_uri, check_uri, error_cause, redacted_uri, store_parts

TIMEOUT_SECONDS = 60
"""Without a byte, which count as a fault."""

S3_RETRIES = 10
"""Of one request, where we do not try again ourselves: 25 ms, then twice as long each time, 25 s in all."""

LISTINGS = 3
"""Pairs of listings of S3 that may differ before we give up."""

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
        is_s3: Whether it is S3, whose client tries again as often as asked; others always do.
    """

    systems: tuple[Any, ...]
    root: str
    is_s3: bool


def store_of(
    uri: str, *, in_flight: int = 1, timeout: float = TIMEOUT_SECONDS, retries: int = S3_RETRIES
) -> tuple[Store, str]:
    """The store of a URI, and the key in it.

    Args:
        uri: `s3://bucket/key` and the like, with any scheme but `https` and `file`.
        in_flight: Requests that its file systems are to take at the same time.
        timeout: Seconds without a byte after which S3 gives up; GCS tries again for as long. Others have their own.
        retries: How many more times S3 is asked after a transient fault; 0 for a caller that asks again itself.

    Raises:
        ValueError: pyarrow cannot open stores of this scheme, or there is a password in the URI.
        OSError: The store cannot be opened.
    """
    check_uri(uri)
    scheme, authority, key = store_parts(arrow_uri(uri))
    count = -(-in_flight // S3_CONNECTIONS) if scheme == "s3" else 1
    # pyarrow itself reads these variables in URIs only (apache/arrow#49643)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or ""
    return _opened(os.getpid(), scheme, authority, count, timeout, retries, endpoint), key


def info_of(system: Any, path: str) -> Any:
    """pyarrow's `FileInfo` of a path; of S3 asked twice before it is taken for missing, as `listed` says why.

    Raises:
        ReadError: The store cannot be asked.
    """
    if system.type_name != "s3":
        return system.get_file_info(path)
    ask = partial(tried_again, f"s3://{path}", partial(system.get_file_info, path), retries=LISTINGS - 1)
    info = ask()
    return ask() if info.type.name == "NotFound" else info


def listed(system: Any, path: str, *, recursive: bool) -> list[Any]:
    """pyarrow's `FileInfo` of all that is in a folder; nothing of a folder that is not there.

    pyarrow takes a page of S3 without a body, or with XML of another kind, for the last one. So a listing of S3 is
    taken twice at once, and believed if both found the same files, but for those that were written since. A store that
    cuts both at the same place is not noticed.

    Raises:
        ReadError: It cannot be listed, or each time two listings differed.
    """
    from pyarrow.fs import FileSelector

    selector = FileSelector(path, allow_not_found=True, recursive=recursive)
    if system.type_name != "s3":
        found: list[Any] = system.get_file_info(selector)
        return found
    return tried_again(f"s3://{path}", partial(_listed_twice, system, selector), retries=LISTINGS - 1)


def _listed_twice(system: Any, selector: Any) -> list[Any]:
    begin = time.time_ns()
    with ThreadPoolExecutor(2) as pool:
        one, other = ({info.path: info for info in infos} for infos in pool.map(system.get_file_info, [selector] * 2))
    found = {**one, **other}
    # folders of a recursive listing are made of its files, and have no time
    differing = [found[path] for path in one.keys() ^ other.keys()]
    lost = [info for info in differing if (info.mtime_ns or 0) < begin and (info.is_file or not selector.recursive)]
    if lost:
        raise OSError(
            f"two listings at once differ by {len(lost):,} of {len(found):,} names, such as {lost[0].base_name}: the "
            "store's answers were cut, or files are being deleted or written there"
        )
    return list(found.values())


@lru_cache(maxsize=OPEN_STORES)
def _opened(
    pid: int,  # noqa: ARG001 - a forked child opens its own
    scheme: str,
    authority: str,
    count: int,
    timeout: float,
    retries: int,
    endpoint: str,
) -> Store:
    uri = f"{scheme}://{authority}/"
    try:
        if scheme == "s3":
            systems = tuple(_s3(authority, endpoint, timeout, retries) for _ in range(count))
            return Store(systems, f"{authority}/", is_s3=True)
        if scheme == "gs":
            return Store((_gcs(timeout),), f"{authority}/", is_s3=False)
        from pyarrow.fs import FileSystem

        system, root = FileSystem.from_uri(uri)
        return Store((system,), f"{root.rstrip('/')}/", is_s3=False)
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

"""Many files at once, in order: objects of stores by threads that run ahead, local files without.

Used by Spark's Python workers and by the job without Spark. Nothing starts before the first object: no thread, no file
system, so a process may fork before. The threads end with the iterator.

A file in the page cache takes 14 microseconds to read, and 40 to 55 through a thread. Where reading turns out to be
slow (a cold disk, a mounted store) the threads do it.

Transient faults of S3 and https are tried again by `faults`: pyarrow's own retries of S3 either run out for good
(`AwsStandardS3RetryStrategy`) or do not spread out (`AwsDefaultS3RetryStrategy`), so they are off. The clients of the
other stores try again themselves.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from functools import cached_property, partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.base64_images import shortened
from sparkcider.error_kinds import NULL, UNREACHABLE
from sparkcider.storage.faults import RETRIES, ReadError, tried_again
from sparkcider.storage.https import HttpsConnections
from sparkcider.storage.objects import Place, opened, passes_here, place_of, read_local, read_whole
from sparkcider.storage.read_ahead import ReadAhead
from sparkcider.storage.stores import TIMEOUT_SECONDS
from sparkcider.storage.uri import SCHEMES, arrow_uri, mounted, redacted_uri, scheme_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from sparkcider.storage.read_ahead import Reservation

IN_FLIGHT, MOST_IN_FLIGHT = 32, 1024
"""Requests at a time: by default, and at most. Each is a thread."""

AHEAD = 512
"""Paths taken before the content of the first of them is given: two slices of a Spark worker.

The bytes bound what is fetched ahead; this bounds it where objects are small or missing.
"""

SLOW_SECONDS, SLOW_FILES = 1e-3, 16
"""Local files are slow where so many in a row took longer than this each, and a second for each GB."""


class Fetched(NamedTuple):
    """A file's bytes, or the reason why there are none and its kind.

    Attributes:
        content: The whole file; None if there is a reason.
        reason: One line without the file's name, so that equal faults are equal.
        kind: The fault in one word of `sparkcider.error_kinds`; None without one.
    """

    content: bytes | None
    reason: str | None = None
    kind: str | None = None


class _Due(NamedTuple):
    """A file that is still to be read, and its listed length."""

    place: Place
    length: int | None


def fetch(
    paths: Iterable[str | None],
    *,
    lengths: Iterable[int | None] | None = None,
    in_flight: int = IN_FLIGHT,
    max_bytes: int = 64 << 20,
    retries: int = RETRIES,
    timeout: float = TIMEOUT_SECONDS,
) -> Generator[Fetched, None, None]:
    """Reads files and objects, as many as possible at once, and gives them in the order of their paths.

    Args:
        paths: Absolute paths, and URIs of `file`, `s3`, `gs`, `abfss`, `hdfs` (and their other names) as Spark writes
            them, nothing percent-encoded; or of `https`, as browsers write them. Taken `AHEAD` at most before they are
            due, by the thread that iterates.
        lengths: The bytes that a listing knows of each. Another length is a fault that may pass: of a file that is
            being written, or of a store whose answer was cut. Default: those that the disk or store states.
        in_flight: Most requests at a time, 1 to 1,024.
        max_bytes: Most bytes of objects that are being fetched or wait to be given. The object that is the next to be
            given is fetched in any case, so one larger than this comes through when it is its turn.
        retries: How many more times a transient fault (5xx, too many requests, a timeout, a reset, another length) is
            tried.
        timeout: Seconds without a byte that count as a fault.

    Yields:
        One for each path. A missing object, no permission, or a fault that lasts is a reason, not an exception; so is a
        null path.

    Raises:
        TypeError: A path is neither absolute nor a URI of a known scheme.
        ValueError: An option has a value that it cannot take; a URI has a password in it or names no absolute path; or
            pyarrow cannot open stores of a scheme.
        OSError: A store cannot be opened at all.

    Example:
        >>> [fetched] = fetch(["file:/nowhere/a.jpg"])
        >>> fetched
        Fetched(content=None, reason='not found', kind='missing')
    """
    check_in_flight(in_flight)
    for name, value, least in (("max_bytes", max_bytes, 1), ("retries", retries, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not timeout > 0:
        raise ValueError(f"timeout must be over 0, got {timeout}")
    files = zip(paths, repeat(None) if lengths is None else lengths)
    return _fetched(files, _Reader(in_flight, retries, timeout), ReadAhead(in_flight, max_bytes))


def check_in_flight(in_flight: int) -> None:
    """Raises ValueError for a number that `fetch` cannot take."""
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or not 1 <= in_flight <= MOST_IN_FLIGHT:
        raise ValueError(f"in_flight must be a whole number from 1 to {MOST_IN_FLIGHT:,}, got {in_flight!r}")


def _fetched(
    files: Iterable[tuple[str | None, int | None]], reader: _Reader, ahead: ReadAhead[Fetched]
) -> Generator[Fetched, None, None]:
    """Keeps up to `AHEAD` paths between what was taken and what was given; a local file is read when it is due."""
    due: deque[Any] = deque()

    def next_due() -> Fetched:
        first = due.popleft()
        if isinstance(first, _Due):
            return reader.read_local(first)
        return first if isinstance(first, Fetched) else ahead.result(first)

    try:
        for path, length in files:
            found = reader.place(path)
            if isinstance(found, Place):
                item = _Due(found, length)
                due.append(item if reader.reads_at_once(found) else ahead.submit(partial(reader.read, item)))
            else:
                due.append(found)
            while due and (len(due) >= AHEAD or isinstance(due[0], (_Due, Fetched))):
                yield next_due()
        while due:
            yield next_due()
    finally:
        ahead.close()
        reader.close()


class _Reader:
    """Finds and reads files, with retries; `read` is called by the threads."""

    def __init__(self, in_flight: int, retries: int, timeout: float) -> None:
        self._in_flight = in_flight
        self._retries = retries
        self._timeout = timeout
        self._https: dict[int, HttpsConnections] = {}
        self._files, self._seconds, self._slow = 0, 0.0, False

    def place(self, path: str | None) -> Place | Fetched:
        """What a path names, or nothing."""
        if path is None:
            return Fetched(None, "null path", NULL)
        uri = arrow_uri(mounted(path))
        scheme = scheme_of(uri)
        is_local = uri.startswith("/") or scheme == "file"
        if not is_local and (scheme not in SCHEMES or not uri.startswith(f"{scheme}://")):
            schemes = ", ".join(f"{name}://" for name in SCHEMES)
            raise TypeError(
                f"expected an absolute path or a URI such as s3://bucket/key (with one of {schemes}), "
                f"got {shortened(redacted_uri(path))!r}"
            )
        return place_of(path, in_flight=self._in_flight, timeout=self._timeout)

    def reads_at_once(self, place: Place) -> bool:
        """Whether a file is read when it is due, without a thread."""
        return place.is_local and not self._slow

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def read(self, item: _Due, reservation: Reservation, thread: int) -> Fetched:
        """One file, in a thread."""
        return self._tried(item, partial(self._content, item, reservation, thread), reservation.sleep)

    def read_local(self, item: _Due) -> Fetched:
        """A local file at once; finds out whether local files are slow, or fail at first."""
        begin = time.perf_counter()
        fetched = self._tried(item, partial(read_local, item.place.name, item.length), time.sleep)
        if fetched.content is None:
            self._slow = self._slow or fetched.kind == UNREACHABLE
            return fetched
        self._seconds += time.perf_counter() - begin - len(fetched.content) * 1e-9
        self._files += 1
        if self._files == SLOW_FILES:
            self._slow = self._seconds > SLOW_FILES * SLOW_SECONDS
            self._files, self._seconds = 0, 0.0
        return fetched

    def _tried(self, item: _Due, work: Callable[[], bytes], sleep: Callable[[float], bool | None]) -> Fetched:
        passes = partial(passes_here, item.place)
        try:
            return Fetched(tried_again(item.place.uri, work, retries=self._retries, sleep=sleep, passes=passes))
        except ReadError as error:
            return Fetched(None, error.reason, error.kind)

    def _content(self, item: _Due, reservation: Reservation, thread: int) -> bytes:
        if item.place.is_local:
            return read_local(item.place.name, item.length, reservation.reserve)
        if thread not in self._https:
            self._https[thread] = HttpsConnections(self._timeout, lambda: self._trusted)
        with opened(item.place, self._https[thread], thread) as file:
            return read_whole(file, item.length, reservation.reserve)

    def close(self) -> None:
        """Closes the https connections."""
        for connections in list(self._https.values()):
            connections.close()

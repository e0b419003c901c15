"""Many files at once, in order: objects of stores by threads that run ahead, local files without.

Used by Spark's Python workers and by the job without Spark. Nothing starts before the first object: no thread, no file
system, so a process may fork before. The threads end with the iterator.

A file in the page cache takes 14 microseconds to read, and 40 to 55 through a thread. Where reading turns out to be
slow (a cold disk, a mounted store) the threads do it.

Transient faults of S3 and https are tried again here: pyarrow's own retries of S3 either run out for good
(`AwsStandardS3RetryStrategy`) or do not spread out (`AwsDefaultS3RetryStrategy`), so they are off. The clients of the
other stores try again themselves.
"""

from __future__ import annotations

import errno
import http.client
import os
import random
import re
import socket
import ssl
import time
from collections import deque
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.columns import shortened
from sparkcider.error_kinds import FORBIDDEN, MISSING, NULL, UNREACHABLE
from sparkcider.storage.https import HttpError, HttpsConnections
from sparkcider.storage.read_ahead import ReadAhead
from sparkcider.storage.stores import Store, store_of
from sparkcider.storage.uri import SCHEMES, arrow_uri, error_cause, literal_path, mounted, redacted_uri, scheme_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from sparkcider.storage.read_ahead import Reservation

IN_FLIGHT, MOST_IN_FLIGHT = 32, 1024
"""Requests at a time: by default, and at most. Each is a thread."""

AHEAD = 512
"""Paths taken before the content of the first of them is given: two slices of a Spark worker.

The bytes bound what is fetched ahead; this bounds it where objects are small or missing.
"""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 20.0
"""Seconds before the first retry, doubled for each more, half of it by chance."""

SLOW_SECONDS, SLOW_FILES = 1e-3, 16
"""Local files are slow where so many in a row took longer than this each, and a second for each GB."""

_LASTING_AWS = re.compile(
    r"AWS Error (ACCESS_DENIED|NO_SUCH_\w+|INVALID_\w+|\w*SIGNATURE\w*|UNKNOWN \(HTTP status (?!408|429)[34])"
)


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


class _Object(NamedTuple):
    """What a thread reads: a store and the key in it; for https what is trusted, and the URL; None and a local path."""

    uri: str
    source: Store | ssl.SSLContext | None
    key: str


def fetch(
    paths: Iterable[str | None],
    *,
    in_flight: int = IN_FLIGHT,
    max_bytes: int = 64 << 20,
    retries: int = 4,
    timeout: float = 60,
) -> Generator[Fetched, None, None]:
    """Reads files and objects, as many as possible at once, and gives them in the order of their paths.

    Args:
        paths: Absolute paths, and URIs of `file`, `s3`, `gs`, `abfss`, `hdfs` (and their other names) as Spark writes
            them, nothing percent-encoded; or of `https`, as browsers write them. Taken `AHEAD` at most before they are
            due, by the thread that iterates.
        in_flight: Most requests at a time, 1 to 1,024.
        max_bytes: Most bytes of objects that are being fetched or wait to be given. The object that is the next to be
            given is fetched in any case, so one larger than this comes through when it is its turn.
        retries: How many more times a transient fault (5xx, too many requests, a timeout, a reset) is tried.
        timeout: Seconds without a byte that count as a fault.

    Yields:
        One for each path. A missing object, no permission, or a fault that lasts is a reason, not an exception; so is a
        null path.

    Raises:
        TypeError: A path is neither absolute nor a URI of a known scheme.
        ValueError: An option has a value that it cannot take; or pyarrow cannot open stores of a scheme.
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
    return _fetched(paths, _Reader(in_flight, retries, timeout), ReadAhead(in_flight, max_bytes))


def check_in_flight(in_flight: int) -> None:
    """Raises ValueError for a number that `fetch` cannot take."""
    if isinstance(in_flight, bool) or not isinstance(in_flight, int) or not 1 <= in_flight <= MOST_IN_FLIGHT:
        raise ValueError(f"in_flight must be a whole number from 1 to {MOST_IN_FLIGHT:,}, got {in_flight!r}")


def _fetched(paths: Iterable[str | None], reader: _Reader, ahead: ReadAhead[Fetched]) -> Generator[Fetched, None, None]:
    """Keeps up to `AHEAD` paths between what was taken and what was given; a local file is read when it is due."""
    due: deque[Any] = deque()

    def next_due() -> Fetched:
        first = due.popleft()
        if isinstance(first, str):
            return reader.read_local(first)
        return first if isinstance(first, Fetched) else ahead.result(first)

    try:
        for path in paths:
            found = reader.place(path)
            due.append(ahead.submit(partial(reader.read, found)) if isinstance(found, _Object) else found)
            while due and (len(due) >= AHEAD or isinstance(due[0], (str, Fetched))):
                yield next_due()
        while due:
            yield next_due()
    finally:
        ahead.close()
        reader.close()


class _Reader:
    """Finds and reads objects, with retries; `read` is called by the threads."""

    def __init__(self, in_flight: int, retries: int, timeout: float) -> None:
        self._in_flight = in_flight
        self._retries = retries
        self._timeout = timeout
        self._https: dict[int, HttpsConnections] = {}
        self._files, self._seconds, self._slow = 0, 0.0, False

    def place(self, path: str | None) -> str | _Object | Fetched:
        """What a path names: a local path, an object of a store, or nothing."""
        if path is None:
            return Fetched(None, "null path", NULL)
        path = mounted(path)
        if path.startswith("/") or scheme_of(path) == "file":
            name = path if path.startswith("/") else literal_path(path)
            return _Object(path, None, name) if self._slow else name
        uri = arrow_uri(path)
        known = scheme_of(uri)
        if known not in SCHEMES or not uri.startswith(f"{known}://"):
            schemes = ", ".join(f"{name}://" for name in SCHEMES)
            raise TypeError(
                f"expected an absolute path or a URI such as s3://bucket/key (with one of {schemes}), "
                f"got {shortened(redacted_uri(path))!r}"
            )
        if known == "https":
            if "@" in path.split("/", 3)[2]:
                raise ValueError(f"{redacted_uri(path)} has a password in it, which is not supported for https")
            return _Object(path, self._trusted, path)
        store, key = store_of(uri, in_flight=self._in_flight, timeout=self._timeout)
        return _Object(path, store, key)

    @cached_property
    def _trusted(self) -> ssl.SSLContext:
        return ssl.create_default_context()  # reads the system's certificates: milliseconds

    def read(self, found: _Object, reservation: Reservation, thread: int) -> Fetched:
        """One object; faults that may pass are tried again."""
        for attempt in range(self._retries + 1):
            try:
                return Fetched(self._content(found, reservation, thread))
            except (OSError, http.client.HTTPException, ValueError) as error:  # noqa: PERF203 - a request costs more
                reason, kind, passing = _fault(found.uri, error)
                if not passing or attempt == self._retries or getattr(found.source, "tries_again", False):
                    return Fetched(None, reason if attempt == 0 else f"{reason} (tried {attempt + 1} times)", kind)
                pause = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - no secret
                asked = getattr(error, "retry_after", None) or 0.0
                if not reservation.sleep(max(pause, min(asked, LONGEST_PAUSE))):
                    break
        return Fetched(None, "not fetched to its end", UNREACHABLE)  # nobody waits for it any more

    def _content(self, found: _Object, reservation: Reservation, thread: int) -> bytes:
        if isinstance(found.source, ssl.SSLContext):
            if thread not in self._https:
                self._https[thread] = HttpsConnections(found.source, self._timeout)
            return self._https[thread].read(found.key, reservation.reserve)
        if found.source is None:
            with open(found.key, "rb", buffering=0) as file:  # noqa: PTH123
                reservation.reserve(os.fstat(file.fileno()).st_size)
                return file.read()
        system = found.source.systems[thread % len(found.source.systems)]
        with system.open_input_file(found.source.root + found.key) as opened:
            reservation.reserve(opened.size())
            content: bytes = opened.read()
        return content

    def read_local(self, path: str) -> Fetched:
        """A local file at once; finds out whether local files are slow."""
        begin = time.perf_counter()
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost as much as the reading
                content = file.read()
        except (OSError, ValueError) as error:  # ValueError: a null character
            reason, kind, _ = _fault(path, error)
            return Fetched(None, reason, kind)
        self._seconds += time.perf_counter() - begin - len(content) * 1e-9
        self._files += 1
        if self._files == SLOW_FILES:
            self._slow = self._seconds > SLOW_FILES * SLOW_SECONDS
            self._files, self._seconds = 0, 0.0
        return Fetched(content)

    def close(self) -> None:
        """Closes the https connections."""
        for connections in list(self._https.values()):
            connections.close()


def _fault(uri: str, error: Exception) -> tuple[str, str, bool]:
    """The reason of a fault, its kind, and whether it may pass."""
    number = getattr(error, "errno", None)
    status = error.status if isinstance(error, HttpError) else None
    text = error_cause(uri, error)
    text = text[text.index("AWS Error") :] if "AWS Error" in text else text  # before it stand the bucket and the key
    if isinstance(error, FileNotFoundError) or number in (errno.ENOENT, errno.ENOTDIR) or status in (404, 410):
        return "not found", MISSING, False
    if isinstance(error, IsADirectoryError) or "Not a regular file" in text:
        return "a folder, not a file", MISSING, False
    if isinstance(error, PermissionError) or "ACCESS_DENIED" in text or status in (401, 403):
        return f"no permission: {error.strerror or text}" if isinstance(error, OSError) else text, FORBIDDEN, False
    if isinstance(error, HttpError):
        return f"cannot be read: {text}", UNREACHABLE, error.transient
    if isinstance(error, OSError) and number is not None and error.strerror:
        text = error.strerror  # without the name of a local file
    never = (ValueError, http.client.InvalidURL, ssl.SSLCertVerificationError)
    lasting = isinstance(error, never) or number == socket.EAI_NONAME or _LASTING_AWS.search(text)
    return f"cannot be read: {text}", UNREACHABLE, not lasting

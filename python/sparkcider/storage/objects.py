"""The one door to a file: what a path or URI names, opened; read whole, or in pieces.

Images, models and descriptions come through here. Nothing starts before the first file: no thread, no file system.
"""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from sparkcider.storage.faults import LengthError, store_words, tried_again
from sparkcider.storage.https import CHUNK_BYTES, HttpsConnections
from sparkcider.storage.stores import TIMEOUT_SECONDS, Store, store_of
from sparkcider.storage.uri import check_uri, known_scheme, literal_path, mounted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

PROBE_BYTES = 4096
"""An error of S3 is shorter."""

_MARKS = (0xA7, 0x58)


class Place(NamedTuple):
    """What a path or URI names.

    Attributes:
        uri: As it was given.
        store: Of a store; None for `https` and for a local file.
        name: The path in the store's file system, the URL, or the local path.
        is_https: Whether it is a URL.
    """

    uri: str
    store: Store | None
    name: str
    is_https: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is a file of this machine."""
        return self.store is None and not self.is_https


class Opened(NamedTuple):
    """An open file.

    Attributes:
        size: How many bytes there must be; None where the server does not say.
        version: Gives what changes when the file does; None where the server does not say.
        readinto: Fills a buffer from where the last one ended; its caller asks for what is left at most.
        most: Bytes to ask for at a time: all of an object of a store, where each time is a request.
    """

    size: int | None
    version: Callable[[], str | None]
    readinto: Callable[[memoryview], int]
    most: int

    def pieces(self, most: int) -> Iterator[memoryview]:
        """All bytes, in pieces of at most so many; each takes the place of the one before.

        Raises:
            LengthError: There are fewer than the server said.
        """
        buffer = memoryview(bytearray(most if self.size is None else min(most, self.size)))
        came = 0
        while self.size is None or came < self.size:
            room = buffer if self.size is None else buffer[: self.size - came]
            count = self.readinto(room) if room else 0
            if count == 0:
                break
            yield room[:count]
            came += count
        if self.size is not None and came != self.size:
            raise LengthError(came, self.size)


def place_of(uri: str, *, in_flight: int = 1, timeout: float = TIMEOUT_SECONDS) -> Place:
    """What a path or URI names, as Spark reads it: nothing is percent-encoded, but in a URL.

    Args:
        uri: An absolute path; or a URI of `file`, `s3`, `gs`, `abfss`, `hdfs`, their other names, `dbfs` or `https`.
        in_flight: Requests that the store is to take at the same time.
        timeout: Seconds without a byte that count as a fault.

    Raises:
        ValueError: The scheme is unknown; there is a password in the URI; or pyarrow cannot open stores of the scheme.
        OSError: The store cannot be opened.
    """
    path = mounted(uri)
    if path.startswith("/"):
        return Place(uri, None, path)
    scheme = known_scheme(path)
    if scheme == "file":
        return Place(uri, None, literal_path(path))
    if scheme == "https":
        check_uri(path)
        return Place(uri, None, path, is_https=True)
    store, key = store_of(path, in_flight=in_flight, timeout=timeout, retries=0)
    return Place(uri, store, store.root + key)


@contextmanager
def opened(place: Place, connections: HttpsConnections, thread: int = 0) -> Iterator[Opened]:
    """Opens what is not local.

    Args:
        place: Of `https` or a store.
        connections: Those of this thread, for `https`.
        thread: Its number, by which it takes one of a store's file systems.

    Raises:
        OSError, HTTPException, ValueError: As `fault_of` tells them apart.
    """
    if place.is_https:
        with connections.opened(place.name) as answer:
            yield Opened(answer.length, lambda: answer.version, answer.readinto, CHUNK_BYTES)
        return
    assert place.store is not None  # noqa: S101 - local files are opened by who reads them
    with opened_in(place.store.systems[thread % len(place.store.systems)], place.name) as file:
        yield file


@contextmanager
def opened_in(system: Any, name: str) -> Iterator[Opened]:
    """Opens a file of one of pyarrow's file systems; raises as `opened`."""
    with _open(system, name) as file:
        size = file.size()

        def version() -> str | None:
            info = system.get_file_info(name)
            return None if info.mtime_ns is None else f"{info.size} {info.mtime_ns}"

        yield Opened(size, version, partial(_filled, file), max(size, 1))


def read_whole(file: Opened, listed: int | None = None, reserve: Callable[[int], object] = lambda _: None) -> bytes:
    """All bytes of an open file.

    Args:
        file: Of `opened`.
        listed: How many there must be; None where only the server's word is known.
        reserve: Is called with their number before they are read; where the server does not say it, with the number of
            those read so far after each piece.

    Raises:
        LengthError: There are more or fewer.
    """
    if file.size is not None:
        _check_length(file.size, listed)
        reserve(file.size)
    pieces, came = [], 0
    for piece in file.pieces(file.most):
        pieces.append(bytes(piece))
        came += len(piece)
        if file.size is None:
            reserve(came)
    _check_length(came, listed)
    return b"".join(pieces)


def read_local(path: str, listed: int | None, reserve: Callable[[int], object] = lambda _: None) -> bytes:
    """All bytes of a local file, that stay the same while it is read; else as `read_whole`."""
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a Path would cost as much as the reading
        before = os.fstat(file.fileno())
        reserve(before.st_size)
        content = file.read()
        after = os.fstat(file.fileno())
    _check_length(len(content), before.st_size if listed is None else listed)
    if before.st_mtime_ns != after.st_mtime_ns:
        raise OSError("the file changed while it was read")
    return content


def read_again(uri: str, use: Callable[[Opened], T]) -> T:
    """What `use` makes of one file of a store, opened again and used from its beginning where a fault may pass.

    Raises:
        ReadError: It cannot be read.
        ValueError, OSError: As `place_of`.
    """
    place = place_of(uri)
    with closing(HttpsConnections(TIMEOUT_SECONDS)) as connections:

        def work() -> T:
            with opened(place, connections) as file:
                return use(file)

        return tried_again(uri, work, passes=lambda error: passes_here(place, error))


def passes_here(place: Place, error: Exception) -> bool:
    """Whether a fault that may pass is tried again by us: the clients of stores other than S3 have done so."""
    return place.store is None or place.store.is_s3 or isinstance(error, LengthError)


def _check_length(came: int, stated: int | None) -> None:
    if stated is not None and came != stated:
        raise LengthError(came, stated)


def _open(system: Any, name: str) -> Any:
    try:
        return system.open_input_file(name)
    except OSError as error:
        unsaid = isinstance(error, FileNotFoundError) or "No response body" in str(error)
        if system.type_name == "s3" and unsaid:
            error.said = _words_of_s3(system, name)  # type: ignore[attr-defined]
        raise


def _filled(file: Any, buffer: memoryview) -> int:
    """Fills the buffer with the next bytes.

    pyarrow takes any answer of S3 for a whole one: of a shorter one the end of the buffer stays as it was. A mark at
    the end tells. If the file has that very byte there, it is read once more with another mark.
    """
    start = file.tell()
    for mark in _MARKS:
        buffer[-1] = mark
        count: int = file.readinto(buffer)
        if count < len(buffer) or buffer[-1] != mark:
            return count
        file.seek(start)
    raise OSError("fewer bytes came than were stated")


def _words_of_s3(system: Any, name: str) -> str | None:
    """What S3 says of an object that it has refused: an answer to HEAD has no body, one to GET has."""
    import pyarrow as pa
    import pyarrow.dataset as ds  # imports pandas where there is one

    # pyarrow parses all of its buffer, of which the answer fills the beginning: the rest must not be garbage, and an
    # allocator gives again what was given back last.
    buffer = pa.allocate_buffer(PROBE_BYTES)
    memoryview(buffer).cast("B")[:] = bytes(PROBE_BYTES)
    del buffer
    try:  # pyarrow has no other reader that believes a size and sends no HEAD
        _ = ds.ParquetFileFormat().make_fragment(name, system, file_size=PROBE_BYTES).physical_schema
    except OSError as error:
        return store_words(f"s3://{name}", str(error))
    except (ValueError, TypeError):  # the object came; or a pyarrow that takes no size
        pass
    return None

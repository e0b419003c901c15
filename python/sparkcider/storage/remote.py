"""One file of a store, read or written by URI: `https` by the standard library, all others by `pyarrow.fs`.

Credentials come from where each store's own tools take them (environment, profile, instance role). Messages name a URI
without the user, password and query that may be in it.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from sparkcider._native import ModelError
from sparkcider.storage.uri import arrow_uri, error_cause, known_scheme, local_path, redacted_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 60
"""For an https server to say the next word."""


class Remote(NamedTuple):
    """An open file of a store.

    Attributes:
        stream: Its bytes.
        size: How many there must be; None where the server does not say.
        version: What changes when the file does; None where the server does not say.
    """

    stream: IO[bytes]
    size: int | None
    version: str | None


@contextmanager
def open_remote(uri: str) -> Iterator[Remote]:
    """Opens a file of a store for reading.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The scheme of the URI is unknown.
        ModelError: The store cannot be read.
    """
    with _faults(uri, "read"):
        opened = _open_https(uri) if known_scheme(uri) == "https" else _open_arrow(uri)
    with opened.stream, _faults(uri, "read"):
        yield opened


def upload(path: Path, uri: str) -> None:
    """Writes the file at `path` under `uri`: a path, or a URI of `file`, `s3`, `gs`, `abfss`, `hdfs`.

    A local file appears whole, by rename; an object of a store does so of itself.

    Raises:
        ValueError: The scheme of the URI is unknown.
        ModelError: The store cannot be written.
    """
    if "://" in uri and known_scheme(uri) not in ("file", "https"):
        with _faults(uri, "written"):
            store, name = filesystem(uri)
            with path.open("rb") as source, store.open_output_stream(name) as target:
                shutil.copyfileobj(source, target, 1 << 20)
        return
    if "://" in uri and known_scheme(uri) == "https":
        raise ValueError(
            f"a file cannot be written to {redacted_uri(uri)}: give a path or a URI of s3, gs, abfss, hdfs or file"
        )
    target = local_path(uri) if "://" in uri else Path(uri)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    try:
        shutil.copyfile(path, part)
        os.chmod(part, 0o644)  # noqa: PTH101 - mkstemp makes files for one user only
        os.replace(part, target)  # noqa: PTH105
    finally:
        Path(part).unlink(missing_ok=True)


def _open_https(uri: str) -> Remote:
    stream = urllib.request.urlopen(uri, timeout=TIMEOUT_SECONDS)  # noqa: S310 - the scheme is https
    length = stream.headers.get("Content-Length")
    version = stream.headers.get("ETag") or stream.headers.get("Last-Modified")
    return Remote(stream, None if length is None else int(length), version)


def _open_arrow(uri: str) -> Remote:
    store, name = filesystem(uri)
    info = store.get_file_info(name)
    if not info.is_file:
        raise FileNotFoundError
    version = f"{info.size} {info.mtime_ns}" if info.mtime_ns is not None else None
    return Remote(store.open_input_stream(name), info.size, version)


def filesystem(uri: str) -> tuple[Any, str]:
    """The file system of a URI that is not https, and the path in it."""
    from pyarrow.fs import FileSystem  # its import starts the AWS library

    known_scheme(uri)
    found: tuple[Any, str] = FileSystem.from_uri(arrow_uri(uri))
    return found


@contextmanager
def _faults(uri: str, verb: str) -> Iterator[None]:
    """What stores raise, as one line of the right class."""
    try:
        yield
    except (ModelError, ValueError) as error:
        if type(error).__module__.startswith("pyarrow"):
            raise ModelError(f"{redacted_uri(uri)} cannot be {verb}: {error_cause(uri, error)}") from None
        raise
    except OSError as error:
        status = getattr(error, "code", None)
        if isinstance(error, FileNotFoundError) or error.errno == errno.ENOENT or status in (404, 410):
            raise FileNotFoundError(f"model file not found: {redacted_uri(uri)}") from None
        raise ModelError(f"{redacted_uri(uri)} cannot be {verb}: {error_cause(uri, error)}") from None
    except NotImplementedError as error:
        raise ModelError(f"{redacted_uri(uri)} cannot be {verb}: {error_cause(uri, error)}") from None

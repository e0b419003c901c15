"""One Spark Connect server at a time, though the tests run in several processes."""

from __future__ import annotations

import fcntl
import socket
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PORT = 15002
PATIENCE_SECONDS = 60


@contextmanager
def connect_port() -> Iterator[None]:
    """Holds port 15002, on which the server of `SparkSession.builder.remote("local")` always listens."""
    with (Path(tempfile.gettempdir()) / "sparkcider-connect-port.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        end = time.monotonic() + PATIENCE_SECONDS
        while _is_taken() and time.monotonic() < end:  # by a JVM that outlives its Python for a while
            time.sleep(0.2)
        yield


def _is_taken() -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", PORT)) == 0

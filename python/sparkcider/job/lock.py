"""One writer at a time for an output: a file that says who writes, with a heartbeat.

Local disks and HDFS create the file exclusively. Object stores cannot through pyarrow: there two runs that start within
the same second may both go on.
"""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sparkcider.storage.files import Files

LOCK = "lock"
"""Name of the file in an unfinished result."""

HEARTBEAT_SECONDS = 10.0
"""Between two signs of life."""

STALE_SECONDS = 60.0
"""Without a sign of life after which a writer counts as dead."""


@contextmanager
def locked(files: Files, uri: str, *, take_over: bool) -> Iterator[None]:
    """Holds the lock file while the block runs.

    Args:
        files: How it is reached.
        uri: The file's full URI.
        take_over: Replace the lock of a writer that is dead.

    Raises:
        FileExistsError: Another run writes, or a dead one has left its lock and `take_over` is False.
    """
    while not files.write_new(uri, _content()):
        _check_stale(files, uri, take_over=take_over)
        with suppress(OSError):  # another run was faster
            files.remove(uri)
    stop = Event()
    beating = Thread(target=_beat, args=(files, uri, stop), name="sparkcider lock", daemon=True)
    beating.start()
    try:
        yield
    finally:
        stop.set()
        beating.join()
        with suppress(OSError):  # the whole folder may be gone
            files.remove(uri)


def _content() -> bytes:
    return json.dumps({"host": socket.gethostname(), "process": os.getpid(), "time": time.time()}).encode()


def _beat(files: Files, uri: str, stop: Event) -> None:
    while not stop.wait(HEARTBEAT_SECONDS):
        with suppress(OSError):  # a store that fails now may answer the next time
            files.write(uri, _content())


def _check_stale(files: Files, uri: str, *, take_over: bool) -> None:
    folder = uri.rpartition("/")[0]
    try:
        holder = json.loads(files.read(uri))
    except (OSError, ValueError):  # it ended in this moment, or is being written: look again
        time.sleep(0.1)
        return
    silent = time.time() - holder["time"]
    who = f"process {holder['process']} on {holder['host']}"
    if not _is_dead(holder, silent):
        raise FileExistsError(
            f"{folder} is being written by {who}, last seen {silent:.0f} s ago; wait until it ends, or take another "
            "output"
        )
    if not take_over:
        raise FileExistsError(
            f"{folder} holds the unfinished work of {who}; --resume goes on with it, --mode overwrite starts over"
        )


def _is_dead(holder: dict[str, Any], silent: float) -> bool:
    if silent > STALE_SECONDS:
        return True
    if holder["host"] != socket.gethostname():
        return False
    try:
        os.kill(holder["process"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # it lives, as another user
        return False
    return holder["process"] == os.getpid() and silent > 2 * HEARTBEAT_SECONDS

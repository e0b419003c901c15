"""Which process writes, and whether it still lives.

A process is known by its machine, its process namespace, its number and its start: a number that the system gives to
another process later, or process 1 of another container, is not the same one.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

_ENDED = "ZX"
"""States of a process that has ended, although its parent has not yet asked how."""

_STATE, _START = 0, 19
"""Fields of `/proc/PID/stat`, counted after the name."""


def this_process() -> dict[str, Any]:
    """What `lives` needs to know of this process, in JSON's types.

    Example:
        >>> sorted(this_process())
        ['boot', 'host', 'namespace', 'process', 'started']
    """
    return {
        "host": socket.gethostname(),
        "boot": _boot(),
        "namespace": _namespace(),
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def same_machine(found: dict[str, Any]) -> bool:
    """Whether a process runs, or ran, on this machine since it was last started."""
    return bool(found.get("boot")) and found.get("boot") == _boot()


def lives(found: dict[str, Any]) -> bool | None:
    """Whether a process lives; None where that cannot be seen from here.

    Args:
        found: `this_process`, as that process said it.

    Example:
        >>> me = this_process()
        >>> lives(me), lives({**me, "started": "before"}), lives({**me, "boot": "another machine"})
        (True, False, None)
    """
    if not same_machine(found) or found.get("namespace") != _namespace():
        return None
    number = found["process"]
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives, as another user
        pass
    started = _started(number)
    # A system may hide the processes of other users: then the number must do.
    return started is None or started == found["started"]


def _boot() -> str:
    """What is another one after each start of the machine; empty where it is not known."""
    if sys.platform == "darwin":
        return _said("sysctl", "-n", "kern.bootsessionuuid")
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _namespace() -> str:
    """In which a process number means something: a container has its own. macOS has one only."""
    with suppress(OSError):
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - `Path.readlink` makes a path of it
    return ""


def _started(number: int) -> str | None:
    """When a process started, in the system's own words; empty if it has ended, None if it cannot be seen."""
    if sys.platform == "darwin":
        return _said("ps", "-o", "lstart=", "-p", str(number)) or None
    try:
        # the name, in brackets, may hold spaces and brackets
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return "" if fields[_STATE] in _ENDED else fields[_START]


def _said(*words: str) -> str:
    """What a program of the system prints; empty if it is missing or fails."""
    with suppress(OSError, subprocess.SubprocessError):
        return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603 - words of this module
    return ""

"""The memory that this process may take: of its container, else of its machine."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

# The limit of the container: cgroup v2, cgroup v1 (Linux documentation, admin-guide/cgroup-*).
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_limit() -> int:
    """Bytes of memory that the container or the machine has."""
    return min([_of_the_machine("MemTotal"), *_of_the_container()])


def available_memory() -> int:
    """Bytes of memory that this process may still take, as its container or its machine grants them."""
    free = [limit - peak_memory() for limit in _of_the_container()]
    return max(min([_of_the_machine("MemAvailable"), *free]), 0)


def peak_memory() -> int:
    """Most bytes that this process has had resident."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10  # macOS counts bytes, Linux KiB


def _of_the_container() -> list[int]:
    found = []
    for path in _LIMITS:
        try:
            limit = Path(path).read_text().strip()
        except OSError:
            continue
        if limit.isdecimal():  # `max` says that there is no limit
            found.append(int(limit))
    return found


def _of_the_machine(value: str) -> int:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return sys.maxsize
    values = dict(line.split(":", 1) for line in lines)
    return int(values[value].split()[0]) << 10

"""`sparkcider run` with short parts and waves, so that a kill finds finished work; started by tests.

The environment says what else is different:

    SPARKCIDER_TEST_STALE=SECONDS     a writer that cannot be looked up is dead after this time
    SPARKCIDER_TEST_ELSEWHERE=yes     this process cannot be looked up
    SPARKCIDER_TEST_CLOCK=SECONDS     the clock is wrong by so much
    SPARKCIDER_TEST_KILL=N            SIGKILL after the Nth change of the final move
    SPARKCIDER_TEST_DELAY=SECONDS     so long after that change
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from sparkcider import cli
from sparkcider.job import lock, tables, waves
from sparkcider.storage.files import ArrowFiles

if TYPE_CHECKING:
    from collections.abc import Callable


def shorten() -> None:
    tables.PART_SECONDS = 0.05
    tables.GROUP_ROWS = 64
    waves.WAVE_SECONDS = 0.01  # a wave has as few tasks as there are cores
    waves.TASKS_PER_CORE = 1
    waves.TASK_FILES = 150


def shorten_the_minute(seconds: float) -> None:
    lock.STALE_SECONDS = seconds
    lock.HEARTBEAT_SECONDS = seconds / 6
    lock.LOOK_SECONDS = 0.05


def hide() -> None:
    here = lock.this_process()
    lock.this_process = lambda: {**here, "boot": "elsewhere"}
    lock._locked_file = lambda _: None


def set_clock(seconds: float) -> None:
    clock = time.time
    time.time = lambda: clock() + seconds


def kill_after(number: int, delay: float) -> None:
    """Counts from the change that writes the list of what is moved."""
    left = [0]

    def counted(method: Callable[..., None]) -> Callable[..., None]:
        def call(files: ArrowFiles, uri: str, *more: Any) -> None:
            if uri.endswith(".moving") and not left[0]:
                left[0] = number
            method(files, uri, *more)
            if left[0]:
                left[0] -= 1
                if not left[0] and delay:
                    threading.Timer(delay, os.kill, [os.getpid(), signal.SIGKILL]).start()
                elif not left[0]:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in ("write", "rename", "remove", "make_folder"):
        setattr(ArrowFiles, name, counted(getattr(ArrowFiles, name)))


if __name__ == "__main__":
    shorten()
    if "SPARKCIDER_TEST_STALE" in os.environ:
        shorten_the_minute(float(os.environ["SPARKCIDER_TEST_STALE"]))
    if "SPARKCIDER_TEST_ELSEWHERE" in os.environ:
        hide()
    if "SPARKCIDER_TEST_CLOCK" in os.environ:
        set_clock(float(os.environ["SPARKCIDER_TEST_CLOCK"]))
    if "SPARKCIDER_TEST_KILL" in os.environ:
        kill_after(int(os.environ["SPARKCIDER_TEST_KILL"]), float(os.environ.get("SPARKCIDER_TEST_DELAY", "0")))
    sys.exit(cli.main())

"""Asks for the lock of an output whenever a line of stdin names one; started by test_lock.py.

Words: `here`, or `elsewhere` for a process that nobody can look up. Each answer is one line: `in`, or why not.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack

from sparkcider.job import lock, processes
from sparkcider.storage.files import ArrowFiles

if __name__ == "__main__":
    lock.LOOK_SECONDS, lock.HEARTBEAT_SECONDS, lock.STALE_SECONDS = 0.02, 0.1, 1.0
    if sys.argv[1] == "elsewhere":
        here = processes.this_process()
        lock.this_process = lambda: {**here, "boot": f"machine of {here['process']}"}
        lock.lives = lambda _: None
        lock.same_machine = lambda _: False
        lock._locked_file = lambda _: None
    print("ready", flush=True)
    for line in sys.stdin:
        words = line.split()
        with ExitStack() as stack:
            try:
                held = stack.enter_context(
                    lock.locked(ArrowFiles(words[0]), words[0], take_over=True, say=lambda _: None)
                )
            except (OSError, lock.LockLostError) as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                continue
            print("in", flush=True)
            for _ in iter(sys.stdin.readline, "leave\n"):
                pass
            try:
                held.check()
            except lock.LockLostError as error:
                print(f"{type(error).__name__}: {error}", flush=True)
                continue
        print("left", flush=True)

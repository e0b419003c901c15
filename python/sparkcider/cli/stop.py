"""Signals that end the command: what is finished is kept, one line says so, and the exit code names the signal."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; the end that Kubernetes, `docker stop`, Slurm and spot instances announce; a terminal that is closed."""


class Stop:
    """Whether a signal has come.

    Attributes:
        number: The first signal; None as long as there was none.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._terminal: tuple[TextIO, TextIO] | None = None

    @property
    def exit_code(self) -> int:
        """As shells write it: 128 and the signal's number."""
        return 128 + (self.number or 0)

    def receive(self, number: int, _frame: FrameType | None) -> None:
        """Interrupts the main thread, so that the job closes its open part.

        `timeout` and others send a signal twice, so only Ctrl-C counts a second time.
        """
        if self.number is not None and number != signal.SIGINT:
            return
        if self.number is None:
            self.number = number
            self._keep_terminal()
            # now, as spark-submit's JVM, which passes this on to the terminal, ends at the same time
            print(f"\nsparkcider: stopped by {signal.Signals(number).name}", file=sys.stderr)
            session = sys.modules.get("sparkcider.job.session")
            if session is not None:  # spark-submit's JVM writes to the terminal itself
                session.silence()
        raise KeyboardInterrupt

    def _keep_terminal(self) -> None:
        """Drops what others say: py4j and Spark write a stack trace for each call, job and task that ends."""
        logging.disable(logging.CRITICAL)
        own = open(os.dup(2), "w", buffering=1)  # noqa: PTH123, SIM115 - a descriptor; `close` closes it
        self._terminal, sys.stderr = (sys.stderr, own), own
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def close(self) -> None:
        """Gives the terminal back."""
        if self._terminal is not None:
            sys.stderr, own = self._terminal
            os.dup2(own.fileno(), 2)
            own.close()
            logging.disable(logging.NOTSET)


@contextmanager
def stopping() -> Iterator[Stop]:
    """Takes the signals while the block runs. One that is ignored, as under `nohup`, stays ignored."""
    stop, before = Stop(), {}
    if threading.current_thread() is threading.main_thread():  # Python sets handlers there only
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
                before[number] = signal.signal(number, stop.receive)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        stop.close()


def leave(code: int) -> NoReturn:
    """Ends this process now: threads in the middle of a block and a Spark that has gone must not hold it."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)

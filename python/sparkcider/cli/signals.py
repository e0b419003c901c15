"""Signals that end the command: Ctrl-C, SIGTERM (docker stop, Kubernetes, Slurm, spot notices), SIGHUP (a terminal)."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

GRACE_SECONDS = 5.0
"""For the work that is open to be closed; until then further signals change nothing."""


class StopSignals:
    """While its block runs, the first signal raises `KeyboardInterrupt` in the main thread.

    A signal that is ignored stays ignored, as `nohup` wants it. After `GRACE_SECONDS` another signal ends the process
    at once.

    Attributes:
        received: The first signal that came.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._time = 0.0
        self._before: dict[signal.Signals, Any] = {}

    @property
    def exit_code(self) -> int:
        """As shells give it; 0 if there was no signal."""
        return 0 if self.received is None else 128 + self.received

    def __enter__(self) -> Self:
        """Takes over the signals; only a main thread can."""
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        """Gives the signals back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.received is not None:
            logging.disable(logging.NOTSET)

    def _receive(self, number: int, _frame: object) -> None:
        if self.received is not None:
            if time.monotonic() - self._time > GRACE_SECONDS:
                os._exit(128 + number)
            return
        self.received, self._time = signal.Signals(number), time.monotonic()
        # py4j and Spark print each call and each task that ends so, with a traceback: nobody can do anything about it
        logging.disable()
        warnings.simplefilter("ignore")
        session = sys.modules.get("sparkcider.job.session")
        if session is not None:
            session.silence()
        raise KeyboardInterrupt

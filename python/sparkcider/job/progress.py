"""What a job says while it runs: a line for each stage, and how many images are done."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Any

from sparkcider.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECONDS_BETWEEN_LINES = 10.0
"""Between two lines about the images done, where no bar can be drawn."""


class Progress:
    """The lines and the bar of one job, and the seconds of its stages.

    Args:
        say: Takes one line; None says nothing at all.
        bar: Draw a bar in place of lines while images are counted.
    """

    def __init__(self, say: Callable[[str], None] | None, *, bar: bool = False) -> None:
        self.seconds: dict[str, float] = {}
        self._say = say
        self._bar = bar and say is not None

    @classmethod
    def of_this_process(cls) -> Progress:
        """Lines on stdout; a bar in a terminal and in Jupyter."""
        return cls(_print_line, bar=sys.stderr.isatty() or "ipykernel" in sys.modules)

    def line(self, text: str) -> None:
        """Says one line."""
        if self._say is not None:
            self._say(printable(text))

    def failure(self, text: str) -> None:
        """Says one line about a failure, to stderr where all else is quiet."""
        (self._say or _print_error)(printable(text))

    @contextmanager
    def stage(self, name: str, what: str) -> Iterator[Stage]:
        """Says that a stage begins and, with the text that the block gives, that it is done; measures its seconds."""
        self.line(f"{name:<9} {what} ...")
        stage = Stage()
        yield stage
        self.seconds[name] = round(stage.seconds(), 3)
        self.line(f"{'':<9} {stage.text} ({self.seconds[name]:,.1f} s)")

    @contextmanager
    def counting(self, total: int) -> Iterator[ImageCount]:
        """Counts images up to `total` while the block runs."""
        bar = None
        if self._bar:
            from tqdm.auto import tqdm  # imports asyncio, which a job without a bar does not need

            bar = tqdm(total=total, unit="image", desc="features ", smoothing=0.1, mininterval=0.5, leave=False)
        count = ImageCount(total, self.line, bar)
        try:
            yield count
        finally:
            if bar is not None:
                bar.close()


class Stage:
    """A stage that runs: called with the text that says what came of it."""

    def __init__(self) -> None:
        self.text = ""
        self._begin = time.perf_counter()

    def __call__(self, text: str) -> None:
        """Keeps the text for the end of the stage."""
        self.text = text

    def seconds(self) -> float:
        """Since the stage began."""
        return time.perf_counter() - self._begin


class ImageCount:
    """How many images are done, failed ones among them; any thread may add.

    Attributes:
        done: Images that are done.
        errors: How many of them failed.
    """

    def __init__(self, total: int, line: Callable[[str], None], bar: Any) -> None:
        self._total, self._line, self._bar = total, line, bar
        self.done = self.errors = 0
        self._begin = self._last_line = time.perf_counter()
        self._lock = Lock()

    def add(self, images: int, errors: int = 0) -> None:
        """Adds images that are done, and how many of them failed."""
        with self._lock:
            self.done += images
            self.errors += errors
            if self._bar is not None:
                self._bar.update(images)
                if errors:
                    self._bar.set_postfix(errors=f"{self.errors:,}", refresh=False)
            elif time.perf_counter() - self._last_line >= SECONDS_BETWEEN_LINES:
                self._last_line = time.perf_counter()
                self._line(self._text())

    def raise_to(self, images: int) -> None:
        """Adds what is missing to `images`; an estimate that falls counts for nothing."""
        self.add(max(min(images, self._total) - self.done, 0))

    def _text(self) -> str:
        rate = self.done / (time.perf_counter() - self._begin)
        left = (self._total - self.done) / rate if rate else float("inf")
        return (
            f"{'':<9} {self.done:,} of {self._total:,} images, {rate:,.0f} images/s, {self.errors:,} failed, "
            f"{_duration(left)} left"
        )


def _duration(seconds: float) -> str:
    """`3:05`, `2:03:05`, or `?` where nothing is known yet."""
    if seconds == float("inf"):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _print_line(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - in a notebook of EMR Studio only stdout is shown


def _print_error(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - a failure is never quiet

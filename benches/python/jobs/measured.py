"""Whole processes, measured from outside: wall clock, memory, and when each line of the log came.

Nothing large is imported here: Linux counts what the measuring process holds towards the peak of each process that it
starts.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# Lines of `sparkcider run`, and the part that begins with each; "": the stage that the line names.
_PARTS = (
    (re.compile(r"^engine +"), "start of the engine"),
    (re.compile(r"^[a-z]+ +\S.* \.\.\.$"), ""),
    (re.compile(r"^ .*\([\d.,]+ s\)$"), "summary"),  # a stage ends; another one may begin at once
    (re.compile(r"^result +"), "exit"),
)


class Run(NamedTuple):
    """One process, from its start to its exit.

    Attributes:
        seconds: Wall clock.
        peak_mb: Most memory that it, or one of its children that have ended, had resident.
        lines: What it said on stdout and stderr, with the seconds since its start.
        summary: What a job of sparkcider wrote as `summary.json`.
    """

    seconds: float
    peak_mb: float
    lines: list[tuple[float, str]]
    summary: Mapping[str, Any]

    def shares(self) -> dict[str, float]:
        """Seconds of each part of a job of sparkcider, by the times of its lines."""
        marks: list[tuple[float, str]] = [(0.0, "start of Python")]
        for second, line in self.lines:
            begins = next((name for pattern, name in _PARTS if pattern.search(line)), None)
            if begins is not None:
                marks.append((second, begins or line.split()[0]))
        ends = [*(second for second, _ in marks[1:]), self.seconds]
        shares: dict[str, float] = {}
        for (begin, name), end in zip(marks, ends):
            shares[name] = shares.get(name, 0.0) + end - begin
        return shares


class Timed(NamedTuple):
    """A run, and what the limit was around it.

    Attributes:
        run: The process.
        limit: Images/s of onnxruntime alone, the mean of before and after; nan where it was not requested.
    """

    run: Run
    limit: float


def run(command: Sequence[str], environment: Mapping[str, str] | None = None, folder: str | None = None) -> Run:
    """Runs a command to its end.

    Args:
        command: Program and arguments.
        environment: Variables beside those of this process.
        folder: Working directory.

    Raises:
        SystemExit: It failed; its last lines are in the message.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(  # noqa: S603 - the commands are those of this bench
        command,
        env={**os.environ, **(environment or {})},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None  # noqa: S101 - for the type
    lines = [(time.perf_counter() - begin, line.rstrip("\n")) for line in process.stdout]
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "\n".join(line for _, line in lines[-20:])
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{last}")
    kib = usage.ru_maxrss if sys.platform != "darwin" else usage.ru_maxrss / 1024
    return Run(seconds, kib / 1024, lines, {})


def interleaved(
    jobs: Mapping[str, Callable[[], Run]], rounds: int, limit: Callable[[], float] | None = None
) -> dict[str, list[Timed]]:
    """Runs jobs in turn (A B A B ...), the limit before and after each.

    Args:
        jobs: By name.
        rounds: How often each runs.
        limit: Measures the limit; None does not.
    """
    found: dict[str, list[Timed]] = {name: [] for name in jobs}
    before = limit() if limit else float("nan")
    for _ in range(rounds):
        for name, job in jobs.items():
            done = job()
            after = limit() if limit else float("nan")
            found[name].append(Timed(done, (before + after) / 2))
            print(f"  {name:<28} {done.seconds:8.2f} s, {done.peak_mb:7,.0f} MB", end="")
            print(f"; the limit {before:,.1f} and {after:,.1f} images/s" if limit else "", flush=True)
            before = after
    return found


class Figure(NamedTuple):
    """The median of some measurements and what they span."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Figure:
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def text(self, form: str = "{:.2f}") -> str:
        """`1.20 (1.15 to 1.31)`."""
        median, low, high = (form.format(value) for value in self)
        return median if low == high else f"{median} ({low} to {high})"

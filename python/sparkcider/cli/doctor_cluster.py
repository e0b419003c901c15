"""``sparkcider doctor --cluster``: a table of what is on each executor, and of what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.cli.parser import show

if TYPE_CHECKING:
    import argparse

    from sparkcider.spark.probe import Probe

COLUMNS = {
    "host": "{host}",
    "pid": "{pid}",
    "python": "{python}",
    "sparkcider": "{sparkcider}",
    "module": "{module}",
    "cores": "{cores}",
    "memory": "{memory}",
    "model": "{model}",
    "images/s": "{images_per_second:,.0f}",
    "embedding": "{embedding}",
    "processor": "{processor}",
}
"""Contents by heading; `images/s` is of one core, the checksums are the first digits of SHA-256."""


def main(options: argparse.Namespace) -> int:
    """Prints what is on the executors; returns 1 if one of them has a fault or differs from the others, else 0."""
    from sparkcider.job.session import session_for
    from sparkcider.spark.probe import probe

    with session_for(None, options.master, dict(options.conf), verbose=options.verbose) as session:
        found = probe(session, options.model)
    show(options, found._asdict(), lines(found))
    return 1 if found.differences else 0


def lines(found: Probe) -> list[str]:
    """The table, and a line for each difference."""
    table = [list(COLUMNS), *map(_row, found.executors)]
    widths = [max(map(len, column)) for column in zip(*table)]
    printed = ["  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip() for row in table]
    n = len(found.executors)
    return [*printed, "", *(found.differences or [f"{n} executor{'s' if n != 1 else ''}, all alike"])]


def _row(facts: dict[str, Any]) -> list[str]:
    if "fault" in facts:
        return [str(facts.get(heading, "-")) for heading in COLUMNS]
    shown = {**facts, "memory": f"{facts['memory'] / 1e9:.1f} GB", "processor": " ".join(facts["processor"])}
    return [content.format(**shown) for content in COLUMNS.values()]

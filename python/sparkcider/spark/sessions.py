"""A setting of a Spark session, lowered for a while."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

_LOCK = threading.Lock()


@contextmanager
def lowered(session: SparkSession, name: str, value: int) -> Iterator[None]:
    """Lowers a whole number of the session's configuration while any block needs it lower.

    Blocks may overlap, in any order: the smallest value counts, and the last block to end restores what the first one
    found. Other threads of the session see the lower value meanwhile. So this serves only where Spark has no other way:
    before 4.1, for wide rows (docs/architecture.md).

    Args:
        session: Whose configuration.
        name: Its key; a value of 0 or less means no limit.
        value: The value that is needed.
    """
    # The session itself holds the state, as several Python objects may stand for one session of the JVM.
    marker = f"sparkcider.{name}"
    with _LOCK:
        held = session.conf.get(marker, None)
        blocks, before = json.loads(held) if held else (0, session.conf.get(name))
        current = int(session.conf.get(name) or 0)
        session.conf.set(marker, json.dumps([blocks + 1, before]))
        session.conf.set(name, str(min(value, current) if current > 0 else value))
    try:
        yield
    finally:
        with _LOCK:
            blocks, before = json.loads(str(session.conf.get(marker)))
            if blocks > 1:
                session.conf.set(marker, json.dumps([blocks - 1, before]))
            else:
                session.conf.unset(marker)
                session.conf.set(name, before)

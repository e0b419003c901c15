"""Sends what executors need (a model, a fitted PCA) to them once, under a name made of its content."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pyspark import SparkFiles
from pyspark.sql.utils import is_remote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

_delivered: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""Names already sent, by Spark context (classic) or session (Connect)."""


def deliver(session: SparkSession, name: str, content: Callable[[], bytes]) -> None:
    """Makes a file reach every executor, where `SparkFiles.get(name)` is its path.

    Classic Spark fetches it once per executor (`SparkContext.addFile`), Spark Connect once per session and executor
    (artifacts, Spark >= 4.0).

    Args:
        session: The session whose jobs need the file.
        name: A name that no other content has, so one with a checksum in it.
        content: Reads the file; not called when it was sent before.
    """
    keeper: Any = session if is_remote() else session.sparkContext
    sent = _delivered.setdefault(keeper, set())
    if name in sent:
        return
    if is_remote():
        with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder:
            path = Path(folder, name)
            path.write_bytes(content())
            session.addArtifacts(str(path), file=True)
    else:
        # Spark serves the file from where it is to executors that join later: Spark's own folder lives as long.
        path = Path(SparkFiles.getRootDirectory(), name)
        path.write_bytes(content())
        session.sparkContext.addFile(str(path))
    sent.add(name)


@contextmanager
def lent(session: SparkSession, content: bytes) -> Iterator[Callable[[], bytes]]:
    """Makes bytes reach every executor for the jobs of a block; gives what reads them there.

    Classic Spark broadcasts them, and removes them from the driver and the executors when the block ends. Spark Connect
    has no broadcasts: there they are an artifact, which stays until the session ends.
    """
    if is_remote():
        name = f"sparkcider-{sha256(content).hexdigest()}"
        deliver(session, name, lambda: content)
        yield lambda: Path(SparkFiles.get(name)).read_bytes()
        return
    broadcast = session.sparkContext.broadcast(content)
    try:
        yield lambda: broadcast.value
    finally:
        broadcast.destroy()

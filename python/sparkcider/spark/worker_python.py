"""Says on the driver that Spark's Python workers run another Python, one without this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from pyspark import SparkFiles

from sparkcider.storage.hadoop import is_classic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_checked: WeakSet[Any] = WeakSet()
"""Spark contexts (classic) and sessions (Connect) whose workers are right."""


def check_worker_python(session: SparkSession) -> None:
    """Fails before a job whose workers could not import this package, where that can be known: on `local` masters.

    A script that runs with the Python of a virtualenv which is not activated is such a job, as workers run the first
    `python3` of the PATH.

    Args:
        session: Whose workers; those of one session are looked at once.

    Raises:
        RuntimeError: Their Python does not import this package; the message says how to choose the right one.
    """
    keeper = session.sparkContext if is_classic(session) else session
    if keeper in _checked:
        return
    path = _local_python(session)
    if path is not None and os.path.abspath(path) != os.path.abspath(sys.executable):  # noqa: PTH100 - links stay
        environment = _environment(session)
        command = [path, "-c", "import sparkcider"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - Spark's own choice
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
            raise RuntimeError(
                f"Spark's Python workers run {path}, which cannot import sparkcider ({reason}): before the session "
                f"starts, set the environment variable PYSPARK_PYTHON to {sys.executable}"
            )
    _checked.add(keeper)


def _local_python(session: SparkSession) -> str | None:
    """The Python of workers on this machine; None where it cannot be known."""
    if is_classic(session):
        context = session.sparkContext
        return shutil.which(context.pythonExec) if str(context.master).startswith("local") else None
    if "SPARK_LOCAL_REMOTE" not in os.environ:  # else this process has started the server
        return None
    return shutil.which(os.environ.get("PYSPARK_PYTHON", os.environ.get("PYSPARK_DRIVER_PYTHON", "python3")))


def _environment(session: SparkSession) -> dict[str, str]:
    """The environment of such workers, files that were added to the session included."""
    if not is_classic(session):
        return dict(os.environ)
    context = session.sparkContext
    added: list[str] = context._python_includes or []  # noqa: SLF001 - what `addPyFile` was given
    includes = [str(Path(SparkFiles.getRootDirectory(), name)) for name in added]
    given = {**os.environ, **context.environment}
    return {**given, "PYTHONPATH": os.pathsep.join(filter(None, [*includes, given.get("PYTHONPATH")]))}

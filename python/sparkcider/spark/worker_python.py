"""Says on the driver that Spark's Python workers run another Python, one without this package."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pyspark import SparkFiles

from sparkcider.storage.hadoop import is_classic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARROW = ("sparkcider", "numpy", "pyarrow")
"""What workers import for Arrow functions."""

PANDAS = (*ARROW, "pandas")
"""What they import for those of pandas."""

_IMPORTS = "import sys\nfor name in sys.argv[1:]: print(name, flush=True); __import__(name)"
"""Names what it is about to import: the last name is that of the import which failed."""

_checked: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
"""What workers can import, by Spark context (classic) or session (Connect)."""


def check_worker_python(session: SparkSession, modules: tuple[str, ...] = ARROW) -> None:
    """Fails before a job whose workers could not import what it needs, where that can be known: on `local` masters.

    A script that runs with the Python of a virtualenv which is not activated is such a job, as workers run the first
    `python3` of the PATH.

    Args:
        session: Whose workers; those of one session are looked at once for the same modules.
        modules: What the job imports there.

    Raises:
        RuntimeError: Their Python does not import one of them; the message says how to choose the right one.
    """
    keeper = session.sparkContext if is_classic(session) else session
    if _checked.get(keeper, set()).issuperset(modules):
        return
    path = _local_python(session)
    if path is not None and os.path.abspath(path) != os.path.abspath(sys.executable):  # noqa: PTH100 - links stay
        environment = _environment(session)
        command = [path, "-c", _IMPORTS, *modules]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - Spark's own choice
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["it does not start"])[-1]
            module = (done.stdout.split() or modules)[-1]
            install = "" if module == modules[0] else f"install {module} there, or "
            raise RuntimeError(
                f"Spark's Python workers run {path}, which cannot import {module} ({reason}): {install}before the "
                f"session starts, set the environment variable PYSPARK_PYTHON to {sys.executable}"
            )
    _checked.setdefault(keeper, set()).update(modules)


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

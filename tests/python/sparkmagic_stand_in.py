"""Four magics of EMR Studio for a kernel that is the notebook and the cluster at once.

There, sparkmagic sends the cells to a Livy server on the cluster. What a notebook can get wrong is kept here: `spark`
comes with the first cell that runs on the cluster, with the settings of a `%%configure` before it; `%%local` shares no
name with the cluster; a figure shows only by `%matplot`; `%%display` takes one DataFrame.
"""

from __future__ import annotations

import io
import json
import os
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, cell_magic, line_magic, magics_class
from IPython.display import Image, display

# What Livy's POST /sessions takes of those, and Spark's word for it.
SETTINGS = {
    "driverMemory": "spark.driver.memory",
    "driverCores": "spark.driver.cores",
    "executorMemory": "spark.executor.memory",
    "executorCores": "spark.executor.cores",
    "numExecutors": "spark.executor.instances",
}
PLACES = ("spark.pyspark.", "spark.yarn.")  # paths on the cluster's machines
TABLE_ROWS = 20


@magics_class
class StandIn(Magics):
    """The magics, and the session that the first other cell starts."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.settings: dict[str, str] = {}
        self.local_names: dict[str, Any] = {}
        self.started = False

    def before_cell(self, info: Any) -> None:
        """Starts the session for a cell that runs on the cluster."""
        if self.started or str(info.raw_cell).startswith(("%%configure", "%%local")):
            return
        from pyspark.sql import SparkSession

        builder = SparkSession.builder
        for name, value in self.settings.items():
            builder = builder.config(name, value)
        self.shell.user_ns["spark"] = builder.getOrCreate()
        self.started = True

    @cell_magic
    def configure(self, line: str, cell: str) -> None:
        """Settings of the session to come, as JSON."""
        if self.started and "-f" not in line.split():
            raise UsageError("a session has started: %%configure -f would end it and start another")
        given = json.loads(cell)
        settings = {**given.pop("conf", {}), **{SETTINGS[name]: value for name, value in given.items()}}
        self.settings = {name: str(value) for name, value in settings.items() if not name.startswith(PLACES)}

    @cell_magic
    def local(self, _line: str, cell: str) -> None:
        """Runs a cell beside the notebook."""
        exec(cell, self.local_names)  # noqa: S102 - it is what the magic does

    @line_magic
    def matplot(self, line: str) -> None:
        """Shows the cluster's current figure."""
        picture = io.BytesIO()
        self.shell.user_ns[line.strip()].gcf().savefig(picture, format="png", dpi=80, bbox_inches="tight")
        display(Image(picture.getvalue()))

    @cell_magic
    def display(self, _line: str, cell: str) -> None:
        """Shows a DataFrame of the cluster as a table."""
        display(self.shell.user_ns[cell.strip()].limit(TABLE_ROWS).toPandas())


def load_ipython_extension(shell: Any) -> None:
    """Gives the kernel the magics."""
    os.environ["MPLBACKEND"] = "agg"  # the cluster has no screen
    magics = StandIn(shell)
    shell.register_magics(magics)
    shell.events.register("pre_run_cell", magics.before_cell)

"""Runs the notebooks on local Spark: `python tests/python/run_notebooks.py [NAME...]` keeps what they print and draw.

Each runs in a new kernel and a new folder, on two cores, with nothing of the user's settings: 02_emr_studio with the
magics of sparkmagic_stand_in, 05_databricks on Spark Connect where PySpark brings it. What goes to stderr, such as
Spark's log, is not kept. A cell with the tag `varies` prints times and the like: its text may be another each time.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import nbformat
import pyspark
from nbclient import NotebookClient

import sparkcider

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
NOTEBOOKS = HERE.parents[1] / "notebooks"
NAMES = (
    "01_quickstart",
    "02_emr_studio",
    "03_from_keras_udf",
    "04_dataproc_job",
    "05_databricks",
    "06_classifier",
    "07_findings",
)
VARIES = "varies"
TIMEOUT = 240
"""Seconds for one cell."""

# Pictures are committed: small ones.
KERNEL_CONFIG = """\
c.InlineBackend.print_figure_kwargs = {"bbox_inches": "tight", "dpi": 80}
"""
STUDIO_CONFIG = """\
c.IPKernelApp.extensions = ["sparkmagic_stand_in"]
"""
SPARK_DEFAULTS = """\
spark.master local[2]
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.driver.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC
spark.log.level ERROR
spark.ui.enabled false
spark.ui.showConsoleProgress false
spark.sql.shuffle.partitions 2
"""


def read(name: str) -> Any:
    """The notebook of that name, as it is committed."""
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def run(name: str, notebook: Any) -> Any:
    """Runs all cells of a notebook and puts what comes out into them; an error of a cell is raised."""
    with _alone(name) as folder:
        client = NotebookClient(
            notebook,
            timeout=TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            coalesce_streams=True,
        )
        client.execute()
    for cell in code_cells(notebook):
        cell.metadata.pop("execution", None)  # when each cell ran
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    return notebook


def code_cells(notebook: Any) -> list[Any]:
    """The cells that run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell: Any) -> str:
    """What a cell prints and gives back, as plain text; of pictures nothing."""
    data = [output.get("data", {}) for output in cell.outputs]
    given = [kinds.get("text/plain", "") for kinds in data if not is_picture(kinds)]
    return "".join(output.get("text", "") for output in cell.outputs) + "\n".join(given)


def pictures_of(cell: Any) -> int:
    """How many pictures a cell draws."""
    return sum(is_picture(output.get("data", {})) for output in cell.outputs)


def is_picture(kinds: dict[str, Any]) -> bool:
    """Whether an output is drawn."""
    return "image/png" in kinds


@contextmanager
def _alone(name: str) -> Iterator[Path]:
    """A folder to run in, and the environment of kernels: this Python, this package, settings of their own."""
    folder = Path(tempfile.mkdtemp(prefix="sparkcider-notebook-"))
    for part in ("work", "spark", "jupyter", "ipython/profile_default"):
        (folder / part).mkdir(parents=True)
    (folder / "spark" / "spark-defaults.conf").write_text(SPARK_DEFAULTS, encoding="utf-8")
    config = KERNEL_CONFIG + STUDIO_CONFIG * (name == "02_emr_studio")
    (folder / "ipython" / "profile_default" / "ipython_kernel_config.py").write_text(config, encoding="utf-8")
    package = str(Path(sparkcider.__file__).parents[1])
    settings = {
        "PYTHONPATH": os.pathsep.join(filter(None, [package, str(HERE), os.environ.get("PYTHONPATH")])),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(folder / "spark"),
        "JUPYTER_RUNTIME_DIR": str(folder / "jupyter"),
        "IPYTHONDIR": str(folder / "ipython"),
        "TMPDIR": str(folder),
    }
    if name == "05_databricks" and pyspark.__version__ >= "4":
        settings["SPARK_REMOTE"] = "local[2]"
    foreign = ("SPARKCIDER_", "SPARK_REMOTE", "MPLBACKEND")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    try:
        with mock.patch.dict(os.environ, {**kept, **settings}, clear=True):
            yield folder / "work"
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # Java, which ends after the kernel, may still write there


def main(names: list[str]) -> None:
    """Runs the notebooks and writes them."""
    for name in names:
        notebook = run(name, read(name))
        nbformat.write(notebook, NOTEBOOKS / f"{name}.ipynb")
        print(name, flush=True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(NAMES))

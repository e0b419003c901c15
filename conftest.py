"""What the tests and the examples in docstrings share: one Spark session and the place of the test data."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import SparkSession

    from sparkcider.job import JobConfig

REPOSITORY = Path(__file__).parent


def pytest_sessionstart() -> None:
    """With SPARKCIDER_TEST_INSTALLED a wheel is tested, so nothing may come from the source tree."""
    import sparkcider

    folder = Path(sparkcider.__file__).parent
    if os.environ.get("SPARKCIDER_TEST_INSTALLED") and folder == REPOSITORY / "python" / "sparkcider":
        raise pytest.UsageError(f"the installed sparkcider is to be tested, but {folder} comes before it on sys.path")


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Scripts beside the tests are started by them: looking for examples there would run them."""
    is_script = collection_path.suffix == ".py" and not collection_path.name.startswith("test_")
    return True if is_script and collection_path.parent == REPOSITORY / "tests" / "python" else None


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two cores of classic Spark and two tries of each task, small and quiet; the first test that asks starts it."""
    sql = pytest.importorskip("pyspark.sql", reason="needs the extra sparkcider[spark]")
    # The workers run this interpreter, and unpickle functions that the test modules define.
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [os.environ.get("PYTHONPATH"), str(REPOSITORY / "tests" / "python")])
    )
    scratch = tmp_path_factory.mktemp("spark")
    session = (
        sql.SparkSession.builder.master("local[2,2]")
        .appName("sparkcider tests")
        .config("spark.driver.memory", "2g")
        # Many small queries, few of them twice: the optimising compiler would cost more than it saves.
        .config("spark.driver.defaultJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.log.level", "ERROR")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.local.dir", str(scratch / "local"))
        .config("spark.sql.warehouse.dir", str(scratch / "warehouse"))
        .getOrCreate()
    )
    yield session
    session.stop()


@pytest.fixture(scope="module", params=["embedded", "spark"])
def run(request: pytest.FixtureRequest) -> Callable[..., dict[str, Any]]:
    """Runs a job on one of the engines, whose results must be the same."""
    from sparkcider import job

    session = request.getfixturevalue("spark") if request.param == "spark" else None

    def run_on_engine(config: JobConfig, progress: Callable[[str], None] = lambda _line: None) -> dict[str, Any]:
        return job.run(replace(config, engine=request.param), spark=session, progress=progress)

    return run_on_engine


@pytest.fixture(autouse=True)
def _examples_find_the_session(request: pytest.FixtureRequest) -> None:
    """An example that says `SparkSession.builder.getOrCreate()` gets the tests' session."""
    if isinstance(request.node, pytest.DoctestItem) and "SparkSession" in str(request.node.dtest.docstring):
        request.getfixturevalue("spark")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of models of each test's own: none reads or fills the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPARKCIDER_CACHE", str(folder))
    return folder


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real images and models (fruits/, models/, odd-images/, photos/); skips where there is none."""
    path = Path(os.environ.get("SPARKCIDER_TEST_DATA", REPOSITORY.parent / "shared" / "data")).resolve()
    if not path.is_dir():
        pytest.skip(f"no test data at {path}: SPARKCIDER_TEST_DATA names its folder")
    return path

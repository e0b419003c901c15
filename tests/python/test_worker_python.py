"""What would fail on executors is said on the driver: a Python without the package, a PySpark that is too old."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import pyspark
import pytest
from connect_port import connect_port
from spark_images import encoded_images

import sparkcider
from sparkcider.feature import PCA, ImageFeaturizer
from sparkcider.functions import image_features, nearest, neighbors, pca_project
from sparkcider.spark import worker_python
from sparkcider.spark.worker_python import check_worker_python

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture
def other_python(tmp_path: Path) -> str:
    """A Python without any package, as that of the system is."""
    path = tmp_path / "bin" / "python3"
    path.parent.mkdir()
    path.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def wrong_workers(spark: SparkSession, other_python: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(worker_python, "_checked", WeakKeyDictionary())
    monkeypatch.setattr(spark.sparkContext, "pythonExec", other_python)
    return other_python


REMEDY = (
    r"^Spark's Python workers run {}, which cannot import sparkcider \(ModuleNotFoundError: No module named "
    rf"'sparkcider'\): before the session starts, set the environment variable PYSPARK_PYTHON to {sys.executable}$"
)


def test_workers_without_the_package_are_an_error_before_a_job(spark: SparkSession, wrong_workers: str):
    images: DataFrame = spark.createDataFrame(encoded_images()[:2], "id int, content binary")
    points = spark.createDataFrame([([1.0, 2.0],), ([2.0, 1.0],)], "x array<double>")
    for use in (
        lambda: image_features("content", model="pixels"),
        lambda: ImageFeaturizer(inputCol="content", outputCol="y", model="pixels").transform(images),
        lambda: PCA(k=1, inputCol="x", outputCol="y").fit(points),
        lambda: pca_project("x", model=fitted()),
        lambda: neighbors(points.selectExpr("'a' AS path", "x AS features")),
        lambda: nearest(points.selectExpr("'a' AS path", "x AS features"), [[1.0, 2.0]]),
    ):
        with pytest.raises(RuntimeError, match=REMEDY.format(wrong_workers)):
            use()


@pytest.mark.parametrize("missing", ["numpy", "pyarrow", "pandas"])
def test_workers_without_what_the_work_imports(
    missing: str, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "sitecustomize.py").write_text(f"import sys; sys.modules[{missing!r}] = None\n")
    python = tmp_path / "python3"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(worker_python, "_checked", WeakKeyDictionary())
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(python))
    points = spark.createDataFrame([("a", [1.0, 2.0])], "path string, features array<double>")
    with pytest.raises(RuntimeError) as caught:
        neighbors(points)
    assert str(caught.value) == (
        f"Spark's Python workers run {python}, which cannot import {missing} (ModuleNotFoundError: import of {missing} "
        f"halted; None in sys.modules): install {missing} there, or before the session starts, set the environment "
        f"variable PYSPARK_PYTHON to {sys.executable}"
    )


def fitted() -> sparkcider.Pca:
    import pyarrow as pa

    moments = sparkcider.Moments()
    moments.update(pa.array([[1.0, 2.0], [2.0, 1.0]]))
    return sparkcider.Pca(k=1).fit(moments)


def test_the_right_python_is_looked_at_once(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_python, "_checked", WeakKeyDictionary())
    started: list[Any] = []
    run = subprocess.run
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: (started.append(args), run(*args, **options))[1])
    check_worker_python(spark)
    assert not started  # it is this one
    monkeypatch.setattr(worker_python, "_checked", WeakKeyDictionary())
    link = Path(os.environ["SPARKCIDER_CACHE"]) / "python"
    link.parent.mkdir(parents=True)
    link.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    link.chmod(0o755)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(link))
    for _ in range(2):
        check_worker_python(spark)
    assert len(started) == 1


@pytest.mark.parametrize("master", ["spark://host:7077", "yarn", "k8s://host"])
def test_workers_on_other_machines_are_not_known(master: str, other_python: str):
    context = SimpleNamespace(master=master, pythonExec=other_python)
    assert worker_python._local_python(SimpleNamespace(sparkContext=context)) is None


def test_a_file_added_to_the_session_counts(spark: SparkSession, other_python: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(worker_python, "_checked", WeakKeyDictionary())
    monkeypatch.setattr(spark.sparkContext, "pythonExec", other_python)
    environment = worker_python._environment(spark)
    assert environment["PYTHONPATH"].endswith(os.environ["PYTHONPATH"])
    assert environment["SPARKCIDER_CACHE"] == os.environ["SPARKCIDER_CACHE"]


SCRIPT = """
import sys
from pyspark.sql import SparkSession
from sparkcider.functions import image_features
builder = SparkSession.builder.config("spark.ui.enabled", "false")
spark = (builder.remote("local[1]") if sys.argv[1] == "connect" else builder.master("local[1]")).getOrCreate()
images = spark.createDataFrame([(None,)], "content binary")
try:
    images.select(image_features("content", model="pixels")).collect()
finally:
    spark.stop()
"""


@pytest.mark.parametrize("kind", ["classic", "connect"])
def test_a_script_with_the_python_of_a_virtualenv_that_is_not_activated(kind: str, other_python: str, tmp_path: Path):
    if kind == "connect" and pyspark.__version__ < "4":
        pytest.skip("PySpark 3.5 brings no Connect server")
    environment = {name: value for name, value in os.environ.items() if name not in ("PYSPARK_PYTHON", "PYTHONPATH")}
    environment["PATH"] = f"{Path(other_python).parent}{os.pathsep}{environment['PATH']}"
    package = Path(sparkcider.__file__).parents[1]
    (tmp_path / "script.py").write_text(f"import sys; sys.path.insert(0, {str(package)!r})\n{SCRIPT}")
    command = [sys.executable, str(tmp_path / "script.py"), kind]
    with connect_port() if kind == "connect" else nullcontext():
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"RuntimeError: Spark's Python workers run {other_python}, which cannot import sparkcider" in done.stderr
    assert f"set the environment variable PYSPARK_PYTHON to {sys.executable}" in done.stderr


@pytest.mark.parametrize("module", ["functions", "feature"])
def test_an_old_pyspark_is_one_sentence_at_import(module: str, tmp_path: Path):
    sql = tmp_path / "pyspark" / "sql"
    sql.mkdir(parents=True)
    (tmp_path / "pyspark" / "__init__.py").write_text("__version__ = '3.4.4'\n")
    (sql / "__init__.py").write_text("SparkSession = None\n")
    (sql / "types.py").write_text("DoubleType = FloatType = None\n")
    package = Path(sparkcider.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(package)])}
    command = [sys.executable, "-c", f"import sparkcider.{module}"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: sparkcider needs PySpark 3.5 or later, and this is 3.4.4: pip install 'pyspark>=3.5', "
        "on a cluster a release with Spark 3.5 or later"
    )

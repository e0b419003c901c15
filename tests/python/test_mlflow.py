"""The guide to MLflow runs, with a real MLflow and a store of files; another process gives the same bits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import sparkcider
from sparkcider import models
from sparkcider.samples import FRUITS, write_samples

pytest.importorskip("mlflow", reason="needs mlflow-skinny, which Python 3.9 has only in old versions")

HERE = Path(__file__).parent
N_LABELS, PER_LABEL = 4, 6


def run(side: str, folder: Path) -> dict[str, Any]:
    package = str(Path(sparkcider.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYSPARK_PYTHON": sys.executable,
        "SPARKCIDER_CACHE": str(folder / f"cache-{side}"),
        "MLFLOW_TRACKING_URI": (folder / "mlruns").as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",  # MLflow 3 would rather have a database
        "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
        "GIT_PYTHON_REFRESH": "quiet",
    }
    command = [sys.executable, str(HERE / "mlflow_script.py"), side, str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads((folder / f"{side}.json").read_text())
    return answer


@pytest.mark.timeout(900)
def test_a_logged_pipeline_gives_the_same_bits_in_another_process(tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=PER_LABEL)  # one of them is broken
    for fruit in FRUITS[N_LABELS:]:
        shutil.rmtree(tmp_path / "images" / fruit.label)
    logged = run("log", tmp_path)
    loaded = run("load", tmp_path)
    n_files = sum(path.is_file() for path in (tmp_path / "images").rglob("*"))
    assert len(logged["rows"]) == n_files - 1
    assert loaded["rows"] == logged["rows"]
    assert {label for label, _ in loaded["rows"].values()} == {fruit.label for fruit in FRUITS[:N_LABELS]}
    # pyfunc gives the column `prediction` of the same rows, the broken image left out
    assert sorted(loaded["labels"]) == sorted(label for label, _ in loaded["rows"].values())
    # the network lies in what was logged, and the requirement is written down
    (needed,) = (tmp_path / "mlruns").rglob("requirements.txt")
    assert "sparkcider==0.2.0" in needed.read_text().splitlines()
    network = Path(models.resolve("fruits-tiny")).stat().st_size
    assert max(path.stat().st_size for path in (tmp_path / "mlruns").rglob("*.parquet")) > network / 2

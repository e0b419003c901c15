"""A conversation with Spark ML, as its users have it: featurize, standardise, reduce, classify, cross-validate, save.

Another process, where the network's file is gone, loads what was saved and goes on: over tables, in SQL, over streams;
on classic Spark and on Connect. test_mlflow.py has the same by way of MLflow.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyspark
import pytest
from connect_port import connect_port

import sparkcider
from sparkcider import models
from sparkcider.samples import BROKEN, FRUITS, write_samples

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
KINDS = ["local[2]", "connect"]
N_LABELS, PER_LABEL = 6, 10
N_IMAGES = N_LABELS * PER_LABEL
"""Readable ones; one broken JPEG comes on top."""


class Told(NamedTuple):
    """What the two processes answered."""

    train: dict[str, Any]
    apply: dict[str, Any]


@pytest.fixture(scope="module")
def conversation(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    told: dict[str, Told] = {}

    def talk(kind: str) -> Told:
        if kind == "connect" and pyspark.__version__ < "4":
            pytest.skip("PySpark 3.5 brings no Connect server")
        if kind not in told:
            folder = tmp_path_factory.mktemp("conversation")
            write_samples(folder / "images", images_per_label=PER_LABEL)
            for fruit in FRUITS[N_LABELS:]:
                shutil.rmtree(folder / "images" / fruit.label)
            shutil.copy(models.resolve("fruits-tiny"), folder / "network.onnx")
            trained = run("train", kind, folder)
            (folder / "network.onnx").unlink()
            told[kind] = Told(trained, run("apply", kind, folder))
        return told[kind]

    return talk


def run(side: str, kind: str, folder: Path) -> dict[str, Any]:
    package = str(Path(sparkcider.__file__).parents[1])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package, str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "PYSPARK_PYTHON": sys.executable,
        "SPARKCIDER_CACHE": str(folder / f"cache-{side}"),
    }
    command = [sys.executable, str(HERE / "ml_script.py"), side, kind, str(folder)]
    with connect_port() if kind == "connect" else nullcontext():
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    answer: dict[str, Any] = json.loads((folder / f"{side}.json").read_text())
    return answer


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_a_cross_validation_over_kept_features_embeds_no_image_again(conversation: Callable[[str], Told], kind: str):
    told = conversation(kind).train
    assert told["features"] == N_IMAGES  # the broken one is left out, as a classifier wants it
    assert told["embedded_once"] == N_IMAGES + 1
    assert told["embedded_by_validation"] == 0
    assert told["embedded_by_transform"] == N_IMAGES + 1
    assert len(told["accuracies"]) == 4


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_the_classifier_names_what_it_sees(conversation: Callable[[str], Told], kind: str):
    told = conversation(kind).train
    assert told["k"] == 8
    assert max(told["accuracies"]) > 0.8  # by chance it would be 1 in 6
    predicted = told["predicted"]
    assert len(predicted) == N_IMAGES
    assert not [path for path in predicted if path.endswith(BROKEN)]
    right = sum(path.split("/")[0].replace("%20", " ") == label for path, label in predicted.items())
    assert right / N_IMAGES > 0.95


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_another_process_says_the_same_without_the_file(conversation: Callable[[str], Told], kind: str):
    told = conversation(kind)
    assert told.apply["predicted"] == told.train["predicted"]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_sql_gives_the_features_of_the_pipeline(conversation: Callable[[str], Told], kind: str):
    assert conversation(kind).apply["same_in_sql"] == N_IMAGES


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_says_the_same_and_embeds_each_image_once(conversation: Callable[[str], Told], kind: str):
    told = conversation(kind)
    assert told.apply["streamed"] == told.train["predicted"]
    assert told.apply["embedded_by_stream"] == N_IMAGES + 1

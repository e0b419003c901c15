"""The same results on classic Spark in one process, on two executors and on Spark Connect."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyspark
import pytest
from connect_port import connect_port
from spark_images import GOOD, TINY_MODEL, encoded_images

import sparkcider
from sparkcider import FeatureExtractor

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent

KINDS = ["local[2]", "local-cluster[2,1,1024]", "connect"]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}

    def run(kind: str) -> dict[str, Any]:
        if kind == "connect" and pyspark.__version__ < "4":
            pytest.skip("PySpark 3.5 brings no Connect server, and its artifacts do not reach the workers")
        if kind not in found:
            path = tmp_path_factory.mktemp("outcome") / "outcome.json"
            package = str(Path(sparkcider.__file__).parents[1])
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([package, str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]),
                "PYSPARK_PYTHON": sys.executable,
                "SPARK_HOME": str(Path(pyspark.__file__).parent),  # a local cluster starts its workers from there
            }
            command = [sys.executable, str(HERE / "spark_script.py"), kind, str(path)]
            with connect_port() if kind == "connect" else nullcontext():
                done = subprocess.run(
                    command, env=environment, cwd=path.parent, capture_output=True, text=True, timeout=280, check=False
                )
            assert done.returncode == 0, done.stderr[-4000:]
            found[kind] = json.loads(path.read_text())
        return found[kind]

    return run


@pytest.mark.parametrize("kind", KINDS)
def test_features_are_the_extractors_bit_for_bit(outcome: Callable[[str], dict[str, Any]], kind: str):
    features, _ = FeatureExtractor(str(TINY_MODEL)).extract(pa.array([row[1] for row in encoded_images()]))
    expected = np.array([row for row in features.to_pylist() if row is not None], np.float32)
    assert outcome(kind)["shape"] == [GOOD, 4]
    assert outcome(kind)["features"] == sha256(expected.tobytes()).hexdigest()


@pytest.mark.parametrize(("kind", "executors"), list(zip(KINDS, [1, 2, 1])))
def test_the_doctor_sees_every_executor(outcome: Callable[[str], dict[str, Any]], kind: str, executors: int):
    found = outcome(kind)["probe"]
    assert found["differences"] == []
    assert len(found["executors"]) == executors
    for facts in found["executors"]:
        assert facts["model"] == FeatureExtractor("fruits-tiny").checksum[:12]
        assert facts["images_per_second"] > 0
        assert facts["memory"] > 1e8
    assert len({facts["embedding"] for facts in found["executors"]}) == 1
    assert found["executors"][0]["embedding"] == outcome(KINDS[0])["probe"]["executors"][0]["embedding"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pipeline_fits_saves_and_loads(outcome: Callable[[str], dict[str, Any]], kind: str):
    found, reference = outcome(kind), outcome(KINDS[0])
    assert found["loaded_gives_the_same"]
    np.testing.assert_allclose(found["ratios"], reference["ratios"], rtol=1e-9)
    np.testing.assert_allclose(found["pca"], reference["pca"], atol=1e-5)  # float32 columns


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_give_vectors(outcome: Callable[[str], dict[str, Any]], kind: str):
    found = outcome(kind)
    assert (found["vector_type"], found["rows_out"]) == ("vector", GOOD)
    np.testing.assert_allclose(found["vector_ratios"], found["ratios"], rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_the_randomized_solver_the_scaler_and_an_update(outcome: Callable[[str], dict[str, Any]], kind: str):
    found, reference = outcome(kind), outcome(KINDS[0])
    np.testing.assert_allclose(found["randomized"], reference["randomized"], rtol=1e-6)
    np.testing.assert_allclose(found["scaled"], reference["scaled"], atol=1e-6)
    assert np.abs(np.mean(found["scaled"], axis=0)).max() < 1e-6
    assert found["updated_rows"] == 2 * GOOD


@pytest.mark.parametrize("kind", KINDS)
def test_progress_grows_while_a_job_runs_and_ends_with_the_block(outcome: Callable[[str], dict[str, Any]], kind: str):
    shares = outcome(kind)["shares"]
    assert shares == sorted(shares)
    assert any(0 < share < 1 for share in shares)
    assert shares[-1] >= 0.75  # what is reported of the last tasks may come after the block


@pytest.mark.parametrize("kind", KINDS)
def test_pictures_are_drawn(outcome: Callable[[str], dict[str, Any]], kind: str):
    pytest.importorskip("matplotlib", reason="needs the extra sparkcider[notebooks]")
    assert outcome(kind)["drawn"] == [GOOD, GOOD]


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_listed_and_fetched_by_the_workers(outcome: Callable[[str], dict[str, Any]], kind: str):
    found = outcome(kind)
    assert found["fetched"] == found["features"]
    assert [error[:14] for error in found["errors"]] == ["unknown format"]
    assert found["labels"] == ["label 0", "label 1"]
    assert found["bytes"] == sum(len(content or b"") for _, content in encoded_images())

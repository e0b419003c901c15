"""``sparkcider doctor``: what it finds here, and what it says where something is missing."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from sparkcider import ModelError
from sparkcider.cli import doctor, main

if TYPE_CHECKING:
    from pathlib import Path


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def finding(name: str) -> doctor.Finding:
    return next(found for found in doctor.examine() if found.name == name)


def without(monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == package else version(name))


def test_a_sound_machine_is_well(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    assert main(["doctor"]) == 0, capsys.readouterr().out
    # The newest pandas may be newer than this PySpark: a warning that is no fault of the machine.
    found = [entry for entry in doctor.examine() if entry.name != "pandas for Spark"]
    names = [
        "python",
        "sparkcider",
        "numpy",
        "pyarrow",
        "jinja2",
        "pyspark",
        "pandas",
        "java",
        "PYSPARK_PYTHON",
        "processor",
    ]
    assert [entry.name for entry in found] == [*names, "onnxruntime", "inference", "models"]
    assert {entry.status for entry in found} == {"ok"}
    assert set(map(doctor._line, found)) <= set(capsys.readouterr().out.splitlines())


def test_a_pandas_that_is_too_new_for_this_pyspark_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    utils = pytest.importorskip("pyspark.sql.pandas.utils")
    says = "PySpark does not yet fully support pandas >= 3.0.0."
    doubt = functools.partial(warnings.warn, says, FutureWarning)
    monkeypatch.setattr(utils, "require_minimum_pandas_version", doubt)
    assert finding("pandas for Spark") == doctor.Finding(
        "pandas for Spark", "warning", says, "install the versions that this PySpark asks for"
    )


def test_a_debug_build_is_a_warning(monkeypatch: pytest.MonkeyPatch):
    assert ", release build at " in finding("sparkcider").found
    monkeypatch.setattr("sparkcider._native._build_profile", lambda: "debug")
    found = finding("sparkcider")
    assert (found.status, ", debug build at " in found.found) == ("warning", True)
    assert "many times slower" in found.advice


def test_json_has_the_same_findings(capsys: pytest.CaptureFixture[str]):
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in found] == [entry.name for entry in doctor.examine()]
    assert set(found[0]) == {"name", "status", "found", "advice"}


def test_pyspark_is_not_imported_before_it_is_looked_for():
    code = "import sys, sparkcider.cli, sparkcider.cli.doctor; sys.exit('pyspark' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_without_pyspark_it_warns_and_does_not_ask_for_java(monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, "pyspark")
    found = doctor.examine()
    assert next(entry for entry in found if entry.name == "pyspark") == doctor.Finding(
        "pyspark", "warning", "not installed", "pip install 'pyspark>=3.5,<5' (Spark jobs need it)"
    )
    assert "java" not in [entry.name for entry in found]


def test_a_cache_that_cannot_be_written_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SPARKCIDER_CACHE", str(tmp_path / "cache"))
    assert (finding("models").status, "fruits-tiny; " in finding("models").found) == ("ok", True)
    monkeypatch.setattr("os.access", lambda folder, _mode: folder != tmp_path)
    assert finding("models") == doctor.Finding(
        "models",
        "warning",
        f"fruits-tiny; cache {tmp_path / 'cache'} cannot be written",
        "set SPARKCIDER_CACHE to a folder that can be written; models of URIs come there",
    )


def test_a_missing_pyarrow_fails(monkeypatch: pytest.MonkeyPatch):
    without(monkeypatch, "pyarrow")
    assert finding("pyarrow") == doctor.Finding("pyarrow", "failed", "not installed", "pip install 'pyarrow>=14'")


def test_an_old_pyarrow_fails(monkeypatch: pytest.MonkeyPatch):
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "13.0.0" if name == "pyarrow" else version(name))
    assert (finding("pyarrow").status, finding("pyarrow").found) == ("failed", "13.0.0")


@pytest.mark.parametrize(
    ("pyspark", "line", "status"),
    [
        ("4.1.0", 'openjdk version "17.0.15" 2025-04-15', "ok"),
        ("4.1.0", 'openjdk version "11.0.2" 2019-01-15', "failed"),
        ("3.5.1", 'java version "1.8.0_392"', "ok"),
        ("3.5.1", 'openjdk version "25" 2025-09-16', "failed"),
    ],
)
def test_java_must_fit_the_pyspark(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pyspark: str, line: str, status: str
):
    program(tmp_path / "bin" / "java", f"echo '{line}' >&2")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "_version", lambda _name: pyspark)
    found = doctor._java()
    assert found is not None
    assert found.status == status
    if status == "failed":
        assert f"PySpark {pyspark} runs on Java" in found.advice


def test_no_java_fails_with_advice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = doctor._java()
    assert found is not None
    assert found.status == "failed"
    assert "install one, or set JAVA_HOME" in found.advice


def test_workers_of_another_python_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("PYSPARK_PYTHON", str(program(tmp_path / "python3", "echo 3.8.1")))
    found = finding("PYSPARK_PYTHON")
    assert (found.status, found.advice) == ("failed", f"set it to {sys.executable}")


def test_workers_without_sparkcider_fail(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    script = "echo \"ModuleNotFoundError: No module named 'sparkcider'\" >&2; exit 1"
    monkeypatch.setenv("PYSPARK_PYTHON", str(program(tmp_path / "python3", script)))
    assert finding("PYSPARK_PYTHON").advice == "install sparkcider for that Python too"


def test_a_missing_onnx_runtime_fails_with_advice():
    environment = {**os.environ, "SPARKCIDER_ONNXRUNTIME": "/no/such/libonnxruntime.so"}
    command = [sys.executable, "-m", "sparkcider", "doctor", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = {entry["name"]: entry for entry in json.loads(answer.stdout)}
    assert answer.returncode == 1
    assert found["onnxruntime"]["status"] == found["inference"]["status"] == "failed"
    assert "/no/such/libonnxruntime.so" in found["onnxruntime"]["found"]
    assert "SPARKCIDER_ONNXRUNTIME" in found["onnxruntime"]["advice"]


def test_a_library_that_refuses_every_network_is_not_ok(monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object, **__: object) -> None:
        raise ModelError("graph_optimization_level is not valid")

    monkeypatch.setattr("sparkcider.FeatureExtractor", refuse)
    for name in ("onnxruntime", "inference"):
        assert (finding(name).status, finding(name).found) == ("failed", "graph_optimization_level is not valid")


@pytest.mark.parametrize("library", os.environ.get("SPARKCIDER_TEST_RUNTIMES", "").split(os.pathsep))
def test_every_promised_version_of_onnx_runtime_runs_networks(library: str):
    if not library:
        pytest.skip("opt-in: SPARKCIDER_TEST_RUNTIMES has the paths of libonnxruntime.so of 1.17 and newer versions")
    environment = {**os.environ, "SPARKCIDER_ONNXRUNTIME": library}
    command = [sys.executable, "-m", "sparkcider", "doctor", "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    found = {entry["name"]: entry for entry in json.loads(answer.stdout)}
    assert found["onnxruntime"]["found"].endswith(f" at {library}")
    assert found["onnxruntime"]["status"] == found["inference"]["status"] == "ok"


# --cluster


def facts(**other: object) -> dict[str, object]:
    same = {"host": "a", "pid": 1, "python": "3.11.7", "sparkcider": "0.1.0", "module": "m", "processor": ["avx2"]}
    return {**same, "cores": 4, "memory": 8e9, "model": "n", "images_per_second": 100.0, "embedding": "e", **other}


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"images_per_second": 9.0, "cores": 2, "processor": []}, []),
        ({"embedding": "f"}, ["embedding differs between the executors: e, f"]),
        ({"python": "3.12.1"}, ["python differs between the executors: 3.11.7, 3.12.1"]),
        (
            {"sparkcider": "0.0.9"},
            [
                "sparkcider differs between the executors: 0.0.9, 0.1.0",
                "sparkcider is 0.1.0 on the driver, 0.0.9, 0.1.0 on executors",
            ],
        ),
        ({"fault": "ModelError: none"}, ["b: ModelError: none"]),
    ],
)
def test_what_differs_between_executors_is_said(other: dict[str, object], told: list[str]):
    pytest.importorskip("pyspark")
    from sparkcider.cli.doctor_cluster import lines
    from sparkcider.spark.probe import Probe, _differences

    executors = [facts(), facts(host="b", **other)]
    assert _differences({"sparkcider": "0.1.0"}, executors) == told
    printed = lines(Probe({}, executors, told))
    assert printed[0].split()[:4] == ["host", "pid", "python", "sparkcider"]
    assert len(printed) == 4 + max(len(told), 1)


def test_executors_without_sparkcider_are_named_and_the_code_is_1(tmp_path: Path):
    pytest.importorskip("pyspark")
    broken = tmp_path / "sparkcider"
    broken.mkdir()
    (broken / "__init__.py").write_text("raise ImportError('no sparkcider here')")
    command = [
        sys.executable,
        "-m",
        "sparkcider",
        "doctor",
        "--cluster",
        "--json",
        "--master",
        "local-cluster[1,1,1024]",
    ]
    settings = [f"spark.executorEnv.PYTHONPATH={tmp_path}", "spark.driver.host=127.0.0.1", "spark.ui.enabled=false"]
    words = [word for setting in settings for word in ("--conf", setting)]
    environment = {**os.environ, "PYSPARK_PYTHON": sys.executable}
    done = subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=280, check=False)
    assert done.returncode == 1, done.stderr[-4000:]
    (executor,) = json.loads(done.stdout)["executors"]
    assert executor["fault"] == "ImportError: no sparkcider here"

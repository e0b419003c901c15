"""Both engines give the same result; the embedded one needs neither Java nor pyspark."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
from connect_port import connect_port
from spark_images import TINY_MODEL

from sparkcider import job
from sparkcider.job import JobConfig, choose_engine
from sparkcider.job.config import TABLE
from sparkcider.job.machine import MemoryBudget, plan_workers
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

# docs/numerics.md: sums in another order move a component by this much of its deviation
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_samples(folder, images_per_label=3)
    (folder / "Lime" / "notes.txt").write_text("no image")
    return folder


def silent(_line: str) -> None:
    """Takes a line and says nothing."""


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(out / name).sort_values("path", ignore_index=True)


@pytest.fixture(scope="module")
def results(spark: SparkSession, images: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The result of each engine, with a network, every format and a scale of each feature."""
    folder = tmp_path_factory.mktemp("results")
    for engine in ("embedded", "spark"):
        config = JobConfig(
            input=str(images), output=str(folder / engine), model=str(TINY_MODEL), engine=engine, pca_k=3,
            standardize=True, formats=("parquet", "json", "csv"),
        )  # fmt: skip
        job.run(config, spark=spark if engine == "spark" else None, progress=silent)
    return {engine: folder / engine for engine in ("embedded", "spark")}


def test_both_engines_write_the_same_features(results: dict[str, Path]):
    ours, theirs = (table(results[engine], "features") for engine in ("embedded", "spark"))
    assert list(ours.columns) == list(theirs.columns)
    for column in ("path", "label", "length", "modified", "error", "digest", "fingerprint", "thumbnail"):
        assert ours[column].tolist() == theirs[column].tolist(), column
    assert [None if row is None else row.tobytes() for row in ours.features] == [
        None if row is None else row.tobytes() for row in theirs.features
    ]
    assert ours.dtypes.equals(theirs.dtypes)


def test_both_engines_write_the_same_components_up_to_rounding(results: dict[str, Path]):
    ours, theirs = (table(results[engine], "pca") for engine in ("embedded", "spark"))
    assert ours[["path", "label"]].equals(theirs[["path", "label"]])
    expected = np.stack(theirs.pca)
    np.testing.assert_allclose(np.stack(ours.pca), expected, atol=TOLERANCE * expected.std())


def test_both_engines_write_the_same_files_and_summary(results: dict[str, Path]):
    summaries = {engine: json.loads((out / "summary.json").read_text()) for engine, out in results.items()}
    ours, theirs = summaries["embedded"], summaries["spark"]
    assert {path.name for path in results["embedded"].iterdir()} == {path.name for path in results["spark"].iterdir()}
    for key in ("input", "images", "errors", "errors_by_kind", "errors_by_reason", "by_label", "model"):
        assert ours[key] == theirs[key], key
    assert set(theirs) <= set(ours)
    assert (ours["engine"], theirs["engine"]) == ("embedded", "spark")
    assert ours["peak_memory_bytes"] > 0


def test_json_and_csv_of_both_engines_have_equal_values(results: dict[str, Path]):
    for name in ("features", "pca"):
        tables, frames = [], []
        for out in results.values():
            texts_of = [part.read_text() for part in (out / f"{name}-json").glob("*.json")]
            lines = [json.loads(line) for text in texts_of for line in text.splitlines()]
            texts = pd.concat(
                [pd.read_csv(part, keep_default_na=False) for part in (out / f"{name}-csv").glob("*.csv")]
            )
            tables.append(sorted(lines, key=lambda row: row["path"]))
            assert sorted(texts.path) == [row["path"] for row in tables[-1]]
            frames.append(texts.sort_values("path", ignore_index=True))
        pd.testing.assert_frame_equal(*frames, rtol=1e-4 if name == "pca" else 1e-7)
        ours, theirs = tables
        assert [list(row) for row in ours] == [list(row) for row in theirs]
        for mine, other in zip(ours, theirs):
            assert {key: mine[key] for key in mine if key != name} == {key: other[key] for key in other if key != name}
            if name == "features":
                assert (mine[name] is None) == (other[name] is None)
                assert np.float32(mine[name] or []).tolist() == np.float32(other[name] or []).tolist()


def test_spark_loads_the_pca_model_of_the_embedded_engine(spark: SparkSession, results: dict[str, Path]):
    from sparkcider.feature import PCAModel

    model = PCAModel.load(str(results["embedded"] / "pca-model"))
    features = spark.read.parquet(str(results["embedded"] / "features")).where("features is not null")
    again = model.transform(features).select("path", "pca").toPandas().sort_values("path", ignore_index=True)
    np.testing.assert_array_equal(np.stack(again.pca), np.stack(table(results["embedded"], "pca").pca))
    assert model.update(features).numRows == 2 * model.numRows  # its moments came along


WITHOUT_SPARK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyspark", "py4j", "pandas"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
from sparkcider import cli
words = ["--input", sys.argv[1], "--output", sys.argv[2], "--model", "fruits-tiny", "--format", "json,csv"]
code = cli.main(["run", *words])
print(code, "py4j" in sys.modules)
"""


def test_the_embedded_engine_needs_neither_pyspark_nor_java(images: Path, tmp_path: Path):
    environment = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "SPARK_HOME")}
    environment["PATH"] = "/nowhere"
    command = [sys.executable, "-c", WITHOUT_SPARK, str(images), str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)
    assert done.stdout.split() == ["0", "False"], done.stderr
    assert done.stderr.splitlines()[0] == "engine    embedded (nothing here needs Spark)"
    assert len(table(tmp_path / "out", "features")) == 62


WITHOUT_PANDAS = """
import sys
from sparkcider.cli import main

code = main()
imported = "pandas" in sys.modules
import pandas
import pyarrow

print(code, imported, pyarrow.array(pandas.Series([1.5])).to_pylist(), pyarrow.table({"a": [1]}).to_pandas().a[0])
"""


def test_the_command_does_not_import_pandas_and_leaves_it_usable(images: Path, tmp_path: Path):
    command = [sys.executable, "-c", WITHOUT_PANDAS, "run", "--input", str(images), "--output", str(tmp_path / "out")]
    done = subprocess.run([*command, "--model", "pixels"], capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.split() == ["0", "False", "[1.5]", "1"], done.stderr


def test_ctrl_c_finishes_the_block_and_leaves_no_half_result(test_data: Path, tmp_path: Path):
    model = test_data / "models" / "mobilenetv2_imagenet.onnx"
    command = [sys.executable, "-m", "sparkcider", "run", "--input", str(test_data / "fruits")]
    command += ["--output", str(tmp_path / "out"), "--model", str(model), "--normalization", "tf"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith("features"):
                break
        time.sleep(5)
        running.send_signal(signal.SIGINT)
        rest = running.stderr.read()
    assert running.returncode == 130, rest
    assert "Traceback" not in rest
    assert f"finished features are in file:{tmp_path}/out.partial; the same job with --resume goes on" in rest
    assert [path.name for path in tmp_path.iterdir()] == ["out.partial"]
    found = table(tmp_path / "out.partial", "features")
    assert 0 < len(found) < 7_980
    assert found.features.notna().all()


@pytest.mark.parametrize(
    ("settings", "facts", "choice"),
    [
        ({}, {}, ("embedded", "nothing here needs Spark")),
        ({"input": "s3a://bucket/in", "output": "gs://bucket/out"}, {}, ("embedded", "nothing here needs Spark")),
        ({"input": "abfss://in@account.dfs.core.windows.net/"}, {}, ("embedded", "nothing here needs Spark")),
        ({}, {"session": True}, ("spark", "a Spark session is active")),
        ({}, {"settings": True}, ("spark", "a master or Spark settings are given")),
        ({}, {"environment": {"PYSPARK_GATEWAY_PORT": "1"}}, ("spark", "started by spark-submit")),
        ({}, {"environment": {"SPARK_REMOTE": "sc://x"}}, ("spark", "SPARK_REMOTE names a Spark Connect server")),
        ({"input": "hdfs:///in"}, {}, ("spark", "Spark reads and writes hdfs:")),
        ({"output": "dbfs:/out"}, {}, ("spark", "Spark reads and writes dbfs:")),
        (
            {"input": f"{TABLE}db.images", "content_column": "content"},
            {},
            ("spark", "the input is a table of Spark's catalog"),
        ),
        ({"engine": "embedded"}, {"session": True}, ("embedded", "as requested")),
        ({"engine": "spark"}, {}, ("spark", "as requested")),
    ],
)
def test_the_engine_is_chosen_for_a_reason(settings: dict[str, Any], facts: dict[str, Any], choice: tuple[str, str]):
    config = JobConfig(**{"input": "in", "output": "out", "model": "pixels", **settings})
    assert choose_engine(config, **{"environment": {}, **facts}) == choice


def test_the_embedded_engine_refuses_what_only_spark_has():
    table = JobConfig(input=f"{TABLE}images", output="out", model="pixels", content_column="x", engine="embedded")
    with pytest.raises(ValueError, match="is a table of Spark's catalog: use engine spark or auto"):
        choose_engine(table)
    with pytest.raises(ValueError, match="have no effect on engine embedded"):
        choose_engine(JobConfig(input="in", output="out", model="pixels", engine="embedded"), settings=True)


def test_workers_are_as_many_as_cores_and_memory_allow(monkeypatch: pytest.MonkeyPatch):
    machine = sys.modules["sparkcider.job.machine"]
    monkeypatch.setattr(machine._native, "_available_cores", lambda: 8)
    monkeypatch.setattr(machine, "available_memory", lambda: 64 << 30)
    assert plan_workers(14_000_000, None) == (8, "one for each core")
    monkeypatch.setattr(machine, "available_memory", lambda: 1 << 30)
    assert plan_workers(100_000_000, None) == (1, "8 cores, but 1.1 GB of memory")
    assert plan_workers(100_000_000, 6) == (6, "as requested")


def test_an_image_over_its_share_waits_until_it_is_alone():
    from threading import Event, Thread

    budget, held, done = MemoryBudget(100), Event(), []

    def take_much() -> None:
        with budget.reserve(1_000):
            done.append("much")

    with budget.reserve(10):
        thread = Thread(target=take_much)
        thread.start()
        held.wait(0.1)
        assert done == []
    thread.join(5)
    assert done == ["much"]


CONNECT = """
import sys
from pyspark.sql import SparkSession
from sparkcider import job
from sparkcider.job import JobConfig

spark = SparkSession.builder.remote("local").getOrCreate()
source, out, model = sys.argv[1:]

def run(source, out, **settings):
    config = JobConfig(input=source, output=out, model=model, pca_k=3, standardize=True, engine="spark", **settings)
    return job.run(config, spark=spark, progress=lambda line: None)

run(source, out, formats=("json", "csv"))
print(run(source, out, formats=("json", "csv"), resume=True)["embedded"])
for source, out in ((source + "/nowhere", out + "2"), (source, out)):
    try:
        run(source, out)
    except (FileNotFoundError, FileExistsError) as error:
        print(type(error).__name__, len(str(error).splitlines()))
spark.stop()
"""


def test_spark_connect_gives_the_same_bits(results: dict[str, Path], images: Path, tmp_path: Path):
    pyspark = pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")
    pytest.importorskip("grpc", reason="needs pyspark[connect]")
    if int(pyspark.__version__.split(".")[0]) < 4:
        pytest.skip("Spark Connect needs PySpark 4")
    out = tmp_path / "out"
    command = [sys.executable, "-c", CONNECT, str(images), str(out), str(TINY_MODEL)]
    with connect_port():
        answer = subprocess.run(command, capture_output=True, text=True, check=False, timeout=250)
    assert answer.returncode == 0, answer.stderr[-2000:]
    assert answer.stdout.splitlines() == ["62", "FileNotFoundError 1", "FileExistsError 1"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert {path.name for path in out.iterdir()} == {path.name for path in results["spark"].iterdir()}
    ours, theirs = table(results["spark"], "features"), table(out, "features")
    assert ours.drop(columns="features").equals(theirs.drop(columns="features"))
    assert [row is not None and row.tobytes() for row in ours.features] == [
        row is not None and row.tobytes() for row in theirs.features
    ]
    expected = np.stack(table(results["spark"], "pca").pca)
    np.testing.assert_allclose(np.stack(table(out, "pca").pca), expected, atol=TOLERANCE * expected.std())

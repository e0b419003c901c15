"""Saved stages without Spark: written by pyarrow and loaded by Spark, and the other way round."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.ml import PipelineModel

from sparkcider import Moments, Pca, SparkciderError, saved_stage
from sparkcider.feature import PCA, ImageFeaturizer, PCAModel, StandardScaler
from sparkcider.pca.saved_model import from_arrays, pca_model_stage
from sparkcider.saved_stage import SavedStage, new_uid, read_stage, write_stage
from sparkcider.storage.files import ArrowFiles, Files
from sparkcider.storage.hadoop import HadoopFiles

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

N, D = 50, 6

WRITE = """
import sys
sys.modules["pyspark"] = None  # importing it fails
import pyarrow as pa, pyarrow.parquet as pq
from sparkcider import Moments, Pca
from sparkcider.pca.saved_model import pca_model_stage
from sparkcider.saved_stage import write_stage
from sparkcider.storage.files import ArrowFiles

folder, options = sys.argv[1], eval(sys.argv[2])
rows = pq.read_table(f"{folder}/rows.parquet")["x"].combine_chunks()
moments = Moments()
moments.update(rows)
pca = Pca(k=3, standardize=options["standardize"]).fit(moments)
stage = pca_model_stage(pca, moments, 2, k=3, input_col="x", output_col="y", **options)
uri = f"file:{folder}/model"
write_stage(ArrowFiles(uri), uri, stage)
print(stage.uid)
"""


def matrix() -> np.ndarray:
    """(N, D) float64 away from the origin."""
    random = np.random.default_rng(8)
    return random.normal(size=(N, D)) * [6, 5, 3, 2, 1, 0.5] + 7


@pytest.fixture(scope="module")
def frame(spark: SparkSession) -> DataFrame:
    rows = [(number, row.tolist()) for number, row in enumerate(matrix())]
    return spark.createDataFrame(rows, "id int, x array<double>").repartition(2).cache()


@pytest.fixture(params=["arrow", "hadoop"])
def files(request: pytest.FixtureRequest, spark: SparkSession, tmp_path: Path) -> Files:
    """The two ways to reach files, on a local disk."""
    uri = f"file:{tmp_path}"
    return ArrowFiles(uri) if request.param == "arrow" else HadoopFiles(spark, uri)


def fitted() -> tuple[Pca, Moments]:
    moments = Moments()
    moments.update(pa.array(matrix().tolist()))
    return Pca(k=3).fit(moments), moments


def stage(**options: Any) -> SavedStage:
    pca, moments = fitted()
    options = {"k": 3, "standardize": False, "center": False, "input_col": "x", "output_col": "y", **options}
    return pca_model_stage(pca, moments, 2, **options)


def parts_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("part-"))


# Written without Spark


@pytest.mark.parametrize(("standardize", "center"), [(False, False), (False, True), (True, False)])
def test_spark_loads_what_was_written_without_pyspark(
    frame: DataFrame, tmp_path: Path, *, standardize: bool, center: bool
):
    rows = pa.array(matrix().tolist())
    pq.write_table(pa.table({"x": rows}), tmp_path / "rows.parquet")
    options = {"standardize": standardize, "center": center}
    command = [sys.executable, "-c", WRITE, str(tmp_path), repr(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    model = PCAModel.load(str(tmp_path / "model"))
    assert model.uid == done.stdout.strip()
    assert (model.getK(), model.getInputCol(), model.getOutputCol()) == (3, "x", "y")
    assert (model.numRows, model.numInvalid) == (N, 2)
    projected = [row.y for row in sorted(model.transform(frame).collect())]
    moments = Moments()
    moments.update(rows)
    expected = Pca(k=3, standardize=standardize).fit(moments).transform(rows, center=model.centers)
    assert model.centers == (standardize or center)
    assert projected == expected.to_pylist()  # bit for bit
    assert model.update(frame).numRows == 2 * N  # its moments are there
    again = str(tmp_path / "again")
    model.save(again)
    assert PCAModel.load(again).extractParamMap() == model.extractParamMap()


def test_it_is_what_spark_saves(frame: DataFrame, tmp_path: Path):
    model = PCA(k=3, inputCol="x", outputCol="y", standardize=False, center=False).fit(frame)
    model.save(f"file:{tmp_path}/spark")
    write_stage(ArrowFiles("file:/"), f"file:{tmp_path}/arrow", stage())
    theirs, ours = (json.loads(parts_in(tmp_path / name / "metadata")[0].read_text()) for name in ("spark", "arrow"))
    assert ours.keys() == theirs.keys()
    for metadata in (ours, theirs):
        assert metadata["defaultParamMap"].pop("outputCol") == f"{metadata['uid']}__output"
        assert metadata["uid"].split("_")[0] == "PCA"
        assert len(metadata["uid"].split("_")[1]) == 12
    same = ("class", "paramMap", "defaultParamMap")
    assert {key: ours[key] for key in same} == {key: theirs[key] for key in same}
    assert ours["arrays"].keys() == theirs["arrays"].keys()
    session = frame.sparkSession
    for array in ours["arrays"]:
        schemas = {session.read.parquet(f"{tmp_path}/{name}/{array}").schema.json() for name in ("spark", "arrow")}
        assert len(schemas) == 1


def test_models_saved_before_there_was_center_load_without_it(frame: DataFrame, tmp_path: Path):
    saved = stage()
    del saved.params["center"], saved.defaults["center"]
    write_stage(ArrowFiles("file:/"), f"file:{tmp_path}/model", saved)
    model = PCAModel.load(f"{tmp_path}/model")
    assert (model.getCenter(), model.centers) == (False, False)
    projected = [row.y for row in sorted(model.transform(frame).collect())]
    np.testing.assert_allclose(projected, matrix() @ model.pc.toArray(), atol=1e-9)


def test_a_pipeline_takes_a_loaded_model(frame: DataFrame, tmp_path: Path):
    write_stage(ArrowFiles("file:/"), f"file:{tmp_path}/model", stage())
    PipelineModel([PCAModel.load(f"{tmp_path}/model")]).save(f"{tmp_path}/pipeline")
    assert PipelineModel.load(f"{tmp_path}/pipeline").transform(frame).columns == ["id", "x", "y"]


def test_large_arrays_are_files_of_a_few_chunks(
    frame: DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: Files
):
    monkeypatch.setattr(saved_stage, "CHUNK_BYTES", 16)
    monkeypatch.setattr(saved_stage, "PART_BYTES", 64)
    saved = stage()
    uri = f"file:{tmp_path}/model"
    write_stage(files, uri, saved)
    size = len(saved.arrays["moments"])
    assert len(parts_in(tmp_path / "model" / "moments")) == -(-size // 64)
    assert frame.sparkSession.read.parquet(f"{uri}/moments").count() == -(-size // 16)
    assert read_stage(files, uri) == saved
    assert PCAModel.load(uri).numRows == N


def test_neither_k_nor_both_are_refused():
    for asked in ({"k": None}, {"k": 3, "variance": 0.5}):
        with pytest.raises(ValueError, match="give either k or variance"):
            stage(**asked)
    assert stage(k=None, variance=0.5).params["variance"] == 0.5


def test_something_that_exists_is_not_written_over(tmp_path: Path, files: Files):
    uri = f"file:{tmp_path}/model"
    write_stage(files, uri, stage())
    with pytest.raises(FileExistsError, match=r"model exists: a stage is saved to a new folder"):
        write_stage(files, uri, stage())


# Read without Spark


@pytest.mark.parametrize("solver", ["covariance", "randomized"])
def test_what_spark_wrote_is_read_without_it(frame: DataFrame, tmp_path: Path, solver: str, files: Files):
    model = PCA(k=3, inputCol="x", outputCol="y", solver=solver, whiten=True).fit(frame)
    uri = f"file:{tmp_path}/model"
    model.save(uri)
    saved = read_stage(files, uri, "PCAModel")
    assert (saved.name, saved.uid) == ("PCAModel", model.uid)
    assert saved.params == {"k": 3, "inputCol": "x", "outputCol": "y", "solver": solver, "whiten": True}
    assert saved.defaults["maxK"] == 256
    found = from_arrays(saved.arrays)
    assert found.pca.to_bytes() == model.pca.to_bytes()
    assert (found.moments is None) == (solver == "randomized")
    rows = pa.array(matrix().tolist())
    projected = [row.y for row in sorted(model.transform(frame).collect())]
    assert projected == found.pca.transform(rows, whiten=True).to_pylist()


def test_every_stage_can_be_read(frame: DataFrame, tmp_path: Path, files: Files):
    ImageFeaturizer(inputCol="a", outputCol="b", model="pixels", inputSize=[3, 2]).save(f"file:{tmp_path}/featurizer")
    saved = read_stage(files, f"file:{tmp_path}/featurizer")
    assert (saved.name, saved.params["inputSize"], saved.arrays) == ("ImageFeaturizer", [3, 2], {})
    scaler = StandardScaler(inputCol="x", outputCol="y").fit(frame)
    scaler.save(f"file:{tmp_path}/scaler")
    saved = read_stage(files, f"file:{tmp_path}/scaler", "StandardScalerModel")
    np.testing.assert_array_equal(np.frombuffer(saved.arrays["mean"]), scaler.mean.toArray())


def test_odd_params_and_bytes_come_back(tmp_path: Path, files: Files):
    params = {"outputCol": 'quo"te\n日本 \u2028', "mean": [[0.1, 1e300], None]}
    arrays = {"none": b"", "one": b"\0", "many": bytes(range(256)) * 1000}
    saved = SavedStage("PCAModel", new_uid("PCAModel"), params, {}, arrays)
    write_stage(files, f"file:{tmp_path}/a b%20c", saved)
    assert read_stage(files, f"file:{tmp_path}/a b%20c") == saved


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"SCMO") + 100  # inside of the values, which no format checks
    content[at] ^= 1
    path.write_bytes(content)


def to_text(path: Path) -> None:
    path.write_text("no Parquet")


def other_columns(path: Path) -> None:
    pq.write_table(pa.table({"chunk": [0]}), path)


DAMAGES = [cut, flip, to_text, other_columns, Path.unlink]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_array_is_refused_on_both_sides(spark: SparkSession, tmp_path: Path, damage: Any):
    uri = f"file:{tmp_path}/model"
    write_stage(ArrowFiles(uri), uri, stage())
    damage(tmp_path / "model" / "moments" / "part-00000.parquet")
    with pytest.raises(SparkciderError, match="moments is incomplete or damaged: ") as raised:
        read_stage(ArrowFiles(uri), uri)
    assert "\n" not in str(raised.value)
    assert spark is not None
    with pytest.raises(Exception, match=r"moments is incomplete or damaged|moments/part-00000.parquet"):
        PCAModel.load(uri)


@pytest.mark.parametrize("line", ["", "{", "[1]", '"text"', '{"class":"sparkcider.feature.PCAModel"}'])
def test_damaged_metadata_are_refused(tmp_path: Path, spark: SparkSession, line: str):
    uri = f"file:{tmp_path}/model"
    write_stage(ArrowFiles(uri), uri, stage())
    (tmp_path / "model" / "metadata" / "part-00000.txt").write_text(f"{line}\n")
    with pytest.raises(SparkciderError, match=r"metadata is incomplete or damaged: it is not the JSON line of a saved"):
        read_stage(ArrowFiles(uri), uri)
    assert spark is not None
    with pytest.raises(SparkciderError, match=r"metadata is incomplete or damaged"):
        PCAModel.load(uri)


@pytest.mark.parametrize("name", ["../elsewhere", "/etc", "pc/../../x", "", "a b"])
def test_arrays_cannot_lead_out_of_the_folder(spark: SparkSession, tmp_path: Path, name: str):
    uri = f"file:{tmp_path}/model"
    write_stage(ArrowFiles(uri), uri, stage())
    metadata = tmp_path / "model" / "metadata" / "part-00000.txt"
    told = json.loads(metadata.read_text())
    told["arrays"] = {name: "0" * 64}
    metadata.write_text(json.dumps(told) + "\n")
    with pytest.raises(SparkciderError, match="arrays must be folders of the stage"):
        read_stage(ArrowFiles(uri), uri)
    assert spark is not None
    with pytest.raises(SparkciderError, match="arrays must be folders of the stage"):
        PCAModel.load(uri)


def test_a_stage_of_another_class_or_none_is_refused(tmp_path: Path, files: Files):
    uri = f"file:{tmp_path}/model"
    with pytest.raises(FileNotFoundError, match=r"model holds no saved stage: there is no text in file:.*/metadata$"):
        read_stage(files, uri)
    write_stage(files, uri, stage())
    with pytest.raises(
        SparkciderError, match=r"holds a sparkcider\.feature\.PCAModel, expected a sparkcider\.feature\.PCA$"
    ):
        read_stage(files, uri, "PCA")
    foreign = tmp_path / "model" / "metadata" / "part-00000.txt"
    foreign.write_text(foreign.read_text().replace("sparkcider.feature.", "pyspark.ml.feature."))
    (tmp_path / "model" / "metadata" / ".part-00000.txt.crc").unlink(missing_ok=True)
    with pytest.raises(
        SparkciderError, match=r"holds a pyspark\.ml\.feature\.PCAModel, expected a sparkcider\.feature\.\*$"
    ):
        read_stage(files, uri)

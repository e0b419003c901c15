"""A job writes its result as tables of a catalog, too: Spark's own, and Delta; the guide adds new images to them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from maven_jars import delta
from spark_clusters import environment
from table_script import short

from sparkcider.job import JobConfig, choose_engine
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
COLUMNS = ["path", "label", "length", "modified", "features", "error", "error_kind"]
PER_LABEL, N_LABELS = 3, 20
N_NEW = 5

Told = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Told]:
    known: dict[str, Told] = {}

    def run(form: str) -> Told:
        if form not in known:
            folder = tmp_path_factory.mktemp(form)
            jars = [str(jar) for jar in delta(folder)] if form == "delta" else []
            write_samples(folder / "images", images_per_label=PER_LABEL)
            new = sorted((folder / "images").glob("*/*"))[:N_NEW]
            for path in new:
                target = folder / "new-images" / path.parent.name / f"new-{path.name}"
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(path, target)
            command = [sys.executable, str(HERE / "table_script.py"), form, str(folder), *jars]
            done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr[-4000:]
            known[form] = folder, {**json.loads((folder / "told.json").read_text()), "stderr": done.stderr}
        return known[form]

    return run


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_the_tables_hold_what_the_folder_does(told: Callable[[str], Told], form: str):
    folder, found = told(form)
    written = found["written"]
    assert found["code"] == 0
    assert written["columns"] == COLUMNS
    assert (folder / "warehouse" / "lake.db" / "fruits" / "_delta_log").is_dir() == (form == "delta")
    n_files = sum(path.is_file() for path in (folder / "images").rglob("*"))
    assert written["rows"] == n_files
    assert len(written["pca"]) == n_files - len(written["kinds"]) > 0
    assert written["kinds"] == ["truncated"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_what_cannot_be_written_fails_before_any_work(told: Callable[[str], Told], form: str):
    _, found = told(form)
    name = "spark_catalog.lake.fruits" if form == "delta" else "lake.fruits"
    assert found["code_again"] == found["code_of_no_schema"] == 2
    assert not found["is_there_again"]
    assert f"table {name} exists already: use mode 'overwrite', or choose another name" in found["stderr"]
    assert "--to-table pond.fruits: there is no schema pond: create it, or correct the name" in found["stderr"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_new_images_are_added_once(told: Callable[[str], Told], form: str):
    folder, found = told(form)
    written, appended = found["written"], found["appended"]
    assert appended["rows"] == written["rows"] + N_NEW
    assert found["appended_again"]["rows"] == appended["rows"]
    new = [short(path) for path in map(str, (folder / "new-images").rglob("*.jpg"))]
    assert len(new) == N_NEW
    for name in new:  # they are the same images under another name
        assert appended["features"][name] == written["features"][name.replace("new-", "")]
    assert set(appended["pca"]) - set(written["pca"]) == {name for name in new if appended["features"][name]}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("form", ["parquet", "delta"])
def test_overwriting_replaces_the_tables(told: Callable[[str], Told], form: str):
    folder, found = told(form)
    assert found["code_of_overwrite"] == 0
    assert found["replaced"]["rows"] == found["written"]["rows"]
    of_files = pq.read_table(folder / "out" / "pca").to_pylist()
    assert found["replaced"]["pca"] == {short(row["path"]): row["pca"] for row in of_files}
    assert found["replaced"]["pca"] != found["written"]["pca"]  # without the centre


def test_a_job_with_a_table_runs_on_spark():
    config = JobConfig(input="images", output="out", model="pixels", to_table="lake.fruits")
    assert choose_engine(config, environment={}) == ("spark", "to_table is a table of Spark's catalog")
    with pytest.raises(
        ValueError, match=r"^to_table lake\.fruits is a table of Spark's catalog: use engine spark or auto$"
    ):
        JobConfig(input="images", output="out", model="pixels", to_table="lake.fruits", engine="embedded")


def test_the_table_of_components_has_the_name_of_the_other():
    def names(name: str, *, pca: bool = True) -> dict[str, str]:
        return JobConfig(input="in", output="out", model="pixels", to_table=name, pca=pca).table_names

    assert names("a.b.c") == {"features": "a.b.c", "pca": "a.b.c_pca"}
    assert names("a.`b c`") == {"features": "a.`b c`", "pca": "a.`b c_pca`"}
    assert names("c", pca=False) == {"features": "c"}
    assert JobConfig(input="in", output="out", model="pixels").table_names == {}

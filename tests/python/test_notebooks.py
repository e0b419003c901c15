"""Every notebook runs on local Spark without an error, and what is committed is what comes out."""

from __future__ import annotations

import copy
import importlib.util
from contextlib import nullcontext

import pytest

pytest.importorskip("nbclient", reason="needs the extra sparkcider[notebooks]")
pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")

from connect_port import connect_port
from run_notebooks import NAMES, NOTEBOOKS, VARIES, code_cells, pictures_of, read, run, text_of

LARGEST = 300_000
"""Bytes: a repository keeps every version of its pictures."""


def varies(cell) -> bool:
    return VARIES in cell.metadata.get("tags", [])


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_runs_and_gives_what_is_committed(name):
    if name == "03_from_keras_udf" and importlib.util.find_spec("tensorflow") is None:
        pytest.skip("needs the extra sparkcider[export]: TensorFlow, for Python 3.10 to 3.13 on Linux")
    if name == "07_findings" and importlib.util.find_spec("umap") is None:
        pytest.skip("needs umap-learn, of the extra sparkcider[dev]")
    committed = read(name)
    with connect_port() if name == "05_databricks" else nullcontext():
        given = code_cells(run(name, copy.deepcopy(committed)))
    for kept, found in zip(code_cells(committed), given):
        where = f"{name}, {found.id}: run `make notebooks` and look at what changed"
        assert pictures_of(found) == pictures_of(kept), where
        if varies(found):
            assert bool(text_of(found)) == bool(text_of(kept)), where
        else:
            assert text_of(found) == text_of(kept), where


@pytest.mark.parametrize("name", NAMES)
def test_the_notebook_is_small_and_shows_its_pictures(name):
    cells = code_cells(read(name))
    assert (NOTEBOOKS / f"{name}.ipynb").stat().st_size < LARGEST
    assert sum(map(pictures_of, cells)) >= 2
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))  # all of one run


def test_no_notebook_is_forgotten():
    assert {path.stem for path in NOTEBOOKS.glob("[0-9]*.ipynb")} == set(NAMES)

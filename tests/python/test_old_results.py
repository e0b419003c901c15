"""A result of an earlier version, d3c08c6, opens: `--resume` continues it, `report` and `nearest` read it."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any, Callable

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from sparkcider import _native, cli
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples

Run = Callable[..., dict[str, Any]]

RESULTS = Path(__file__).parent.parent / "data" / "old_results"
"""tests/data/make_old_results.py says how they were made, from `IMAGES`."""
IMAGES = "file:/tmp/sparkcider-samples/images"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The images of these results, with the times that they had."""
    folder = tmp_path / "images"
    write_samples(folder, images_per_label=2)
    table = pq.read_table(RESULTS / "complete" / "features")
    for path, modified in zip(table["path"].to_pylist(), table["modified"].to_pylist()):
        os.utime(folder / path[len(IMAGES) + 1 :], ns=(0, modified * 1_000_000))
    return folder


def here(name: str, images: Path) -> Path:
    """A copy of a result, as if it had been made of these images on this machine."""
    folder = shutil.copytree(RESULTS / name, images.parent / name.replace("unfinished", "complete"))
    for part in (folder / "features").iterdir():
        table = pq.read_table(part)
        paths = pc.replace_substring(table["path"], IMAGES, f"file:{images}")
        pq.write_table(table.set_column(0, "path", paths), part)
    facts = json.loads((folder / "job.json").read_text())
    assert facts["sparkcider"] == "0.2.0"  # no version of the numbers, no input
    (folder / "job.json").write_text(json.dumps({**facts, "onnxruntime": _native._onnxruntime()[1]}))
    return folder


def features(folder: Path) -> pa.Table:
    return pq.read_table(folder / "features").sort_by("path").select(["label", "features", "error_kind", "digest"])


@pytest.mark.parametrize(("name", "todo"), [("complete", 0), ("unfinished.partial", 17)])
def test_resume_continues_it(run: Run, images: Path, name: str, todo: int):
    here(name, images)
    out = images.parent / "complete"
    summary = run(JobConfig(input=str(images), output=str(out), model="fruits-tiny", pca_k=4, resume=True))
    assert (summary["embedded"], summary["removed"], summary["images"]) == (todo, 0, 40)
    old, new = features(RESULTS / "complete"), features(out)
    assert new.drop_columns("features").equals(old.drop_columns("features"))
    for ours, theirs in zip(new["features"].to_pylist(), old["features"].to_pylist()):
        assert ours == pytest.approx(theirs, abs=1e-4)  # another processor may have made them


def test_an_unchanged_one_is_left_alone(run: Run, images: Path):
    folder = here("complete", images)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    run(JobConfig(input=str(images), output=str(folder), model="fruits-tiny", pca_k=3, resume=True))
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_report_and_nearest_open_it(images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = shutil.copytree(RESULTS / "complete", tmp_path / "copy")
    assert cli.main(["report", str(folder)]) == 0
    assert "Apple Green" in (folder / "report.html").read_text()
    capsys.readouterr()
    assert cli.main(["nearest", str(folder), "--image", str(images / "Lime" / "000.jpg"), "--k", "1"]) == 0
    assert f"{IMAGES}/Lime/000.jpg" in capsys.readouterr().out

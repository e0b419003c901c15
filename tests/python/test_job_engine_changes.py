"""Each engine continues what the other one has left, at every stage."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Callable

import pandas as pd
import pytest
from job_runs import rows

from sparkcider import job
from sparkcider.job import JobConfig, tables, waves
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

ENGINES = pytest.mark.parametrize(("first", "second"), [("spark", "embedded"), ("embedded", "spark")])

Run = Callable[..., "dict[str, Any]"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """41 files, one of them broken."""
    write_samples(tmp_path / "images", images_per_label=2)
    return tmp_path / "images"


@pytest.fixture
def run(spark: SparkSession, images: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the job of these images on an engine, in parts of a few rows; `until` names the line at which it ends."""
    monkeypatch.setattr(waves, "FEWEST_FILES", 8)
    monkeypatch.setattr("sparkcider.job.source.BLOCK_ROWS", 8)
    monkeypatch.setattr(tables, "GROUP_ROWS", 8)
    monkeypatch.setattr(tables, "PART_SECONDS", 0.0)

    def run_on(engine: str, *, until: str = "never", out: str = "out", **settings: Any) -> dict[str, Any]:
        def progress(line: str) -> None:
            if line.startswith(until):
                raise RuntimeError("pulled the plug")

        config = JobConfig(str(images), str(images.parent / out), "pixels", pca_k=3, engine=engine, **settings)
        return job.run(config, spark=spark if engine == "spark" else None, progress=progress)

    return run_on


@pytest.fixture
def clean(run: Run, images: Path) -> pd.DataFrame:
    run("embedded", out="clean")
    return rows(images.parent / "clean")


def stopped(run: Run, engine: str, *, until: str = "pca ", **settings: Any) -> None:
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(engine, until=until, **settings)


def finished(run: Run, engine: str, images: Path, clean: pd.DataFrame, todo: int, **settings: Any) -> None:
    assert run(engine, resume=True, **settings)["embedded"] == todo
    pd.testing.assert_frame_equal(rows(images.parent / "out"), clean)
    assert not (images.parent / "out.partial").exists()
    names = {path.suffix for path in (images.parent / "out" / "features").iterdir() if path.name[0] not in "._"}
    assert names == {".parquet"}


@ENGINES
def test_features_that_are_begun(run: Run, images: Path, clean: pd.DataFrame, first: str, second: str):
    stopped(run, first)
    features = images.parent / "out.partial" / "features"
    part, another = sorted(features.glob("*.parquet"))[1:3]
    # what either engine leaves of rows that it was writing
    part.rename(features / "part-00007.parquet.open")
    (features / "_temporary" / "0").mkdir(parents=True)
    another.rename(features / "_temporary" / "0" / another.name)
    todo = len(clean) - len(pd.concat(map(pd.read_parquet, features.glob("*.parquet"))))
    finished(run, second, images, clean, todo)


@ENGINES
def test_features_that_are_complete(run: Run, images: Path, clean: pd.DataFrame, first: str, second: str):
    stopped(run, first)
    finished(run, second, images, clean, 0)


@ENGINES
def test_files_of_later_stages(run: Run, images: Path, clean: pd.DataFrame, first: str, second: str):
    stopped(run, first, until="report", formats=("json", "csv"))
    assert (images.parent / "out.partial" / "features-json").is_dir()
    finished(run, second, images, clean, 0, formats=("json", "csv"))


@ENGINES
def test_rows_that_are_carried_over_from_a_result(run: Run, images: Path, first: str, second: str):
    run(first)
    (images / "Lime" / "000.jpg").unlink()
    shutil.copy(images / "Lemon" / "000.jpg", images / "Lemon" / "new.jpg")
    run("embedded", out="clean")
    finished(run, second, images, rows(images.parent / "clean"), 1)


@ENGINES
def test_rows_that_were_being_carried_over(run: Run, images: Path, clean: pd.DataFrame, first: str, second: str):
    stopped(run, first)
    partial = images.parent / "out.partial"
    (partial / "features").rename(partial / "features-0123abcd")
    parts = sorted((partial / "features-0123abcd").glob("*.parquet"))
    (partial / "features").mkdir()
    shutil.copy(parts[0], partial / "features")
    parts[1].unlink()
    todo = len(clean) - len(pd.concat(map(pd.read_parquet, (partial / "features-0123abcd").glob("*.parquet"))))
    finished(run, second, images, clean, todo)


@ENGINES
def test_small_parts_that_are_joined(
    run: Run, images: Path, clean: pd.DataFrame, first: str, second: str, monkeypatch: pytest.MonkeyPatch
):
    stopped(run, first)
    features = images.parent / "out.partial" / "features"
    min(features.glob("*.parquet")).unlink()
    todo = len(clean) - len(pd.concat(map(pd.read_parquet, features.glob("*.parquet"))))
    monkeypatch.setattr("sparkcider.job.embedded.SMALL_PARTS", 1)
    finished(run, second, images, clean, todo)


def test_rows_that_are_set_aside_survive_a_run_that_is_refused(run: Run, images: Path, clean: pd.DataFrame):
    stopped(run, "embedded")
    partial = images.parent / "out.partial"
    (partial / "features").rename(partial / "features-0123abcd")
    away = shutil.move(images, images.parent / "away")
    shutil.copytree(images.parent / "away" / "Lime", images / "Lime")
    with pytest.raises(ValueError, match="of 41 rows are of files"):
        run("embedded", resume=True)
    shutil.rmtree(images)
    shutil.move(away, images)
    finished(run, "embedded", images, clean, 0)

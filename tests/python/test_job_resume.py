"""Nothing is lost and nothing is embedded twice: unfinished work, `resume`, one writer at a time.

Over 400 lines, as all tests share the small images and the clean run.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkcider import job
from sparkcider.job import JobConfig, TooManyErrorsError, processes, resume, source, tables
from sparkcider.job.dependencies import NUMBERS
from sparkcider.job.resume import DONE, Moved, compare
from sparkcider.job.source import KEYS
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, images_per_label=2)
    return folder


@pytest.fixture
def images(samples: Path, tmp_path: Path) -> Path:
    """Images of a test's own, to be changed."""
    return shutil.copytree(samples, tmp_path / "images")


def config(images: Path, **settings: Any) -> JobConfig:
    settings.setdefault("pca_k", 3)
    return JobConfig(input=str(images), output=str(images.parent / "out"), model="pixels", **settings)


def rows(out: Path) -> dict[str, tuple[Any, ...]]:
    table = pd.read_parquet(out / "features")
    assert table.path.is_unique
    features = [None if row is None else np.asarray(row).tobytes() for row in table.features]
    return dict(zip(table.path, zip(table.label, table.length, table.modified, features, table.error)))


def fail_at(stage: str) -> Callable[[str], None]:
    def progress(line: str) -> None:
        if line.startswith(stage):
            raise RuntimeError("pulled the plug")

    return progress


@pytest.fixture
def clean(run: Run, images: Path) -> Path:
    """The result of one run without a fault, in a folder of its own."""
    out = images.parent / "clean"
    run(dataclasses.replace(config(images), output=str(out)))
    return out


def test_a_pca_that_fails_keeps_the_features_and_resume_embeds_nothing(run: Run, images: Path, clean: Path):
    lines: list[str] = []

    def progress(line: str) -> None:
        lines.append(line)
        fail_at("pca ")(line)

    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(config(images), progress)
    out, partial = images.parent / "out", images.parent / "out.partial"
    assert not out.exists()
    assert any(str(partial) in line and "--resume" in line for line in lines)
    assert not (partial / "lock").exists()
    shutil.move(images, images.parent / "moved")  # whoever reads an image now fails
    (images.parent / "moved").rename(images)
    summary = run(config(images, resume=True))
    assert summary["embedded"] == 0
    assert rows(out) == rows(clean)
    assert not partial.exists()


def test_unfinished_work_is_neither_overwritten_nor_mixed_by_a_plain_run(run: Run, images: Path):
    with pytest.raises(RuntimeError):
        run(config(images), fail_at("pca "))
    with pytest.raises(FileExistsError, match=r"out.partial holds the unfinished work .*--resume goes on with it"):
        run(config(images))
    summary = run(config(images, mode="overwrite"))
    assert summary["embedded"] == summary["input"]["files"]
    assert not (images.parent / "out.partial").exists()


def test_an_unchanged_result_is_left_alone(run: Run, images: Path):
    run(config(images))
    out = images.parent / "out"
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    lines: list[str] = []
    run(config(images, resume=True), lines.append)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert "nothing has changed" in lines[-1]


def test_new_changed_and_deleted_files_are_the_only_work(run: Run, images: Path):
    run(config(images))
    old = rows(images.parent / "out")
    shutil.copy(images / "Lime" / "000.jpg", images / "Lime" / "new.jpg")
    shutil.copy(images / "Lime" / "001.jpg", images / "Lemon" / "000.jpg")
    (images / "Mango" / "000.jpg").unlink()
    summary = run(config(images, resume=True))
    out = images.parent / "out"
    assert summary["embedded"] == 2
    found = rows(out)
    assert set(found) == {f"file:{path}" for path in images.rglob("*.*") if path.is_file()}
    assert found[f"file:{images}/Lime/new.jpg"][3] == old[f"file:{images}/Lime/000.jpg"][3]
    assert found[f"file:{images}/Lemon/000.jpg"][3] == old[f"file:{images}/Lime/001.jpg"][3]
    unchanged = set(old) & set(found) - {f"file:{images}/Lemon/000.jpg"}
    assert {path: found[path] for path in unchanged} == {path: old[path] for path in unchanged}
    again = images.parent / "again"
    run(dataclasses.replace(config(images), output=str(again)))
    assert rows(again) == found
    ours, theirs = (pd.read_parquet(folder / "pca").sort_values("path") for folder in (out, again))
    np.testing.assert_allclose(np.stack(ours.pca), np.stack(theirs.pca), atol=1e-4)


def test_what_a_killed_write_of_spark_has_left_is_not_adopted(run: Run, images: Path, clean: Path):
    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(config(images), fail_at("pca "))
    features = images.parent / "out.partial" / "features"
    parts = sorted(features.glob("*.parquet"))
    # a task that was finished when its write was killed: its rows are in no part, so they are embedded again
    task = features / "_temporary" / "0" / "task_202611270000000000000000000000000_0001_m_000000"
    task.mkdir(parents=True)
    shutil.copy(parts[0], task / "part-00000-of-a-killed-write.snappy.parquet")
    parts[-1].unlink()
    run(config(images, resume=True))
    assert rows(images.parent / "out") == rows(clean)
    assert not (images.parent / "out" / "features" / "_temporary").exists()


def test_changed_pca_and_label_options_embed_nothing(run: Run, images: Path):
    run(config(images))
    assert run(config(images, pca_k=5, resume=True))["pca"]["k"] == 5
    summary = run(config(images, label_regex="/([A-Z])[^/]*/[^/]*$", formats=("json",), resume=True))
    assert summary["embedded"] == 0
    assert {row[0] for row in rows(images.parent / "out").values()} <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    assert (images.parent / "out" / "features-json").is_dir()


def test_changed_features_are_refused_and_each_difference_named(run: Run, images: Path):
    run(config(images))
    changed = config(images, resume=True, options={"filter": "box", "input_size": 8})
    with pytest.raises(ValueError, match=r"filter was not set and is box; input_size was not set and is 8; --mode"):
        run(changed)


def test_versions_with_the_same_numbers_continue_each_other_s_results(run: Run, images: Path):
    run(config(images))
    job_file = images.parent / "out" / "job.json"
    facts = json.loads(job_file.read_text())
    first = {name: value for name, value in facts.items() if name not in ("numbers", "input")}
    job_file.write_text(json.dumps({**first, "sparkcider": "0.2.0"}))  # as 0.2.0 wrote it
    assert run(config(images, resume=True, pca_k=5))["embedded"] == 0
    assert json.loads(job_file.read_text()) == facts
    for other, was in (({**facts, "numbers": 0}, "0"), ({**first, "sparkcider": "0.1.0"}, r"of sparkcider 0\.1\.0")):
        job_file.write_text(json.dumps(other))
        with pytest.raises(ValueError, match=rf"numbers was {was} and is {NUMBERS}; --mode"):
            run(config(images, resume=True))


def test_another_input_is_refused_by_name(run: Run, images: Path):
    run(config(images))
    before = rows(images.parent / "out")
    shutil.copytree(images / "Lime", images.parent / "others" / "Lime")
    with pytest.raises(
        ValueError, match=rf"its input was file:{images} and is file:{images.parent}/others; .*--same-i"
    ):
        run(dataclasses.replace(config(images, resume=True), input=str(images.parent / "others")))
    assert rows(images.parent / "out") == before
    assert not (images.parent / "out.partial").exists()


def test_images_that_moved_keep_their_rows(run: Run, images: Path):
    run(config(images))
    before = rows(images.parent / "out")
    moved = images.parent / "moved"
    images.rename(moved)
    shutil.copy(moved / "Lime" / "000.jpg", moved / "Lemon" / "000.jpg")  # another length, so embedded anew
    asked = dataclasses.replace(config(images, resume=True, same_input=True), input=f"{moved}/")
    summary = run(asked)
    assert (summary["embedded"], summary["removed"]) == (1, 0)
    after = rows(images.parent / "out")
    changed = f"file:{images}/Lemon/000.jpg"
    same = {path.replace(str(images), str(moved)): row for path, row in before.items() if path != changed}
    assert {path: after[path] for path in same} == same
    assert set(after) == {*same, changed.replace(str(images), str(moved))}
    assert run(dataclasses.replace(asked, same_input=False))["embedded"] == 1  # nothing has changed since then
    assert json.loads((images.parent / "out" / "job.json").read_text())["input"] == f"file:{moved}"


def test_rows_of_a_store_that_each_engine_calls_by_another_name_hold():
    done = pa.table([["s3a://b/a", "s3://b/c"], ["x", "x"], [1, 2], [7, 7], [None] * 2], schema=DONE)
    files = pa.table([["s3://b/a", "s3://b/c"], ["x", "x"], [1, 2], [7, 7]], schema=KEYS)
    found = compare(done, files)
    assert found.kept["path"].to_pylist() == ["s3a://b/a", "s3://b/c"]
    assert found.kept["now"].to_pylist() == ["s3://b/a", "s3://b/c"]
    assert (found.unchanged, len(found.todo)) == (False, 0)
    other = Moved.between("s3n://b/in/*.jpg", "s3://c/all")
    assert other is not None
    assert other.today(pa.chunked_array([["s3://b/in/x.jpg", "s3://b/x.jpg"]])).to_pylist() == [
        "s3://c/all/x.jpg",
        None,
    ]


def test_many_rows_whose_files_are_gone_are_not_removed_by_mistake(run: Run, images: Path):
    run(config(images))
    out, partial = images.parent / "out", images.parent / "out.partial"
    before = rows(out)
    away = images.parent / "away"
    for label in sorted(path for path in images.iterdir())[:12]:  # a mount that is missing
        away.mkdir(exist_ok=True)
        label.rename(away / label.name)
    gone = len(list(away.rglob("*.jpg")))
    with pytest.raises(
        ValueError, match=rf"{gone} of 41 rows are of files .*not mounted\? .*--allow-removed"
    ) as refused:
        run(config(images, resume=True))
    assert f"not in file:{images} any more" in str(refused.value)
    assert rows(out) == before
    assert not partial.exists()
    lines: list[str] = []
    summary = run(config(images, resume=True, allow_removed=True), lines.append)
    assert summary["removed"] == json.loads((out / "summary.json").read_text())["removed"] == gone
    assert any(f"{gone} removed (their files are not there)" in line for line in lines)
    assert len(rows(out)) == 41 - gone


def test_unfinished_rows_whose_files_are_gone_are_not_removed_by_mistake_either(run: Run, images: Path):
    with pytest.raises(RuntimeError):
        run(config(images), fail_at("pca "))
    features = images.parent / "out.partial" / "features"
    before = sorted(path.name for path in features.iterdir())
    for label in sorted(images.iterdir())[:9]:
        shutil.move(label, images.parent / f"away-{label.name}")
    lines: list[str] = []
    with pytest.raises(ValueError, match="19 of 41 rows are of files"):
        run(config(images, resume=True), lines.append)
    assert sorted(path.name for path in features.iterdir()) == before
    assert lines[-1].startswith("kept ")


def test_a_plain_run_says_what_it_finds_and_the_two_ways_on(run: Run, images: Path):
    with pytest.raises(RuntimeError):
        run(config(images), fail_at("pca "))
    lines: list[str] = []
    with pytest.raises(FileExistsError, match=r"--resume goes on with it, --mode overwrite starts over"):
        run(config(images), lines.append)
    (found,) = [line for line in lines if line.startswith("found ")]
    assert re.search(
        r"out\.partial has 41 rows in \d parts, the last one of 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", found
    )
    assert not any(line.startswith("kept ") for line in lines)


def test_a_second_writer_is_told_who_writes(run: Run, images: Path):
    def progress(line: str) -> None:
        if line.startswith("pca "):
            run(config(images, resume=True))

    with pytest.raises(FileExistsError, match=rf"is being written by process {os.getpid()} on .*wait until it ends"):
        run(config(images), progress)


def test_the_work_of_a_dead_process_is_taken_over_by_resume_only(run: Run, images: Path):
    with pytest.raises(RuntimeError):
        run(config(images), fail_at("pca "))
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    claims = images.parent / ".out.lock"
    claims.mkdir()
    (claims / "holds-0-000000001").write_text(json.dumps({**processes.this_process(), "process": dead.pid}))
    with pytest.raises(FileExistsError, match=r"out.partial holds the unfinished work .*--resume"):
        run(config(images))
    assert run(config(images, resume=True))["embedded"] == 0
    assert not claims.exists()


def test_an_image_with_two_rows_is_repaired(run: Run, images: Path, clean: Path):
    """As two writers left it that did not know of one another: whole parts twice, complete or not."""
    run(config(images))
    out = images.parent / "out"
    doubled = min((out / "features").glob("*.parquet"))
    n_rows = pq.read_metadata(doubled).num_rows
    shutil.copy(doubled, doubled.with_name("part-00077-other.parquet"))
    lines: list[str] = []
    summary = run(config(images, resume=True), lines.append)
    assert f"repaired  {n_rows} rows dropped whose images have another row in file:{out}/features" in lines
    assert (summary["embedded"], summary["input"]["files"]) == (0, len(rows(clean)))
    assert rows(out) == rows(clean)
    shutil.move(out, images.parent / "out.partial")
    for name in ("summary.json", "report.html"):
        (images.parent / "out.partial" / name).unlink()
    part = min((images.parent / "out.partial" / "features").glob("*.parquet"))
    shutil.copy(part, part.with_name("part-00077-other.parquet"))
    lines.clear()
    assert run(config(images, resume=True), lines.append)["embedded"] == 0
    assert sum(line.startswith("repaired ") for line in lines) == 1
    assert rows(out) == rows(clean)


def test_of_two_rows_of_an_image_the_one_that_holds_today_is_kept():
    rows = [
        ("a", "x", 1, 7, "missing"), ("a", "x", 1, 7, None), ("b", "x", 2, 6, None), ("b", "x", 2, 7, None),
        ("c", "x", 3, 7, None), ("c", "x", 3, 7, None), ("d", "x", 4, 7, "unreachable"),
    ]  # fmt: skip
    done = pa.table(list(zip(*rows)), schema=resume.DONE)
    files = pa.table([["a", "b", "c", "d"], ["x", "y", "x", "x"], [1, 2, 3, 4], [7, 7, 7, 7]], schema=source.KEYS)
    found = resume.compare(done, files)
    assert (found.unchanged, found.doubled, found.todo["path"].to_pylist()) == (False, 3, ["d"])
    kept = [("a", "x", 1, 7, None), ("b", "y", 2, 7, None), ("c", "x", 3, 7, None)]
    assert found.kept["now"].to_pylist() == ["a", "b", "c"]
    assert list(zip(*found.kept.select(resume.DONE.names).to_pydict().values())) == kept
    chosen = resume.Chosen(found.kept)
    groups = [chosen.of(done.slice(start, 3)) for start in (0, 3, 6)]  # a row's twin may be in another group
    assert list(zip(*pa.concat_tables(groups).to_pydict().values())) == kept
    once = resume.compare(found.kept.select(resume.DONE.names), files)
    assert (once.unchanged, once.doubled) == (True, 0)


def test_rows_that_come_twice_while_images_are_embedded_are_dropped(
    run: Run, images: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
):
    """On Spark a part that comes while a wave is written is taken for one of the wave."""
    from sparkcider.job import stages

    def twice(partial: Any) -> None:
        part = min((images.parent / "out.partial" / "features").glob("*.parquet"))
        shutil.copy(part, part.with_name("part-00077-late.parquet"))
        partial.adopt("features")

    lines: list[str] = []
    embed = stages._embed

    def embedded(config: JobConfig, engine: Any, *args: Any) -> Any:
        work = engine.embed
        engine.embed = lambda todo, partial, total: (work(todo, partial, total), twice(partial))
        return embed(config, engine, *args)

    monkeypatch.setattr(stages, "_embed", embedded)
    run(config(images), lines.append)
    assert rows(images.parent / "out") == rows(clean)
    assert pd.read_parquet(images.parent / "out" / "pca").path.is_unique
    assert any(line.startswith("repaired ") and "out.partial/features" in line for line in lines)


def test_a_part_that_comes_while_the_job_runs_is_not_its_own(run: Run, images: Path, clean: Path):
    """In a store nothing stops a writer that has lost its lock: its part comes when the features are counted."""

    def progress(line: str) -> None:
        if line.startswith("pca "):
            part = min((images.parent / "out.partial" / "features").glob("*.parquet"))
            shutil.copy(part, part.with_name("part-00077-late.parquet"))

    run(config(images, formats=("csv",)), progress)
    out = images.parent / "out"
    assert rows(out) == rows(clean)
    assert pd.read_parquet(out / "pca").path.is_unique
    texts = [pd.read_csv(path) for path in (out / "features-csv").glob("*.csv")]
    assert sorted(pd.concat(texts).path) == sorted(rows(clean))


def test_a_late_part_that_comes_while_images_are_embedded_is_not_counted(
    run: Run, images: Path, clean: Path, monkeypatch: pytest.MonkeyPatch
):
    from sparkcider.job import stages

    carry_over = stages.carry_over
    with pytest.raises(RuntimeError):
        run(config(images), fail_at("pca "))
    out, features = images.parent / "out", images.parent / "out.partial" / "features"

    def and_then_late(*args: Any, **options: Any) -> Any:
        todo = carry_over(*args, **options)
        part = min(features.glob("*.parquet"))
        shutil.copy(part, part.with_name("part-00077-late.parquet"))
        return todo

    monkeypatch.setattr(stages, "carry_over", and_then_late)
    shutil.copy(images / "Lime" / "000.jpg", images / "Lime" / "new.jpg")
    assert run(config(images, resume=True))["embedded"] == 1
    found = rows(out)
    found.pop(f"file:{images}/Lime/new.jpg")
    assert found == rows(clean)


def test_a_job_that_is_mostly_garbage_ends_and_keeps_what_was_done(run: Run, images: Path):
    for number in range(30):
        (images / "Lime" / f"page{number}.jpg").write_text("<html>not found</html>")
    with pytest.raises(TooManyErrorsError, match=r"31 of 71 images failed \(43.7%\), more than max_error_rate 0.1"):
        run(config(images, max_error_rate=0.1))
    assert not (images.parent / "out").exists()
    summary = run(config(images, max_error_rate=0.5, resume=True))
    assert (summary["embedded"], summary["errors"]) == (0, 31)


def test_a_part_has_its_name_only_when_it_is_complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import ArrowFiles

    partial = Partial(ArrowFiles(f"file:{tmp_path}"), f"file:{tmp_path}")
    schema = pa.schema([("path", pa.string()), ("label", pa.string()), ("pca", tables.VECTOR)])
    row = pa.RecordBatch.from_pylist([{"path": "a", "label": "b", "pca": [1.0]}], schema)
    monkeypatch.setattr(tables, "GROUP_ROWS", 2)
    writer = tables.PartWriter(partial, "pca", schema)
    for _ in range(3):
        writer.add(row)
    assert [path.name for path in (tmp_path / "pca").iterdir()] == ["part-00000-alone.parquet.open"]
    writer._part_seconds = 0.0
    writer.add(row)
    assert [path.name for path in (tmp_path / "pca").iterdir()] == ["part-00000-alone.parquet"]
    (tmp_path / "pca" / "part-00001-killed.parquet.open").touch()  # of a run that was killed
    another = tables.PartWriter(partial, "pca", schema)
    another.add(row)
    another.close()
    names = sorted(path.name for path in (tmp_path / "pca").iterdir())
    assert names == ["part-00000-alone.parquet", "part-00001-alone.parquet"]
    assert pd.read_parquet(tmp_path / "pca").path.tolist() == ["a"] * 5


def test_many_small_parts_of_a_long_job_become_few(images: Path, clean: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "PART_SECONDS", 0.0)
    monkeypatch.setattr(tables, "GROUP_ROWS", 2)
    monkeypatch.setattr("sparkcider.job.source.BLOCK_ROWS", 2)
    closed: list[int] = []

    def progress(line: str) -> None:
        if line.startswith("pca "):
            closed.append(len(list((images.parent / "out.partial" / "features").iterdir())))

    job.run(dataclasses.replace(config(images), engine="embedded"), progress=progress)
    assert closed == [1]
    assert rows(images.parent / "out") == rows(clean)

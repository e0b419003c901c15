"""Images that could not be read are not like damaged ones: a job that loses too many of them ends before its PCA."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any, Callable

import pandas as pd
import pytest
from job_runs import command, many_images, rows
from object_store import ObjectStore, serving

from sparkcider.job import JobConfig, TooManyUnreadError
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Run = Callable[..., dict[str, Any]]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """41 files, one of them broken."""
    folder = tmp_path / "images"
    write_samples(folder, images_per_label=2)
    return folder


def config(images: Path, **settings: Any) -> JobConfig:
    return JobConfig(input=str(images), output=str(images.parent / "out"), model="pixels", pca_k=3, **settings)


class Outage:
    """Breaks files when the listing is done, and mends them: a link to itself cannot be opened."""

    def __init__(self, *paths: Path, remove: bool = False) -> None:
        self.lines: list[str] = []
        self._paths, self._remove = paths, remove

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if line.startswith("features "):
            for path in self._paths:
                path.rename(path.with_name(f".{path.name}"))
                if not self._remove:
                    path.symlink_to(path)

    def end(self) -> None:
        for path in self._paths:
            path.with_name(f".{path.name}").replace(path)


@pytest.mark.parametrize("kind", ["unreachable", "missing"])
def test_one_of_a_hundred_is_too_many_and_resume_reads_it_again(run: Run, images: Path, kind: str):
    outage = Outage(images / "Lime" / "000.jpg", remove=kind == "missing")
    with pytest.raises(
        TooManyUnreadError, match=r"1 of 41 images could not be read, .*max_unread_rate 0\.01 .*--resume"
    ):
        run(config(images), outage)
    assert not (images.parent / "out").exists()
    assert not any(line.startswith("pca ") for line in outage.lines)
    assert outage.lines[-1].startswith("kept ")
    kinds = pd.read_parquet(images.parent / "out.partial" / "features").error_kind
    assert kinds.dropna().value_counts().to_dict() == {kind: 1, "truncated": 1}
    outage.end()
    summary = run(config(images, resume=True))
    assert (summary["embedded"], summary["unread"], summary["errors"]) == (1, 0, 1)


def test_a_few_that_are_allowed_are_counted_said_and_read_again(run: Run, images: Path):
    outage = Outage(images / "Lime" / "000.jpg", images / "Lime" / "001.jpg")
    summary = run(config(images, max_unread_rate=0.05), outage)
    assert summary["unread"] == json.loads((images.parent / "out" / "summary.json").read_text())["unread"] == 2
    assert any(line.startswith("unread    2 images could not be read; --resume") for line in outage.lines)
    outage.end()
    assert run(config(images, resume=True))["embedded"] == 2


def test_rows_that_have_features_count_among_the_images(run: Run, images: Path):
    run(config(images))
    for name in ("new0.jpg", "new1.jpg"):  # both of the images that are left to do: 2 of 43
        (images / "Lime" / name).write_bytes((images / "Lime" / "000.jpg").read_bytes())
    outage = Outage(images / "Lime" / "new0.jpg", images / "Lime" / "new1.jpg")
    assert run(config(images, resume=True, max_unread_rate=0.05), outage)["unread"] == 2


def test_any_number_may_be_allowed(run: Run, images: Path):
    paths = list(images.glob("L*/*.jpg"))
    assert run(config(images, max_unread_rate=1.0), Outage(*paths))["unread"] == len(paths)


def test_damaged_images_are_no_outage(run: Run, images: Path):
    for number in range(10):
        (images / "Lime" / f"{number}.jpg").write_text("no image")
    assert run(config(images))["errors"] == 11


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_is_a_share(images: Path, rate: float):
    with pytest.raises(ValueError, match=rf"max_unread_rate must be in \[0, 1\], got {rate}"):
        dataclasses.replace(config(images), max_unread_rate=rate)


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """1,446 sample images by their names in a store."""
    folder = many_images(tmp_path_factory.mktemp("objects"), 6)
    return {f"bucket/images/{path.relative_to(folder)}": path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture
def store(objects: dict[str, bytes]) -> Iterator[ObjectStore]:
    with serving(ObjectStore(objects)) as server:
        yield server


def test_a_key_that_expires_ends_the_job_early_with_exit_code_3(
    store: ObjectStore, objects: dict[str, bytes], tmp_path: Path
):
    def embedded(out: str, *more: str) -> subprocess.CompletedProcess[str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        words = [*command("s3://bucket/images", tmp_path / out, "embedded"), *more]
        return subprocess.run(
            words, env={**ours, **store.environment}, capture_output=True, text=True, check=False, timeout=280
        )

    assert embedded("clean").returncode == 0
    names = sorted(objects)
    store.always.update(dict.fromkeys(names[200:], "403"))
    store.requests.clear()
    done = embedded("out")
    assert done.returncode == 3, done.stderr
    [said] = [line for line in done.stderr.splitlines() if line.startswith("sparkcider: ")]
    assert " of 1,446 images could not be read" in said
    assert "\nkept " in done.stderr
    assert not (tmp_path / "out").exists()
    assert not any(request.endswith(names[-1]) for request in store.requests)  # it ended long before
    store.always.clear()
    again = embedded("out", "--resume")
    assert again.returncode == 0, again.stderr
    pd.testing.assert_frame_equal(rows(tmp_path / "out"), rows(tmp_path / "clean"))

"""A job that is killed at any moment and resumed gives the rows of one clean run: none lost, none doubled."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from job_runs import FAULTS, command, many_images, record, rows

if TYPE_CHECKING:
    from pathlib import Path

KILLS = {"embedded": 10, "spark": 10 if FAULTS else 2}
"""A start of Spark takes seconds: `make test-faults` kills it as often as the other."""
# docs/numerics.md: sums in another order move a component by this much of its deviation
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,892 files, 12 of them broken."""
    return many_images(tmp_path_factory.mktemp("images"), 12)


def killed(words: list[str], seconds: float, part: Path | None) -> bool:
    """Starts a job, kills its processes after a while or once the folder `part` has a part. False if it had ended."""
    job = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    end = time.monotonic() + seconds
    while job.poll() is None:
        if any(part.glob("*.parquet")) if part else time.monotonic() > end:
            os.killpg(job.pid, signal.SIGKILL)
            job.wait()
            return True
        time.sleep(0.01)
    return False


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("engine", ["embedded", "spark"])
def test_killed_at_random_moments_and_resumed_it_is_one_clean_run(images: Path, tmp_path: Path, engine: str):
    clean, out = tmp_path / "clean", tmp_path / "out"
    begin = time.perf_counter()
    subprocess.run(command(images, clean, engine), check=True, capture_output=True)
    whole = time.perf_counter() - begin
    moments = random.Random(20261125)  # noqa: S311 - no secret
    kills, with_work = 0, False
    while kills < KILLS[engine]:
        words = [*command(images, out, engine), "--resume"]
        # The first kill finds finished work, however short that time is; the others come at random.
        part = None if with_work else tmp_path / "out.partial" / "features"
        if not killed(words, moments.uniform(0.2, 1.0) * whole, part):
            shutil.rmtree(out)  # it was done: once more from the start
            continue
        kills += 1
        if out.exists():  # complete, and killed at its exit
            assert (out / "summary.json").is_file()
            shutil.rmtree(out)
            continue
        with_work |= any((tmp_path / "out.partial" / "features").glob("*.parquet"))
    done = subprocess.run([*command(images, out, engine), "--resume"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    pd.testing.assert_frame_equal(rows(out), rows(clean))
    ours, theirs = (pd.read_parquet(folder / "pca").sort_values("path", ignore_index=True) for folder in (out, clean))
    assert ours[["path", "label"]].equals(theirs[["path", "label"]])
    expected = np.stack(theirs.pca)
    np.testing.assert_allclose(np.stack(ours.pca), expected, atol=TOLERANCE * expected.std())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clean", "out"]
    record("the job's process killed at a random moment", engine, KILLS[engine], "right when resumed")

"""Signals that end the command: finished features are kept, one line says so, the exit code names the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from job_runs import command, many_images, rows, run_words

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,892 files, 12 of them broken."""
    return many_images(tmp_path_factory.mktemp("images"), 12)


@pytest.fixture(scope="module")
def clean(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a job that nothing disturbs."""
    out = tmp_path_factory.mktemp("clean") / "out"
    subprocess.run(command(images, out, "embedded"), check=True, capture_output=True)
    return out


def start(words: list[str], **options: object) -> subprocess.Popen[str]:
    environment = {**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable}
    return subprocess.Popen(
        words, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True, **options
    )


def wait_for(what: Callable[[], bool], job: subprocess.Popen[str]) -> None:
    while not what():
        assert job.poll() is None, job.stderr.read()
        time.sleep(0.01)


def has_part(out: Path) -> bool:
    return any(Path(f"{out}.partial", "features").glob("*.parquet"))


def check_resumed(images: Path, out: Path, engine: str, clean: Path) -> None:
    done = subprocess.run([*command(images, out, engine), "--resume"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "kept" in done.stderr
    assert rows(out).equals(rows(clean))


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_closes_the_open_part_and_says_so(images: Path, clean: Path, tmp_path: Path, number: signal.Signals):
    out = tmp_path / "out"
    # parts of the ordinary length: without the signal's handler nothing would be kept
    job = start([sys.executable, "-m", "sparkcider", *run_words(images, out), "--engine", "embedded"])
    wait_for(lambda: any(Path(f"{out}.partial", "features").glob("*.open")), job)
    job.send_signal(number)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 128 + number, errors
    assert f"sparkcider: stopped by {number.name}\n" in errors
    assert f"finished features are in file:{out}.partial; the same job with --resume goes on\n" in errors
    assert "Traceback" not in errors
    assert has_part(out)
    check_resumed(images, out, "embedded", clean)


def test_a_signal_that_comes_twice_still_closes_the_part(images: Path, tmp_path: Path):
    out = tmp_path / "out"
    job = start([sys.executable, "-m", "sparkcider", *run_words(images, out), "--engine", "embedded"])
    wait_for(lambda: any(Path(f"{out}.partial", "features").glob("*.open")), job)
    for _ in range(3):
        job.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    _, errors = job.communicate(timeout=60)
    assert (job.returncode, errors.count("stopped by")) == (143, 1), errors
    assert has_part(out)


def test_an_ignored_signal_stays_ignored(images: Path, clean: Path, tmp_path: Path):
    out = tmp_path / "out"
    words = [sys.executable, "-m", "sparkcider", *run_words(images, out), "--engine", "embedded"]
    job = start(["nohup", *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    wait_for(lambda: any(Path(f"{out}.partial", "features").glob("*")), job)
    job.send_signal(signal.SIGHUP)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 0, errors
    assert rows(out).equals(rows(clean))


SLOW = """
import sys, time
from sparkcider import cli
from sparkcider.job import embedded

def slow(*arguments, **options):
    time.sleep(600)

embedded.extract_with_previews, quick, calls = slow, embedded.extract_with_previews, []

def first_quick(*arguments, **options):
    calls.append(1)
    return quick(*arguments, **options) if len(calls) == 1 else slow()

embedded.extract_with_previews = first_quick
sys.exit(cli.main())
"""


def test_a_block_that_takes_minutes_does_not_hold_the_end(images: Path, tmp_path: Path):
    out = tmp_path / "out"
    job = start([sys.executable, "-c", SLOW, *run_words(images, out), "--engine", "embedded", "--workers", "2"])
    wait_for(lambda: Path(f"{out}.partial", "features").is_dir(), job)
    time.sleep(2)  # both workers are in a block by now
    job.send_signal(signal.SIGTERM)
    _, errors = job.communicate(timeout=60)
    assert job.returncode == 143, errors
    assert "finished features are in" in errors
    assert has_part(out)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_on_spark_the_files_of_finished_tasks_are_kept(
    images: Path, clean: Path, tmp_path: Path, number: signal.Signals
):
    out = tmp_path / "out"
    job = start(command(images, out, "spark"))
    wait_for(lambda: has_part(out), job)
    job.send_signal(number)
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 128 + number, errors
    after = errors.partition("sparkcider: stopped by ")[2].splitlines()
    assert after == [
        number.name,
        f"kept      finished features are in file:{out}.partial; the same job with --resume goes on",
    ]
    assert has_part(out)
    check_resumed(images, out, "embedded", clean)


@pytest.mark.timeout(600)
def test_ctrl_c_under_spark_submit_is_a_line_and_no_traceback(images: Path, tmp_path: Path):
    out = tmp_path / "out"
    submit = Path(sys.executable).with_name("spark-submit")
    words = command(images, out, "spark")
    job = start([str(submit), "--master", "local[2]", *words[1:-2]], stdout=subprocess.DEVNULL)
    wait_for(lambda: has_part(out), job)
    os.killpg(job.pid, signal.SIGINT)  # as a terminal does
    _, errors = job.communicate(timeout=120)
    assert job.returncode == 130, errors
    after = errors.partition("sparkcider: stopped by SIGINT\n")
    assert after[1], errors
    assert "Traceback" not in errors
    assert "py4j" not in errors
    assert has_part(out)

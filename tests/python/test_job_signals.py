"""A signal that ends the command loses nothing that is done: SIGTERM and SIGHUP are as Ctrl-C, `nohup` is respected."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pandas as pd
import pytest
from job_runs import SCRIPT, command, many_images, rows, run_words

from sparkcider.cli.stop import stopping

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
SLOW = Path(__file__).parent / "slow_script.py"
"""`sparkcider` whose fourth block takes for ever."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,446 files, 6 of them broken."""
    return many_images(tmp_path_factory.mktemp("images"), 6)


@pytest.fixture(scope="module")
def clean(images: Path, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a run that nothing stops."""
    out = tmp_path_factory.mktemp("clean") / "out"
    subprocess.run(command(images, out, "embedded"), check=True, capture_output=True)
    return rows(out)


def started(words: list[str], out: Path, **settings: object) -> subprocess.Popen[str]:
    """A job in a process group of its own that has finished a part."""
    job = subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True, **settings
    )  # type: ignore[call-overload]
    features = Path(f"{out}.partial") / "features"
    while job.poll() is None and not list(features.glob("*.parquet")):
        time.sleep(0.02)
    return job


def is_right_when_resumed(images: Path, out: Path, engine: str, clean: pd.DataFrame) -> None:
    done = subprocess.run([*command(images, out, engine), "--resume"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert " kept, " in done.stderr
    pd.testing.assert_frame_equal(rows(out), clean)


def assert_said(log: str, out: Path) -> None:
    """What was kept, and nothing of Python, py4j or Spark."""
    assert f"\nkept      finished features are in file:{out}.partial; the same job with --resume goes on\n" in log
    assert "Traceback" not in log
    assert "Exception" not in log


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", list(CODES))
def test_a_signal_keeps_what_is_done(images: Path, clean: pd.DataFrame, tmp_path: Path, number: signal.Signals):
    out = tmp_path / "out"
    job = started(command(images, out, "embedded"), out)
    job.send_signal(number)
    log, _ = job.communicate(timeout=120)
    assert job.returncode == CODES[number], log
    assert_said(log, out)
    assert log.count(f"\nsparkcider: stopped by {number.name}\n") == 1
    is_right_when_resumed(images, out, "embedded", clean)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_on_spark_the_files_of_finished_tasks_are_kept(
    images: Path, clean: pd.DataFrame, tmp_path: Path, number: signal.Signals
):
    pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")
    out = tmp_path / "out"
    job = started(command(images, out, "spark"), out)
    os.killpg(job.pid, number)  # as a terminal does: all processes of the job get it
    log, _ = job.communicate(timeout=120)
    assert job.returncode == CODES[number], log
    assert_said(log, out)
    is_right_when_resumed(images, out, "spark", clean)


@pytest.mark.timeout(300)
def test_ctrl_c_under_spark_submit_says_what_is_kept(images: Path, tmp_path: Path):
    pytest.importorskip("pyspark", reason="needs the extra sparkcider[spark]")
    from spark_clusters import environment, submit_command

    out = tmp_path / "out"
    words = submit_command("local[2]", SCRIPT, run_words(images, out), {"spark.log.level": "ERROR"})
    job = started(words, out, env=environment(), cwd=tmp_path)
    os.killpg(job.pid, signal.SIGINT)
    log, _ = job.communicate(timeout=120)
    assert job.returncode == 130, log
    assert_said(log, out)


@pytest.mark.timeout(300)
def test_a_block_that_takes_long_is_not_waited_for(images: Path, clean: pd.DataFrame, tmp_path: Path):
    out = tmp_path / "out"
    words = [sys.executable, str(SLOW), *run_words(images, out), "--engine", "embedded", "--workers", "1"]
    job = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert job.stdout is not None
    while job.stdout.readline() != "the slow block\n":
        assert job.poll() is None
    job.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    job.send_signal(signal.SIGTERM)  # changes nothing: the part is being closed
    log, _ = job.communicate(timeout=120)  # the block takes an hour
    assert job.returncode == 143, log
    assert f"kept      finished features are in file:{out}.partial" in log
    kept = pd.concat(map(pd.read_parquet, (tmp_path / "out.partial" / "features").iterdir()))
    assert len(kept) == 3 * 64
    is_right_when_resumed(images, out, "embedded", clean)


@pytest.mark.timeout(300)
def test_nohup_is_respected(images: Path, clean: pd.DataFrame, tmp_path: Path):
    out = tmp_path / "out"
    job = started(["nohup", *command(images, out, "embedded")], out, stdin=subprocess.DEVNULL)
    job.send_signal(signal.SIGHUP)
    log, _ = job.communicate(timeout=240)
    assert job.returncode == 0, log
    pd.testing.assert_frame_equal(rows(out), clean)


def test_the_library_takes_over_no_signal(tmp_path: Path):
    from sparkcider.job import JobConfig, run
    from sparkcider.samples import write_samples

    write_samples(tmp_path / "images", images_per_label=1)
    before = {number: signal.getsignal(number) for number in CODES}
    seen: list[object] = []
    config = JobConfig(str(tmp_path / "images"), str(tmp_path / "out"), "pixels", pca_k=2, engine="embedded")
    run(config, progress=lambda _line: seen.append({number: signal.getsignal(number) for number in CODES}))
    assert seen
    assert all(found == before for found in seen)


def test_handlers_are_given_back_and_other_threads_take_none():
    before = {number: signal.getsignal(number) for number in CODES}
    with pytest.raises(KeyboardInterrupt), stopping() as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.exit_code == 143
    assert {number: signal.getsignal(number) for number in CODES} == before
    seen: list[object] = []

    def elsewhere() -> None:
        with stopping():
            seen.append({number: signal.getsignal(number) for number in CODES})

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert seen == [before]

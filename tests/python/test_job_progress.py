"""What a job says while it runs, and how it counts."""

from __future__ import annotations

import io
import sys

import pytest

from sparkcider.job import progress as module
from sparkcider.job.counts import Counts
from sparkcider.job.progress import Progress


def test_a_stage_says_what_begins_what_came_of_it_and_how_long_it_took():
    lines: list[str] = []
    progress = Progress(lines.append)
    with progress.stage("input", "photos") as done:
        done("3 files")
    assert lines[0] == "input     photos ..."
    assert lines[1].startswith("          3 files (0.0 s)")
    assert set(progress.seconds) == {"input"}


def test_a_stage_that_fails_says_nothing_of_an_end():
    lines: list[str] = []
    with pytest.raises(OSError, match="gone"), Progress(lines.append).stage("input", "photos"):
        raise OSError("gone")
    assert lines == ["input     photos ..."]


def test_without_a_terminal_there_is_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    lines: list[str] = []
    with Progress(lines.append).counting(1_000) as count:
        for _ in range(5):
            now[0] += 4
            count.add(40, errors=1)
    assert lines == [
        "          120 of 1,000 images, 10 images/s, 3 failed, 1:28 left",
    ]


def test_an_estimate_never_runs_backwards_or_past_the_end(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", 0.0)
    lines: list[str] = []
    with Progress(lines.append).counting(100) as count:
        for share in (10, 40, 30, 400):
            count.raise_to(share)
    assert [line.split()[0] for line in lines] == ["10", "40", "40", "100"]


def test_a_terminal_gets_a_bar_with_the_failed_images(monkeypatch: pytest.MonkeyPatch):
    screen = io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    lines: list[str] = []
    with Progress(lines.append, bar=True).counting(10) as count:
        count.add(4, errors=1)
        count._bar.refresh()
    assert lines == []
    assert "4/10" in screen.getvalue()
    assert "errors=1" in screen.getvalue()


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]):
    progress = Progress(None, bar=True)
    with progress.stage("input", "photos") as done, progress.counting(1) as count:
        count.add(1)
        done("done")
    assert capsys.readouterr() == ("", "")


def test_counts_are_by_label_and_kind_with_one_real_reason():
    counts = Counts()
    reasons = [None, "PNG: cut at byte 17", "PNG: cut at byte 4", "null image", "JPEG: unexpected end of data"]
    kinds = [None, "truncated", "truncated", "null", "truncated"]
    counts.add(["b", "c", "a", "d", "f"], ["x", "x", "y", None, "x"], reasons, kinds)
    counts.add(["e"], ["y"], [None], [None])
    assert (counts.n_files, counts.n_images, counts.n_errors) == (6, 2, 4)
    assert counts.by_kind() == {"truncated": 3, "null": 1}
    assert counts.by_reason() == [
        {"kind": "truncated", "reason": "PNG: cut at byte 4", "count": 3, "example": "a"},
        {"kind": "null", "reason": "null image", "count": 1, "example": "d"},
    ]
    assert counts.by_label() == [
        {"label": "x", "files": 3, "images": 1},
        {"label": "y", "files": 2, "images": 1},
        {"label": None, "files": 1, "images": 0},
    ]

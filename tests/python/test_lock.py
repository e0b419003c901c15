"""One writer at a time: who counts as dead, who takes over, and what becomes of a writer that comes back."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from job_runs import FAULTS, record

from sparkcider.job import lock, processes, results, tables
from sparkcider.job.lock import Lock, LockLostError, locked
from sparkcider.job.results import unfinished
from sparkcider.storage.files import ArrowFiles

if TYPE_CHECKING:
    from collections.abc import Iterator

SCRIPT = Path(__file__).parent / "lock_script.py"
ROUNDS = 60 if FAULTS else 8
ELSEWHERE = {"host": "elsewhere", "boot": "other", "namespace": "other", "process": 1, "started": "5", "flock": False}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute is a second, and a look comes every 20 ms."""
    monkeypatch.setattr(lock, "STALE_SECONDS", 1.0)
    monkeypatch.setattr(lock, "LOOK_SECONDS", 0.02)


class Writer:
    """A process that asks for locks."""

    def __init__(self, where: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), where], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self.answer() == "ready"

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def asks(self, uri: str) -> str:
        self.tell(uri)
        return self.answer()


@contextmanager
def writers(count: int, where: str = "here") -> Iterator[list[Writer]]:
    found = [Writer(where) for _ in range(count)]
    try:
        yield found
    finally:
        for writer in found:
            with suppress(ProcessLookupError):
                writer.process.send_signal(signal.SIGCONT)
            writer.process.kill()
            writer.process.communicate()


def claim(tmp_path: Path, content: dict[str, Any] | bytes, name: str = "holds-000-000000001") -> Path:
    """Writes the claim of another run on `tmp_path/out`."""
    folder = tmp_path / ".out.lock"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return folder / name


def dead() -> dict[str, Any]:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return {**processes.this_process(), "process": ended.pid, "flock": True}


def enter(tmp_path: Path, *, take_over: bool = True, said: list[str] | None = None) -> None:
    uri = f"file:{tmp_path}/out"
    with locked(ArrowFiles(uri), uri, take_over=take_over, say=None if said is None else said.append):
        assert len([path for path in (tmp_path / ".out.lock").iterdir() if path.name.startswith("holds-")]) == 1


def test_nothing_is_left_of_a_lock(tmp_path: Path):
    enter(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_of_several_writers_at_once_on_a_dead_ones_lock_exactly_one_goes_on(tmp_path: Path, where: str):
    with writers(3, where) as asking:
        for number in range(ROUNDS):
            folder = tmp_path / str(number)
            folder.mkdir()
            claim(folder, dead() if where == "here" else ELSEWHERE)
            for writer in asking:
                writer.tell(f"file:{folder}/out")
            answers = [writer.answer() for writer in asking]
            assert answers.count("in") == 1, answers
            assert sum(answer.startswith("FileExistsError") for answer in answers) == 2, answers
            winner = asking[answers.index("in")]
            winner.tell("leave")
            assert winner.answer() == "left"
            assert list(folder.iterdir()) == []
    record(f"three writers at once on a dead one's lock ({where})", "both", ROUNDS, "1 goes on, 2 are refused")


def test_a_stopped_writer_lives(tmp_path: Path):
    uri = f"file:{tmp_path}/out"
    with writers(1) as (writer,):
        assert writer.asks(uri) == "in"
        writer.process.send_signal(signal.SIGSTOP)
        time.sleep(1.2)  # longer than `STALE_SECONDS`
        for take_over in (True, False):
            with pytest.raises(FileExistsError, match=rf"being written by process {writer.process.pid} on "):
                enter(tmp_path, take_over=take_over)
        writer.process.send_signal(signal.SIGCONT)
        writer.tell("leave")
        assert writer.answer() == "left"
    enter(tmp_path)


def test_a_killed_writer_is_dead_before_its_parent_asks_how_it_ended(tmp_path: Path):
    with writers(1) as (writer,):
        assert writer.asks(f"file:{tmp_path}/out") == "in"
        writer.process.kill()
        while processes._started(writer.process.pid):
            time.sleep(0.01)
        enter(tmp_path, take_over=False)


def test_a_number_that_another_process_has_now_is_not_the_writer(tmp_path: Path):
    claim(tmp_path, {**processes.this_process(), "started": "before"})
    enter(tmp_path, take_over=False)


def test_a_process_of_this_machine_that_cannot_be_looked_up_lives_while_it_holds_the_kernels_lock(tmp_path: Path):
    path = claim(tmp_path, {**processes.this_process(), "namespace": "pid:[1]", "process": 1, "flock": True})
    descriptor = lock._locked_file(f"file:{path}")
    assert descriptor is not None
    time.sleep(1.2)
    with pytest.raises(FileExistsError, match="being written by process 1 on "):
        enter(tmp_path)
    os.close(descriptor)
    enter(tmp_path, take_over=False)


def test_a_writer_elsewhere_is_dead_when_it_was_silent_for_a_minute_of_this_clock(tmp_path: Path):
    path = claim(tmp_path, ELSEWHERE)
    os.utime(path, (0, 0))  # no clock of another machine counts
    with pytest.raises(FileExistsError, match=r"is, or was, being written by process 1 on elsewhere.*--resume"):
        enter(tmp_path, take_over=False)
    assert path.exists()
    said: list[str] = []
    begin = time.monotonic()
    enter(tmp_path, said=said)
    assert time.monotonic() - begin >= lock.STALE_SECONDS
    assert said == [f"lock      waiting 1 s to see whether process 1 on elsewhere still writes file:{tmp_path}/out"]


def test_a_writer_elsewhere_that_gives_a_sign_of_life_lives(tmp_path: Path):
    path = claim(tmp_path, ELSEWHERE)
    beat = threading.Timer(0.3, path.rename, [path.with_name("holds-000-000000002")])
    beat.start()
    with pytest.raises(FileExistsError, match="is being written by process 1 on elsewhere"):
        enter(tmp_path)
    beat.join()
    assert [name.name for name in (tmp_path / ".out.lock").iterdir()] == ["holds-000-000000002"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_claim_that_cannot_be_read_is_not_removed_before_it_is_stale(tmp_path: Path, content: bytes):
    path = claim(tmp_path, content)
    with pytest.raises(FileExistsError, match="a process that does not say its name"):
        enter(tmp_path, take_over=False)
    assert path.exists()
    begin = time.monotonic()
    enter(tmp_path)
    assert time.monotonic() - begin >= lock.STALE_SECONDS


def test_signs_of_life_never_empty_the_claim(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.001)
    uri = f"file:{tmp_path}/out"
    seen: set[str] = set()
    with locked(ArrowFiles(uri), uri, take_over=False):
        while len(seen) < 20:
            for path in (tmp_path / ".out.lock").iterdir():
                with suppress(FileNotFoundError):
                    assert json.loads(path.read_bytes())["process"] == os.getpid()
                    seen.add(path.name)


def test_a_writer_that_was_taken_for_dead_writes_nothing_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    uri = f"file:{tmp_path}/out"
    row = pa.RecordBatch.from_pylist([{"path": "a", "label": "b", "pca": [1.0]}], tables.REDUCED)
    monkeypatch.setattr(lock, "HEARTBEAT_SECONDS", 0.05)

    def write() -> None:
        with unfinished(ArrowFiles(uri), uri, overwrite=False) as partial:
            partial.write_text("before", "")
            with tables.PartWriter(partial, "pca", tables.REDUCED) as writer:
                writer.add(row)
                for path in (tmp_path / ".out.lock").iterdir():
                    path.unlink()
                time.sleep(0.2)  # the signs of life do not bring the claim back
                for attempt in (
                    lambda: partial.write_text("after", ""),
                    lambda: partial.files.rename(partial.child("before"), partial.child("after")),
                    lambda: partial.files.remove(partial.child("before")),
                    lambda: partial.files.make_folder(partial.child("after")),
                    writer.close,
                    lambda: results.publish(partial, uri),
                ):
                    with pytest.raises(LockLostError, match=r"another run has taken over .*\.out\.lock"):
                        attempt()
            partial.check()

    with pytest.raises(LockLostError):
        write()
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()) == [
        "out.partial/before"
    ]
    assert list((tmp_path / "out.partial" / "pca").iterdir()) == []


def test_a_store_that_copies_and_then_fails_does_not_cost_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A rename of an object is a copy and a removal: after the first alone there are two claims of one run."""
    uri = f"file:{tmp_path}/out"
    files = ArrowFiles(uri)
    held = Lock(files, f"file:{tmp_path}/.out.lock")
    held.enter(uri, take_over=False, say=None)
    rename = files.rename

    def copy_only(source: str, target: str) -> None:
        shutil.copy(source[len("file:") :], target[len("file:") :])
        raise OSError("the store does not answer")

    monkeypatch.setattr(files, "rename", copy_only)
    with pytest.raises(OSError, match="does not answer"):
        held._sign_of_life()
    held.check()
    monkeypatch.setattr(files, "rename", rename)
    held._sign_of_life()
    assert [path.name for path in (tmp_path / ".out.lock").iterdir()] == [f"holds-{held.token}-000000003"]
    held.leave()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_was_killed_between_copy_and_removal_is_dead(tmp_path: Path):
    for name in ("holds-000-000000001", "holds-000-000000002"):
        claim(tmp_path, ELSEWHERE, name)
    enter(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_two_that_hold_a_lock_both_stop(tmp_path: Path):
    """In a store the copy of a claim may arrive when the claim was removed, and another run has taken over."""
    uri = f"file:{tmp_path}/out"
    with locked(ArrowFiles(uri), uri, take_over=False) as held:
        claim(tmp_path, ELSEWHERE, "asks-000-000000001")
        held.check()
        claim(tmp_path, ELSEWHERE)
        with pytest.raises(LockLostError):
            held.check()


def test_a_dead_claim_that_may_not_be_removed_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    claim(tmp_path, dead())
    remove = ArrowFiles.remove

    def refuse(files: ArrowFiles, uri: str) -> None:
        if "holds-000" in uri:
            raise PermissionError("not yours")
        remove(files, uri)

    monkeypatch.setattr(ArrowFiles, "remove", refuse)
    with pytest.raises(PermissionError, match="not yours"):
        enter(tmp_path)


def test_a_run_that_ends_while_another_asks_takes_nothing_of_it_away(tmp_path: Path):
    """The folder of claims is removed by the last run only, however fast they follow one another."""
    with writers(2) as asking:
        entered = 0
        for _ in range(30):
            for writer in asking:
                writer.tell(f"file:{tmp_path}/out")
            for writer in asking:
                answer = writer.answer()
                assert answer == "in" or answer.startswith("FileExistsError: "), answer
                if answer == "in":
                    entered += 1
                    writer.tell("leave")
                    assert writer.answer() == "left"
        assert entered >= 30
    assert list(tmp_path.iterdir()) == []


def test_the_words_of_a_mac_for_the_start_of_a_process(monkeypatch: pytest.MonkeyPatch):
    if shutil.which("ps") is None:
        pytest.skip("needs ps")
    monkeypatch.setattr(processes.sys, "platform", "darwin")
    me = processes._started(os.getpid())
    assert me
    assert processes._started(os.getpid()) == me
    assert processes._boot() == ""  # this system has no such name
    assert processes.lives(processes.this_process()) is None

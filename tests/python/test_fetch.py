"""`fetch`: files and objects in order, bounded, with retries; a real S3 and a real https server on this machine."""

from __future__ import annotations

import errno
import functools
import os
import re
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from object_store import ObjectStore, serving

from sparkcider.storage import faults, objects
from sparkcider.storage import fetch as fetching
from sparkcider.storage.fetch import AHEAD, Fetched, fetch
from sparkcider.storage.read_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sparkcider.storage.read_ahead import Reservation

quick = functools.partial(fetch, timeout=1)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server with objects `b/0` to `b/99` that this process's environment names."""
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    with serving(ObjectStore({f"b/{number}": content(number) for number in range(100)})) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store


def content(number: int) -> bytes:
    return bytes([number]) * (1000 + number)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sparkcider-read"]


def test_local_files_come_in_order_without_a_thread(tmp_path: Path):
    paths = [tmp_path / name for name in ("a b%20.jpg", "é.jpg", "empty", "gone")]
    for path in paths[:3]:
        path.write_bytes(b"" if path.name == "empty" else path.name.encode())
    for start in ("", "file:", "file://", "FILE:"):
        taken = fetch([f"{start}{path}" for path in paths] + [f"{start}{tmp_path}", None])
        found = [(next(taken), len(readers())) for _ in range(6)]
        assert [fetched for fetched, _ in found] == [
            *(Fetched(path.read_bytes(), None) for path in paths[:3]),
            Fetched(None, "not found", "missing"),
            Fetched(None, "a folder, not a file", "missing"),
            Fetched(None, "null path", "null"),
        ]
        assert {threads for _, threads in found} == {0}
        assert list(taken) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_reason(tmp_path: Path):
    path = tmp_path / "a"
    path.touch(0o000)
    assert list(fetch([str(path)])) == [Fetched(None, "no permission: Permission denied", "forbidden")]


def test_slow_local_files_are_read_by_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    files = [tmp_path / str(number) for number in range(100)]
    for file in files:
        file.write_bytes(file.name.encode())
    monkeypatch.setattr(fetching, "SLOW_SECONDS", 0.0)  # any disk is slow
    taken = fetch(map(str, files), in_flight=4)
    found = [next(taken) for _ in range(50)]
    assert len(readers()) == 4
    assert [fetched.content for fetched in [*found, *taken]] == [file.name.encode() for file in files]
    assert readers() == []


def test_objects_come_in_order_and_many_at_once(store: ObjectStore):
    store.delay = 0.02
    numbers = [(7 * number) % 100 for number in range(300)]
    begin = time.perf_counter()
    found = list(fetch([f"{('s3', 's3a', 's3n', 'S3A')[n % 4]}://b/{n}" for n in numbers]))
    seconds = time.perf_counter() - begin
    assert found == [Fetched(content(number), None) for number in numbers]
    assert 25 < store.most_at_once <= 32
    assert seconds < 300 * 2 * store.delay / 4  # a size and a content each, one after another
    assert readers() == []


@pytest.mark.parametrize("in_flight", [1, 5, 60])
def test_no_more_requests_are_in_flight_than_asked_for(store: ObjectStore, in_flight: int):
    store.delay = 0.02
    found = list(fetch([f"s3://b/{number}" for number in range(100)], in_flight=in_flight))
    assert [fetched.reason for fetched in found] == [None] * 100
    assert min(0.8 * in_flight, 30) <= store.most_at_once <= in_flight  # one S3FileSystem has 25 connections


@pytest.mark.parametrize("fault", ["500", "503", "429", "reset", "half"])
def test_faults_that_pass_are_tried_again(store: ObjectStore, fault: str):
    store.faults.update({f"b/{number}": [fault] * (1 + number % 3) for number in range(20)})
    found = list(fetch([f"s3://b/{number}" for number in range(25)]))
    assert found == [Fetched(content(number), None) for number in range(25)]
    assert not any(store.faults.values())
    assert store.requests["HEAD b/2"] + store.requests["GET b/2"] >= 2 + 3


@pytest.mark.parametrize("fault", ["short", "empty", "foreign"])
def test_an_answer_of_another_length_is_tried_again(store: ObjectStore, fault: str):
    """pyarrow gives garbage of its memory for what did not come in the answer to GET."""
    paths = [f"s3://b/{number}" for number in range(25)]
    store.faults.update({f"b/{number}": ["", fault] for number in range(20)})  # the size is right
    assert [fetched.content for fetched in fetch(paths)] == [content(number) for number in range(25)]
    assert not any(store.faults.values())
    store.faults.update({f"b/{number}": [fault, *["", fault] * (number % 2)] for number in range(20)})
    lengths = [1000 + number for number in range(25)]
    assert [fetched.content for fetched in fetch(paths, lengths=lengths)] == [content(number) for number in range(25)]
    assert not any(store.faults.values())
    store.always["b/1"] = fault
    found = list(fetch(paths[:3], lengths=lengths, retries=2))
    assert [fetched.kind for fetched in found] == [None, "unreachable", None]
    assert re.fullmatch(r"cannot be read: \d+ bytes came, 1,001 were stated \(tried 3 times\)", str(found[1].reason))


def test_objects_may_end_with_any_byte(store: ObjectStore):
    ends = [bytes([*objects._MARKS, last]) for last in range(256)] + [bytes(objects._MARKS[:n]) for n in (0, 1, 2)]
    store.objects.update({f"b/end{number}": end for number, end in enumerate(ends)})
    assert [fetched.content for fetched in fetch([f"s3://b/end{number}" for number in range(len(ends))])] == ends


def test_a_file_that_is_being_written_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file, other = tmp_path / "a", tmp_path / "b"
    file.write_bytes(b"half")
    other.write_bytes(b"other")
    pauses = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 2:
            file.write_bytes(b"half of it")

    monkeypatch.setattr(time, "sleep", sleep)
    paths = [str(file), f"file:{other}", str(other)]
    found = list(fetch(paths, lengths=[10, 4, None]))
    assert len(pauses) >= 2
    reason = "cannot be read: 5 bytes came, 4 were stated (tried 5 times)"
    assert found == [Fetched(b"half of it"), Fetched(None, reason, "unreachable"), Fetched(b"other")]


def test_a_file_that_changes_while_it_is_read_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "a"
    file.write_bytes(b"old")
    looks = []

    def fstat(descriptor: int) -> os.stat_result:
        looks.append(descriptor)
        if len(looks) == 2:  # the same length
            file.write_bytes(b"new")
            os.utime(file, ns=(0, 1))
        return os.stat(descriptor)

    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(objects.os, "fstat", fstat)
    assert list(fetch([str(file)])) == [Fetched(b"new")]
    assert len(looks) == 4


@pytest.mark.parametrize(("number", "tries"), [(errno.EIO, 3), (errno.ESTALE, 3), (errno.ELOOP, 1)])
def test_disks_that_fail_are_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, tries: int):
    (tmp_path / "a").write_bytes(b"a")
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    failed = []

    def fails(path: str, *_: Any, **__: Any) -> Any:
        failed.append(path)
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(objects, "open", fails, raising=False)
    [fetched] = fetch([str(tmp_path / "a")], retries=2)
    tried = f" (tried {tries} times)" if tries > 1 else ""
    assert fetched == Fetched(None, f"cannot be read: {os.strerror(number)}{tried}", "unreachable")
    assert len(failed) == tries


def test_retries_do_not_run_out(store: ObjectStore):
    store.faults.update({f"b/{number}": ["503"] for number in range(100)})
    for _ in range(3):  # pyarrow's own "standard" strategy gives up for good after 100 retries
        store.faults.update({f"b/{number}": ["503"] for number in range(100)})
        assert all(fetched.content for fetched in fetch([f"s3://b/{number}" for number in range(100)]))


@pytest.mark.parametrize(
    ("fault", "kind", "reason"),
    [
        ("hang", "unreachable", r"cannot be read: AWS Error NETWORK_CONNECTION .*[Tt]ime.* \(tried 3 times\)"),
        ("503 SlowDown", "unreachable", r"cannot be read: SlowDown: said by the store \(tried 3 times\)"),
        ("500 InternalError", "unreachable", r"cannot be read: InternalError: said by the store \(tried 3 times\)"),
        ("403 AccessDenied", "forbidden", "no permission: AccessDenied: said by the store"),
        ("403 InvalidAccessKeyId", "forbidden", "no permission: InvalidAccessKeyId: said by the store"),
        ("400 ExpiredToken", "unreachable", "cannot be read: ExpiredToken: said by the store"),
        ("404 NoSuchBucket", "missing", "not found: NoSuchBucket: said by the store"),
        ("404 NoSuchKey", "missing", "not found"),
    ],
)
def test_a_fault_that_lasts_is_a_reason(store: ObjectStore, fault: str, kind: str, reason: str):
    store.always["b/1"] = fault
    [before, faulty, after] = quick(["s3://b/0", "s3://b/1", "s3://b/2"], retries=2)
    assert (before.content, after.content) == (content(0), content(2))
    assert (faulty.content, faulty.kind) == (None, kind)
    assert faulty.reason is not None
    assert re.fullmatch(reason, faulty.reason), faulty.reason
    assert "b/1" not in faulty.reason


def test_missing_objects_and_folders_are_reasons(store: ObjectStore):
    found = list(fetch(["s3://b/gone", "s3://other/0", "s3://b/folder/", "s3://b", None, "s3://b/0"]))
    reasons = ["not found", "not found", "not found", "a folder, not a file", "null path", None]
    assert [fetched.reason for fetched in found] == reasons
    assert [fetched.kind for fetched in found] == [*["missing"] * 4, "null", None]
    assert store.requests["HEAD b/gone"] == 1


def test_keys_are_taken_as_spark_writes_them(store: ObjectStore):
    keys = ["a b.jpg", "a%20b.jpg", "q?x=1.jpg", "é#.jpg", "sub/[1]{2}*.jpg"]
    store.objects.update({f"b/{key}": key.encode() for key in keys})
    assert [fetched.content for fetched in fetch([f"s3a://b/{key}" for key in keys])] == [k.encode() for k in keys]


def test_a_mixture_stays_in_order(store: ObjectStore, tmp_path: Path):
    local = tmp_path / "local"
    local.write_bytes(b"local")
    store.delay = 0.002
    paths = [f"s3://b/{number}" if number % 3 else str(local) for number in range(100)]
    expected = [content(number) if number % 3 else b"local" for number in range(100)]
    assert [fetched.content for fetched in fetch(paths)] == expected


def test_bytes_in_flight_are_bounded_and_a_large_object_comes_through(store: ObjectStore):
    store.objects.update({f"b/{number}": b"x" * 10_000 for number in range(100)})
    store.objects["b/50"] = b"x" * 200_000
    taken = fetch([f"s3://b/{number}" for number in range(100)], max_bytes=50_000)
    sizes = []
    for number, fetched in enumerate(taken):
        sizes.append(len(fetched.content or b""))
        if number in {0, 20}:
            time.sleep(0.5)  # time to fetch all of them
            contents = sum(store.requests[f"GET b/{key}"] for key in range(100))
            assert contents <= number + 1 + 5
            assert contents > number + 3
    assert sizes == [200_000 if number == 50 else 10_000 for number in range(100)]


def test_the_budget_holds_while_the_consumer_is_slow():
    held, most = [0], []
    lock = threading.Lock()

    def work(size: int, reservation: Reservation, _thread: int) -> int:
        reservation.reserve(size)
        with lock:
            held[0] += size
            most.append(held[0])
        return size

    ahead: ReadAhead[int] = ReadAhead(8, 100)
    sizes = [30, 30, 30, 30, 250, 10, 10, 100, 1, 0] * 20
    tickets = [ahead.submit(functools.partial(work, size)) for size in sizes]
    for size, ticket in zip(sizes, tickets):
        assert ahead.result(ticket) == size
        with lock:
            held[0] -= size
    ahead.close()
    assert max(most) <= 100 + 250
    assert sorted(most)[len(most) // 2] <= 100


def test_paths_are_taken_as_they_are_due(store: ObjectStore):
    taken = []

    def paths() -> Iterator[str]:
        for number in range(10_000):
            taken.append(number)
            yield f"s3://b/{number % 100}"

    found = fetch(paths())
    assert taken == []
    next(found)
    assert len(taken) == AHEAD
    next(found)
    assert len(taken) == AHEAD + 1
    found.close()
    assert readers() == []
    assert sum(store.requests.values()) < 3 * AHEAD


def test_objects_are_fetched_while_the_consumer_works(store: ObjectStore):
    store.delay = 0.01
    found = fetch([f"s3://b/{number}" for number in range(100)], in_flight=8)
    next(found)
    deadline = time.monotonic() + 20
    while sum(store.requests.values()) < 200 and time.monotonic() < deadline:
        time.sleep(0.01)  # the consumer computes; nobody asks for the next one
    assert sum(store.requests.values()) == 200
    found.close()


def test_an_iterator_that_is_dropped_waits_for_no_silent_server(store: ObjectStore):
    store.always["b/1"] = "hang"
    found = fetch(["s3://b/0", *["s3://b/1"] * 40], timeout=25)
    assert next(found).content == content(0)
    begin = time.monotonic()
    found.close()
    assert time.monotonic() - begin < 5


def test_what_a_path_source_raises_ends_it(store: ObjectStore):
    assert sum(store.requests.values()) == 0

    def paths() -> Iterator[str]:
        yield "s3://b/0"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(fetch(paths()))
    assert readers() == []


@pytest.mark.parametrize("path", ["a/b.jpg", "", "b.jpg", "http://host/a", "s3:/b/a", "C:\\a.jpg", "x://a/b"])
def test_a_path_that_no_reader_knows_is_a_type_error(path: str):
    with pytest.raises(TypeError, match=r"^expected an absolute path or a URI such as s3://bucket/key \(.*\), got '"):
        list(fetch([path]))


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:SECRET@b/a", "https://me:SECRET@host/a", "s3a://KEY:SEC/SECRET@b/a", "https://me:SEC/SECRET@host/a",
        "gs://SECRET@b/a", "s3://b/a?access_key=KEY&secret_key=SECRET",
    ],
)  # fmt: skip
def test_a_password_in_a_path_is_refused_and_not_repeated(uri: str):
    with pytest.raises(ValueError, match="has a password in it") as caught:
        list(fetch([uri]))
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"in_flight": 0}, "in_flight must be a whole number from 1 to 1,024, got 0"),
        ({"in_flight": 2000}, "in_flight must be a whole number from 1 to 1,024, got 2000"),
        ({"max_bytes": 0}, "max_bytes must be at least 1, got 0"),
        ({"retries": -1}, "retries must be at least 0, got -1"),
        ({"timeout": 0}, "timeout must be over 0, got 0"),
    ],
)
def test_a_wrong_option_is_refused_before_the_first_path(options: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        fetch([], **options)


FORKED = """
import os, sys, threading
from sparkcider.storage.fetch import fetch

uris = sys.argv[1:]
assert "pyarrow.fs" not in sys.modules and "pyarrow._s3fs" not in sys.modules and threading.active_count() == 1
for _ in range(3):  # PySpark forks its workers from one process
    child = os.fork()
    if child == 0:
        ok = all(fetched.content == b"x" * 100 for fetched in fetch(uris * 20))
        os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
assert "pyarrow.fs" not in sys.modules and threading.active_count() == 1
"""


def test_a_process_that_imported_it_may_fork(store: ObjectStore):
    store.objects["b/x"] = b"x" * 100
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", FORKED, "s3://b/x"], check=True, env=environment, timeout=60)

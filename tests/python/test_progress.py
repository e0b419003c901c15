"""Progress of the jobs of a block on classic Spark; test_connect.py has it on other kinds."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from pyspark import InheritableThread

from sparkcider.spark import progress
from sparkcider.spark.progress import watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession


def slow(spark: SparkSession, tasks: int, seconds: float) -> DataFrame:
    """Rows of so many tasks that take so long each."""

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            time.sleep(seconds)
            yield batch

    return spark.range(0, tasks, 1, tasks).mapInArrow(wait, "id long")


def watchers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "sparkcider progress"]


def test_the_share_grows_from_a_thread_that_ends_with_the_block(spark: SparkSession):
    seen: list[float] = []
    threads = set()

    def on_progress(share: float) -> None:
        threads.add(threading.current_thread())
        seen.append(share)

    with watch(spark, on_progress, seconds=0.05):
        slow(spark, 16, 0.3).collect()
        assert [thread.daemon for thread in watchers()] == [True]
        time.sleep(1)  # the listener of the status hears of the end a little later
    assert watchers() == []
    assert len(threads) == 1
    assert threading.current_thread() not in threads
    assert seen == sorted(seen)
    assert len({share for share in seen if 0 < share < 1}) > 2
    assert seen[-1] == 1
    count = len(seen)
    slow(spark, 2, 0.1).collect()
    assert len(seen) == count


def test_stages_that_spark_skips_count_as_done(spark: SparkSession):
    rows = slow(spark, 4, 0.01).repartition(2).cache()
    rows.count()
    seen: list[float] = []
    with watch(spark, seen.append, seconds=0.05):
        rows.count()
        rows.groupBy("id").count().collect()
        time.sleep(1)
    rows.unpersist()
    assert seen[-1] == 1


def test_groups_and_tags_of_the_user_stay(spark: SparkSession):
    context = spark.sparkContext
    context.setJobGroup("mine", "of the user")
    context.addJobTag("also-mine")
    try:
        jobs = set(context.statusTracker().getJobIdsForGroup("mine"))
        with watch(spark, lambda _share: None, seconds=0.05):
            assert context.getLocalProperty("spark.jobGroup.id") == "mine"
            assert set(context.getJobTags()) > {"also-mine"}
            slow(spark, 2, 0.01).collect()
        assert set(context.statusTracker().getJobIdsForGroup("mine")) > jobs
        assert context.getLocalProperty("spark.jobGroup.id") == "mine"
        assert set(context.getJobTags()) == {"also-mine"}
    finally:
        context.clearJobTags()
        context.setLocalProperty("spark.jobGroup.id", None)
        context.setLocalProperty("spark.job.description", None)


def test_jobs_of_other_threads_do_not_count(spark: SparkSession):
    other = InheritableThread(target=slow(spark, 3, 1.5).collect)
    other.start()
    seen: list[float] = []
    with watch(spark, seen.append, seconds=0.05):
        time.sleep(0.5)
        assert seen == []  # the other job runs, and this block has none
        slow(spark, 2, 0.01).collect()
        time.sleep(1)
    other.join()
    assert seen[-1] == 1


def test_jobs_of_threads_that_the_block_starts_count(spark: SparkSession):
    seen: list[float] = []
    with watch(spark, seen.append, seconds=0.05):
        inner = InheritableThread(target=slow(spark, 2, 0.01).collect)
        inner.start()
        inner.join()
        time.sleep(1)
    assert seen[-1] == 1


def test_blocks_may_lie_inside_one_another(spark: SparkSession):
    outer: list[float] = []
    inner: list[float] = []
    with watch(spark, outer.append, seconds=0.05):
        with watch(spark, inner.append, seconds=0.05):
            slow(spark, 2, 0.01).collect()
            time.sleep(1)
        slow(spark, 6, 0.3).collect()
    assert inner[-1] == 1
    assert 1 in outer
    assert any(share < 1 for share in outer[outer.index(1) :])  # the second job was not planned before


def test_a_fault_in_the_callback_does_not_stop_the_jobs(spark: SparkSession, caplog: pytest.LogCaptureFixture):
    calls: list[float] = []

    def broken(share: float) -> None:
        calls.append(share)
        raise ZeroDivisionError("of the picture")

    with watch(spark, broken, seconds=0.05):
        assert len(slow(spark, 2, 0.3).collect()) == 2
    assert len(calls) == 1
    assert caplog.messages == ["progress is not shown any more: of the picture"]


def test_a_fault_in_the_block_is_the_blocks(spark: SparkSession):
    with pytest.raises(KeyError), watch(spark, lambda _share: None):
        raise KeyError
    assert watchers() == []
    assert not spark.sparkContext.getJobTags()


def test_nothing_is_called_where_threads_share_their_tags(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYSPARK_PIN_THREAD", "false")
    seen: list[float] = []
    with watch(spark, seen.append, seconds=0.01):
        assert not spark.sparkContext.getJobTags()
        slow(spark, 2, 0.1).collect()
    assert seen == []


def test_nothing_is_called_where_a_platform_forbids_it(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    def forbidden(_context: Any, _tag: str) -> None:
        raise RuntimeError("not on this cluster")

    monkeypatch.setattr(type(spark.sparkContext), "addJobTag", forbidden)
    with watch(spark, lambda _share: pytest.fail("called"), seconds=0.01):
        assert len(slow(spark, 2, 0.1).collect()) == 2


class Old:
    """A session of Connect 3.5: it has no progress handlers."""


Old.__module__ = "pyspark.sql.connect.session"


def test_nothing_is_called_on_an_old_connect():
    with watch(Old(), lambda _share: pytest.fail("called"), seconds=0.01):  # type: ignore[arg-type]
        time.sleep(0.1)


def stage(done: int, of: int) -> Any:
    return type("StageInfo", (), {"num_tasks": of, "num_completed_tasks": done})()


def test_operations_of_connect_add_up():
    operations = progress._Operations()
    assert operations.share() is None
    operations(stages=None, inflight_tasks=0, operation_id="a", done=False)
    assert operations.share() is None
    operations(stages=[stage(1, 4), stage(0, 4)], inflight_tasks=2, operation_id="a", done=False)
    assert operations.share() == 1 / 8
    operations(stages=[stage(5, 4), stage(1, 4)], inflight_tasks=2, operation_id="a", done=False)  # a task ran twice
    assert operations.share() == 5 / 8
    operations(stages=[stage(4, 4), stage(2, 4)], inflight_tasks=0, operation_id="a", done=True)
    assert operations.share() == 1
    operations(stages=[stage(0, 8)], inflight_tasks=0, operation_id="b", done=False)
    assert operations.share() == 0.5
    other = threading.Thread(
        target=operations, kwargs={"stages": [stage(0, 99)], "inflight_tasks": 0, "operation_id": "c", "done": False}
    )
    other.start()
    other.join()
    assert operations.share() == 0.5

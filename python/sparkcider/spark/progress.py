"""How far the Spark jobs of a block are, by completed tasks."""

from __future__ import annotations

import logging
import os
import threading
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from sparkcider.storage.hadoop import is_classic

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import SparkSession

SECONDS = 0.5
"""Between two calls."""

_log = logging.getLogger("sparkcider")


@contextmanager
def watch(session: SparkSession, on_progress: Callable[[float], None], *, seconds: float = SECONDS) -> Iterator[None]:
    """Calls back with the share of completed tasks while the jobs that this thread starts in the block run.

    The share is of the tasks that Spark has planned so far, from 0 to 1. It falls when Spark starts another job. It is
    called from a thread of its own, which ends with the block, and once more at the end. Before the first task is
    planned nothing is called.

    Classic Spark marks the block's jobs by a tag of their own; the job groups and tags of the user stay. Spark Connect
    (>= 4.0) reports by a progress handler, every two seconds (`spark.connect.progress.reportInterval`). Nothing is
    called where neither is possible: on Connect 3.5, and with `PYSPARK_PIN_THREAD=false`, where threads share tags.

    Args:
        session: Whose jobs.
        on_progress: Takes the share. If it raises, it is not called again, and the jobs go on.
        seconds: Between two calls.
    """
    with _shares(session) as share:
        if share is None:
            yield
            return
        ended = threading.Event()
        reporter = threading.Thread(
            target=_report, args=(share, on_progress, ended, seconds), name="sparkcider progress", daemon=True
        )
        reporter.start()
        try:
            yield
        finally:
            ended.set()
            reporter.join()


def _report(
    share: Callable[[], float | None], on_progress: Callable[[float], None], ended: threading.Event, seconds: float
) -> None:
    try:
        last = False
        while not last:
            last = ended.wait(seconds)
            found = share()
            if found is not None:
                on_progress(found)
    except Exception as error:  # noqa: BLE001 - a picture of the work must not stop the work
        _log.warning("progress is not shown any more: %s", error)


@contextmanager
def _shares(session: SparkSession) -> Iterator[Callable[[], float | None] | None]:
    """A function that gives the share of the jobs that this thread starts in the block; None where there is none."""
    if is_classic(session):
        with _tagged(session) as jobs:
            yield None if jobs is None else jobs.share
        return
    if not hasattr(session, "registerProgressHandler"):  # before 4.0
        yield None
        return
    operations = _Operations()
    session.registerProgressHandler(operations)  # type: ignore[arg-type] # its class is abstract for no need
    try:
        yield operations.share
    finally:
        with suppress(Exception):  # the block may have ended the session, or removed all handlers
            session.removeProgressHandler(operations)  # type: ignore[arg-type]


@contextmanager
def _tagged(session: SparkSession) -> Iterator[_TaggedJobs | None]:
    """Marks the jobs that this thread starts in the block; None where that is not allowed or would mark others, too."""
    jobs, tag = None, f"sparkcider-{uuid.uuid4().hex}"
    context: Any = session.sparkContext
    if os.environ.get("PYSPARK_PIN_THREAD", "true").lower() == "true":
        try:
            jobs = _TaggedJobs(context, tag)
            context.addJobTag(tag)
        except Exception as error:  # noqa: BLE001 - a platform may forbid these calls
            _log.debug("progress is not shown: %s", error)
            jobs = None
    try:
        yield jobs
    finally:
        if jobs is not None:
            with suppress(Exception):  # the block may have ended the session
                context.removeJobTag(tag)


class _TaggedJobs:
    """The jobs of one tag on classic Spark."""

    def __init__(self, context: Any, tag: str) -> None:
        self._tag = tag
        self._tracker = context.statusTracker()
        # PySpark's own tracker knows groups only, and a group is the user's.
        self._jobs_of = context._jsc.sc().statusTracker().getJobIdsForTag  # noqa: SLF001
        self._ended: dict[int, dict[int, int]] = {}

    def share(self) -> float | None:
        """Completed tasks over planned ones; None before there is one."""
        done: dict[int, int] = {}
        planned: dict[int, int] = {}
        for job in self._jobs_of(self._tag):
            if job in self._ended:  # all of it, the stages that Spark skipped too
                done.update(self._ended[job])
                planned.update(self._ended[job])
                continue
            info = self._tracker.getJobInfo(job)
            stages = [] if info is None else filter(None, map(self._tracker.getStageInfo, info.stageIds))
            sizes = {}
            for stage in stages:
                sizes[stage.stageId] = planned[stage.stageId] = stage.numTasks
                done[stage.stageId] = min(stage.numCompletedTasks, stage.numTasks)
            if info is not None and info.status == "SUCCEEDED":
                self._ended[job] = sizes
                done.update(sizes)
        return sum(done.values()) / sum(planned.values()) if any(planned.values()) else None


class _Operations:
    """The operations of one thread on Spark Connect, as a progress handler hears of them."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()
        self._tasks: dict[str | None, tuple[int, int]] = {}

    def __call__(
        self,
        stages: Iterable[Any] | None,
        inflight_tasks: int,  # noqa: ARG002 - Spark passes it by name
        operation_id: str | None,
        done: bool,  # noqa: FBT001 - likewise
    ) -> None:
        """Keeps what is new; Spark calls this in the thread that waits for the operation."""
        if threading.get_ident() != self._thread:
            return
        known = list(stages or ())
        planned = sum(stage.num_tasks for stage in known)
        completed = sum(min(stage.num_completed_tasks, stage.num_tasks) for stage in known)
        if planned:
            self._tasks[operation_id] = (planned if done else completed, planned)

    def share(self) -> float | None:
        """Completed tasks over planned ones; None before there is one."""
        tasks = list(self._tasks.values())
        return sum(done for done, _ in tasks) / sum(planned for _, planned in tasks) if tasks else None

"""What is on the executors: versions, processor, memory, the model, its speed, and whether all embed alike."""

from __future__ import annotations

import json
import pickle
import platform
import socket
import statistics
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.spark.udf import model_reference
from sparkcider.storage.hadoop import is_classic
from sparkcider.version import __version__

if TYPE_CHECKING:
    import os

    import pyarrow as pa
    from pyspark.sql import SparkSession

FIRST_TASKS = 16
"""On Spark Connect, where the number of cores is not known."""

MOST_ROUNDS = 5
"""Each has twice as many tasks as the one before, until a round meets no new executor."""

ALIKE = ("python", "sparkcider", "module", "model", "embedding")
"""The facts that must be the same on all executors."""


class Probe(NamedTuple):
    """What `probe` found.

    Attributes:
        driver: The facts of this process.
        executors: Those of each executor: host, pid (of its Python daemon), python, sparkcider, module (checksum of
            the compiled module), processor, cores, memory (bytes), model (checksum), images_per_second (of one core,
            the median of its tasks), embedding (checksum of the features of a test image); or host, pid, python and
            `fault`.
        differences: In sentences.
    """

    driver: dict[str, Any]
    executors: list[dict[str, Any]]
    differences: list[str]


def probe(session: SparkSession, model: str | os.PathLike[str] = "fruits-tiny", **options: Any) -> Probe:
    """Looks at every executor of a session, classic or Connect.

    Args:
        session: The session.
        model: As in `sparkcider.functions.image_features`; it reaches the executors as it would there.
        **options: Those of `sparkcider.FeatureExtractor`.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: The file is not ONNX, or does not have exactly one image input.
        ValueError: An option has a value that it cannot take.
    """
    reference, _ = model_reference(session, model, options)
    tasks = 2 * session.sparkContext.defaultParallelism if is_classic(session) else FIRST_TASKS
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for _ in range(MOST_ROUNDS):
        known = len(found)
        for facts in _round(session, pickle.dumps(reference), tasks):
            found.setdefault((facts["host"], facts["pid"]), []).append(facts)
        if len(found) == known or 4 * len(found) <= tasks:
            break
        tasks *= 2
    executors = [_median(found[key]) for key in sorted(found)]
    driver = {"host": socket.gethostname(), "python": platform.python_version(), "sparkcider": __version__}
    return Probe(driver, executors, _differences(driver, executors))


def _round(session: SparkSession, reference: bytes, tasks: int) -> list[dict[str, Any]]:
    # Pickled by value, and without a name of this package outside of `try`: an executor that lacks it can say so.
    def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import json
        import os
        import pickle
        import platform
        import socket

        import pyarrow as pa

        for _ in batches:
            pass
        facts = {"host": socket.gethostname(), "pid": os.getppid(), "python": platform.python_version()}
        try:
            from sparkcider.spark.executor_facts import facts_here

            facts.update(facts_here(pickle.loads(reference)))  # noqa: S301 - the driver's own bytes
        except Exception as error:  # noqa: BLE001 - what is wrong is what is looked for
            facts["fault"] = f"{type(error).__name__}: {error}"
        yield pa.RecordBatch.from_pydict({"facts": [json.dumps(facts)]})

    rows = session.range(0, tasks, 1, tasks).mapInArrow(look, "facts string").collect()
    return [json.loads(row["facts"]) for row in rows]


def _median(facts: list[dict[str, Any]]) -> dict[str, Any]:
    """The facts of an executor, of those of its tasks; one with a fault goes first."""
    first = next((each for each in facts if "fault" in each), facts[0])
    speeds = [each["images_per_second"] for each in facts if "images_per_second" in each]
    return {**first, "images_per_second": statistics.median(speeds)} if speeds else first


def _differences(driver: dict[str, Any], executors: list[dict[str, Any]]) -> list[str]:
    told = [f"{each['host']}: {each['fault']}" for each in executors if "fault" in each]
    for fact in ALIKE:
        values = sorted({str(each[fact]) for each in executors if fact in each})
        if len(values) > 1:
            told.append(f"{fact} differs between the executors: {', '.join(values)}")
    versions = {each["sparkcider"] for each in executors if "sparkcider" in each}
    if versions - {driver["sparkcider"]}:
        told.append(f"sparkcider is {driver['sparkcider']} on the driver, {', '.join(sorted(versions))} on executors")
    if not executors:
        told.append("no executor answered")
    return told

"""Which engine runs a job, and why.

    embedded    threads of this process; neither Java nor pyspark
    spark       a Spark session: this process's own, spark-submit's or a Spark Connect server's

`auto` takes Spark where there is a reason for it, and else the embedded engine.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from sparkcider.job.config import TABLE
from sparkcider.storage.uri import ALIASES, scheme_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.job.config import JobConfig

EMBEDDED_SCHEMES = ("", "file", "s3", "gs", "abfss")
"""Schemes that the embedded engine reads and writes without anything beside pyarrow; `hdfs` needs Hadoop's client."""

_SUBMITTED = "PYSPARK_GATEWAY_PORT"
"""Set by spark-submit in the Python that it starts."""


class Choice(NamedTuple):
    """The engine of a job.

    Attributes:
        engine: `embedded` or `spark`.
        reason: Why, for the first line of the log.
    """

    engine: str
    reason: str


def choose_engine(
    config: JobConfig,
    *,
    settings: bool = False,
    session: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Choice:
    """Chooses the engine of a job.

    Args:
        config: The job.
        settings: A master or Spark settings were given.
        session: A Spark session is active in this process.
        environment: Environment variables. Default: those of this process.

    Raises:
        ValueError: The embedded engine was requested, and the input is a table of Spark's catalog or Spark settings
            were given.

    Example:
        >>> from sparkcider.job import JobConfig
        >>> choose_engine(JobConfig(input="photos", output="out", model="pixels"), environment={})
        Choice(engine='embedded', reason='nothing here needs Spark')
        >>> choose_engine(JobConfig(input="hdfs:///photos", output="out", model="pixels"), environment={})
        Choice(engine='spark', reason='Spark reads and writes hdfs:')
    """
    environment = os.environ if environment is None else environment
    if config.engine == "embedded":
        _check_embedded(config, settings=settings)
        return Choice("embedded", "as requested")
    if config.engine == "spark":
        return Choice("spark", "as requested")
    others = [
        scheme
        for scheme in (scheme_of(config.input), scheme_of(config.output))
        if ALIASES.get(scheme, scheme) not in EMBEDDED_SCHEMES
    ]
    reasons = (
        (session, "a Spark session is active"),
        (_SUBMITTED in environment, "started by spark-submit"),
        (settings, "a master or Spark settings are given"),
        ("SPARK_REMOTE" in environment, "SPARK_REMOTE names a Spark Connect server"),
        (config.input.startswith(TABLE), "the input is a table of Spark's catalog"),
        (config.to_table is not None, "to_table is a table of Spark's catalog"),
        (bool(others), f"Spark reads and writes {', '.join(others)}:"),
    )
    for holds, reason in reasons:
        if holds:
            return Choice("spark", reason)
    return Choice("embedded", "nothing here needs Spark")


def session_is_active() -> bool:
    """Whether this process has a Spark session; imports no pyspark to find out."""
    sql = sys.modules.get("pyspark.sql")
    return sql is not None and sql.SparkSession.getActiveSession() is not None


def _check_embedded(config: JobConfig, *, settings: bool) -> None:
    if config.input.startswith(TABLE):
        raise ValueError(f"input {config.input} is a table of Spark's catalog: use engine spark or auto")
    if settings:
        raise ValueError("a master or Spark settings have no effect on engine embedded: use engine spark or auto")

"""The Spark session of a job, and a start that prints nothing unless it fails."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import threading
import warnings
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pyspark.util
from pyspark import SparkConf, SparkContext
from pyspark.java_gateway import launch_gateway
from pyspark.sql import SparkSession

from sparkcider.storage.hadoop import is_classic

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CONNECT = ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED")
"""With any of these in the environment PySpark may talk to a server (`SparkSession.Builder.getOrCreate`)."""

SUBMITTED = "PYSPARK_GATEWAY_PORT"
"""In the environment of what `spark-submit` and notebooks with a Spark of their own start: their JVM runs already."""

PANDAS_3 = "PySpark does not yet fully support pandas"
"""Begins a warning of every session with pandas 3: what this package uses of both works, as its tests show."""

FAULTS = re.compile(rb'^(?:\S+ ){0,3}(?:ERROR|FATAL) |^Exception in |"level":\s*"(?:ERROR|FATAL)"', re.MULTILINE)
"""A line of Spark's log, as text or JSON, or of the JVM itself, that somebody must see."""

SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""The JVM of a local job lives for minutes and shares its cores with the Python workers, who do the work. Its
optimising compiler takes 14 seconds of a core, which 10,000 images do not earn back (docs/benchmarks.md)."""

SECONDS_TO_SILENCE = 0.5
"""For a JVM that may be ending, too."""

READ_BYTES, READS_HELD = 1 << 16, 64
"""The last 4 MiB of a start are kept: a start at level INFO prints some 10 kB."""


@contextmanager
def session_for(
    spark: SparkSession | None, master: str | None, conf: Mapping[str, str] | None, *, verbose: bool
) -> Iterator[SparkSession]:
    """The session that is given, else the active one, else a new one, which ends with the block.

    Args:
        spark: The user's session.
        master: Master of a new session.
        conf: Settings of a new session.
        verbose: Let the warnings of a new session through.
    """
    active = spark if spark is not None else SparkSession.getActiveSession()
    if active is not None and master is None and not conf:
        yield active
        return
    session = start_session(master, conf, verbose=verbose)
    try:
        yield session
    finally:
        with suppress(Exception):  # a JVM that has gone, as after Ctrl-C under spark-submit, is stopped
            session.stop()


def start_session(
    master: str | None = None, conf: Mapping[str, str] | None = None, *, verbose: bool = False
) -> SparkSession:
    """A session for the job, quiet unless `verbose`.

    Where this starts Spark's JVM, what the JVM prints until the session stands is kept back: the incubator module, the
    host's name, log levels, native libraries, Ivy's downloads. It is shown if the start fails or an error is among it.
    A session that exists, `spark-submit` and Spark Connect print what they print. On a `local` master the JVM compiles
    for a short life, unless the settings say otherwise.

    Args:
        master: Such as `local[4]`; `None` leaves it to Spark's own settings.
        conf: Any Spark settings.
        verbose: Show all that Spark prints, its warnings too.
    """
    options = {"spark.app.name": "sparkcider", "spark.ui.showConsoleProgress": "false"}
    if not verbose:
        options["spark.log.level"] = "ERROR"
    if master is not None:
        options["spark.master"] = master
    options.update(conf or {})
    starts, handler = _starts_a_jvm(options), signal.getsignal(signal.SIGINT)
    if starts and re.match(r"local($|\[)", options.get("spark.master", "local")) and not _has_administrator():
        options.setdefault("spark.driver.defaultJavaOptions", SHORT_LIVED)  # a user's extraJavaOptions come after these
    spark = _quiet_session(options) if starts and not verbose else _session(options)
    custom = handler not in (None, signal.default_int_handler)
    if custom and threading.current_thread() is threading.main_thread():
        # PySpark has put its own there, which calls the JVM in the middle of another call
        signal.signal(signal.SIGINT, handler)
    if "PYSPARK_PYTHON" not in os.environ and is_classic(spark) and str(spark.sparkContext.master).startswith("local"):
        # Spark would take the first python3 of the PATH, which is not the one of a virtualenv that is not activated.
        spark.sparkContext.pythonExec = sys.executable
    return spark


def silence() -> None:
    """Ends what Spark prints of work that is broken off, where there is a session; a signal handler may call this.

    The thread that a handler interrupts may be in the middle of a call to the JVM, so the call is made by another one.
    """
    context: Any = SparkContext._active_spark_context  # noqa: SLF001 - `getOrCreate` would start one
    if context is None:
        return

    def set_level() -> None:
        with suppress(Exception):  # the signal may have ended the JVM, too
            context.setLogLevel("OFF")

    thread = threading.Thread(target=set_level, name="sparkcider silence", daemon=True)
    thread.start()
    thread.join(timeout=SECONDS_TO_SILENCE)


class HeldOutput:
    """A pipe for a process to write to, kept back until it is known whether somebody must see it.

    A thread reads it as long as the process lives and passes on what comes later: to the stderr of this process itself,
    where the JVM would have written.
    """

    def __init__(self) -> None:
        self._read_end, self.write_end = os.pipe()
        self._lock = threading.Lock()
        self._ended = False
        self._held: deque[bytes] | None = deque(maxlen=READS_HELD)
        threading.Thread(target=self._pump, name="sparkcider stderr", daemon=True).start()

    def close(self) -> None:
        """Closes this process's own end for writing, when the other process has its."""
        os.close(self.write_end)

    def release(self, *, show: bool) -> None:
        """Ends the holding back.

        Args:
            show: Show what was kept; otherwise that is done only if there is an error in it.
        """
        with self._lock:
            while not self._ended and self._readable(0):  # what was written before this call counts as kept
                self._take()
            kept, self._held = b"".join(self._held or ()), None
        if show or FAULTS.search(kept):
            _write_stderr(kept)

    def _pump(self) -> None:
        while not self._ended:
            self._readable(None)
            with self._lock:
                if not self._ended and self._readable(0):  # `release` may have taken it meanwhile
                    self._take()
        os.close(self._read_end)

    def _take(self) -> None:
        data = os.read(self._read_end, READ_BYTES)
        self._ended = not data
        if self._held is None:
            _write_stderr(data)
        else:
            self._held.append(data)

    def _readable(self, milliseconds: int | None) -> bool:
        poll = select.poll()  # select() takes no descriptor over 1,023
        poll.register(self._read_end, select.POLLIN)
        return bool(poll.poll(milliseconds))


def _has_administrator() -> bool:
    """Whether Spark is an installation with settings of its own, which ours would replace; not the one of pip."""
    return any(name in os.environ for name in ("SPARK_HOME", "SPARK_CONF_DIR"))


def _starts_a_jvm(options: Mapping[str, str]) -> bool:
    """Whether `getOrCreate` would start a JVM for a classic session."""
    mode = options.get("spark.api.mode") or os.environ.get("SPARK_API_MODE", "")
    if mode.lower() not in ("classic", "connect"):
        mode = getattr(pyspark.util, "default_api_mode", lambda: "classic")()  # PySpark 3.5 has one mode
    running = SparkContext._gateway is not None  # noqa: SLF001 - public is only whether a session is active
    remote = "spark.remote" in options or any(name in os.environ for name in CONNECT)
    return not running and not remote and mode.lower() == "classic" and SUBMITTED not in os.environ


def _session(options: Mapping[str, str]) -> SparkSession:
    builder = SparkSession.builder
    for key, value in options.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def _quiet_session(options: Mapping[str, str]) -> SparkSession:
    """Starts the JVM with its stderr kept back, which `launch_gateway` is made for, and a session on it."""
    warnings.filterwarnings("ignore", PANDAS_3, FutureWarning)
    conf = SparkConf().setAll(list(options.items()))
    held = HeldOutput()
    failed = True
    try:
        try:
            gateway = launch_gateway(conf, {"stderr": held.write_end})  # type: ignore[no-untyped-call]
        finally:
            held.close()
        SparkContext(conf=conf, gateway=gateway)
        session = _session(options)
        failed = False
    finally:
        held.release(show=failed)
    return session


def _write_stderr(data: bytes) -> None:
    """Writes to descriptor 2; where nobody reads that, the bytes are dropped, as the JVM must never wait for it."""
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        pass

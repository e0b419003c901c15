"""What stands on stderr before the first line of a job, where the job starts Spark's JVM itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest

import sparkcider
from sparkcider.job import session
from sparkcider.job.session import HeldOutput, start_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OURS = "first line of the job"

START = f"""
import sys
from sparkcider.job.session import start_session

conf = {{"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", **eval(sys.argv[2])}}
spark = start_session("local[1]", conf, verbose=sys.argv[1] == "verbose")
print("{OURS}", file=sys.stderr, flush=True)
assert spark.sparkContext.appName == "sparkcider"
assert spark.sparkContext.getConf().get("spark.ui.enabled") == "false"
assert spark.range(3).count() == 3
runtime = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
assert ("-XX:TieredStopAtLevel=1" in runtime.getInputArguments()) is ("optimising" not in sys.argv)
if "later" in sys.argv:
    spark._jvm.java.lang.System.err.println("of the JVM, later")
spark.stop()
if "again" in sys.argv:  # the JVM runs on, and another session starts on it
    assert start_session("local[1]", conf).range(3).count() == 3
"""


def environment(**others: str) -> dict[str, str]:
    package = str(Path(sparkcider.__file__).parents[1])
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYSPARK")}
    return {**clean, "PYTHONPATH": path, **others}


def start(words: list[str], tmp_path: Path, **conf: str) -> subprocess.CompletedProcess[str]:
    mode, *rest = words
    settings = {name.replace("_", "."): value for name, value in conf.items()}
    command = [sys.executable, "-c", START, mode, repr(settings), *rest]
    return subprocess.run(
        command, env=environment(), cwd=tmp_path, capture_output=True, text=True, check=False, timeout=280
    )


def before(stderr: str) -> list[str]:
    """The lines before ours."""
    lines = stderr.splitlines()
    return lines[: lines.index(OURS)]


def test_a_start_prints_nothing_and_what_comes_later_is_passed_on(tmp_path: Path):
    done = start(["quiet", "later", "again"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert before(done.stderr) == []
    assert "of the JVM, later" in done.stderr.splitlines()


def test_the_users_options_of_the_jvm_count(tmp_path: Path):
    done = start(["quiet", "optimising"], tmp_path, spark_driver_defaultJavaOptions="-Dours=no")
    assert done.returncode == 0, done.stderr


def test_verbose_shows_all_of_it(tmp_path: Path):
    done = start(["verbose"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([line for line in before(done.stderr) if "WARN" in line or "log level" in line]) >= 2


def test_a_context_that_does_not_start_shows_why(tmp_path: Path):
    done = start(["quiet"], tmp_path, spark_driver_bindAddress="203.0.113.1", spark_port_maxRetries="0")
    assert done.returncode != 0
    shown = done.stderr.split("Traceback (most recent call last)")[0]
    assert "ERROR SparkContext: Error initializing SparkContext" in shown
    assert "NativeCodeLoader" in shown  # all of it


def test_a_jvm_that_does_not_start_shows_why(tmp_path: Path):
    done = start(["quiet"], tmp_path, spark_driver_extraJavaOptions="-Xmx1g")
    assert done.returncode != 0
    assert "Not allowed to specify max heap" in done.stderr.split("Traceback (most recent call last)")[0]
    assert "JAVA_GATEWAY_EXITED" in done.stderr


def test_an_error_in_the_log_is_shown_though_the_start_succeeds(tmp_path: Path):
    done = start(["quiet"], tmp_path, spark_metrics_conf="nowhere.properties")
    assert done.returncode == 0, done.stderr
    assert any("ERROR MetricsConfig" in line for line in before(done.stderr))


def submit(tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = tmp_path / "script.py"
    script.write_text(START)
    program = Path(pyspark.__file__).parent / "bin" / "spark-submit"
    conf = ["--conf", "spark.ui.enabled=false", "--conf", "spark.driver.host=127.0.0.1"]
    command = [str(program), "--master", "local[1]", *conf, *options, str(script), "quiet", "{}", "optimising"]
    done = subprocess.run(
        command,
        env=environment(PYSPARK_PYTHON=sys.executable, SPARK_HOME=str(program.parents[1])),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert OURS in done.stdout  # where spark-submit sends both outputs of a script
    return done


def test_under_spark_submit_nothing_is_changed(tmp_path: Path):
    done = submit(tmp_path)
    assert len([line for line in done.stderr.splitlines() if "WARN" in line]) >= 2


def test_the_file_of_the_guide_leaves_errors_only(tmp_path: Path):
    guide = Path(__file__).parents[2] / "docs" / "guides" / "troubleshooting.md"
    properties = re.findall(r"^```properties\n(.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "quiet.properties").write_text(properties[0])
    done = submit(tmp_path, "--driver-java-options", "-Dlog4j2.configurationFile=file:quiet.properties")
    assert set(done.stderr.splitlines()) <= {"WARNING: Using incubator modules: jdk.incubator.vector"}


def test_a_session_that_exists_is_taken_as_it_is(spark: SparkSession, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(session, "launch_gateway", lambda *_arguments: pytest.fail("a JVM was started"))
    assert start_session().sparkContext is spark.sparkContext


@pytest.mark.parametrize(
    ("options", "variables", "expected"),
    [
        ({}, {}, True),
        ({"spark.master": "local[2]"}, {"SPARK_CONNECT_MODE": "0"}, True),
        ({}, {"SPARK_REMOTE": "sc://localhost"}, False),
        ({}, {"SPARK_CONNECT_MODE_ENABLED": "1"}, False),
        ({"spark.remote": "local"}, {}, False),
        ({"spark.api.mode": "connect"}, {}, False),
        ({}, {"SPARK_API_MODE": "connect"}, False),
        ({"spark.api.mode": "classic"}, {"SPARK_API_MODE": "connect"}, True),
        ({}, {"PYSPARK_GATEWAY_PORT": "1"}, False),
    ],
)
def test_a_jvm_is_started_for_a_classic_session_only(
    options: dict[str, str], variables: dict[str, str], monkeypatch: pytest.MonkeyPatch, *, expected: bool
):
    monkeypatch.setattr(session.SparkContext, "_gateway", None)
    for name in (*session.CONNECT, session.SUBMITTED, "SPARK_API_MODE", "SPARK_CONNECT_MODE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert session._starts_a_jvm(options) is expected


# The pipe


def released(written: bytes, *, show: bool, capfd: pytest.CaptureFixture[str]) -> str:
    held = HeldOutput()
    os.write(held.write_end, written)
    held.release(show=show)
    held.close()
    return capfd.readouterr().err


NOISE = b"""WARNING: Using incubator modules: jdk.incubator.vector
26/11/25 03:53:15 WARN Utils: Your hostname, vm, resolves to a loopback address: 127.0.0.1 ERROR none
Setting default log level to "WARN".
Setting Spark log level to "ERROR".
:: resolving dependencies :: org.apache.spark#spark-submit-parent;1.0
"""


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (b"", False),
        (b"26/11/25 03:53:15 ERROR SparkUI: Failed to bind\n", True),
        (b"2026-11-25T03:53:15 [main] FATAL Utils: gone\n", True),
        (b'{"ts":"2026","level":"ERROR","msg":"gone"}\n', True),
        (b'Exception in thread "main" java.lang.Error\n', True),
    ],
)
def test_what_was_kept_is_shown_if_there_is_an_error_in_it(
    line: bytes, capfd: pytest.CaptureFixture[str], *, shown: bool
):
    assert released(NOISE + line, show=False, capfd=capfd) == ((NOISE + line).decode() if shown else "")
    assert released(NOISE + line, show=True, capfd=capfd) == (NOISE + line).decode()


def test_what_comes_after_the_release_is_passed_on_and_the_thread_ends(capfd: pytest.CaptureFixture[str]):
    before_it = set(threading.enumerate())
    held = HeldOutput()
    (pump,) = set(threading.enumerate()) - before_it
    assert pump.daemon
    os.write(held.write_end, NOISE)
    held.release(show=False)
    for number in range(1000):
        os.write(held.write_end, b"%d\n" % number)
    held.close()
    pump.join(20)
    assert not pump.is_alive()
    assert capfd.readouterr().err.split() == [str(number) for number in range(1000)]
    held.release(show=True)  # too late to do harm
    assert capfd.readouterr().err == ""


def test_a_process_that_writes_much_does_not_wait_and_its_last_words_are_kept(capfd: pytest.CaptureFixture[str]):
    held = HeldOutput()
    line = b"x" * 1023 + b"\n"
    for _ in range(8 << 10):  # 8 MiB: twice what is kept
        os.write(held.write_end, line)
    os.write(held.write_end, b"the last words\n")
    held.close()
    deadline = time.monotonic() + 20
    while not held._ended and time.monotonic() < deadline:
        time.sleep(0.01)
    held.release(show=True)
    shown = capfd.readouterr().err
    assert shown.endswith("the last words\n")
    assert len(shown) <= session.READS_HELD * session.READ_BYTES

"""Jars of Maven Central that PySpark does not bring, fetched by the Ivy that it does bring.

`SPARKCIDER_TEST_JARS` names a folder of jars instead. Where neither can be had, the test skips.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyspark
import pytest
from spark_clusters import SPARK_HOME

if TYPE_CHECKING:
    from collections.abc import Sequence

PATIENCE_SECONDS = 240


class Jar(NamedTuple):
    """An artifact; `alone`: without what it asks for."""

    organisation: str
    name: str
    version: str
    alone: bool = False


SDK_2, SDK_1 = "software.amazon.awssdk", "com.amazonaws"
PARTS = {
    "3.3.4": [Jar(SDK_1, f"aws-java-sdk-{name}", "1.12.262") for name in ("s3", "sts", "dynamodb")],
    "3.4.1": [Jar(SDK_2, name, "2.24.6") for name in ("s3", "s3-transfer-manager", "sts")],
    "3.4.2": [Jar(SDK_2, name, "2.29.52") for name in ("s3", "s3-transfer-manager", "sts")],
    "3.5.0": [Jar(SDK_2, name, "2.35.4") for name in ("s3", "s3-transfer-manager", "sts")],
}
"""What each Hadoop's connector needs of the AWS SDK that it was built with: 20 MB of a bundle of 280 or 600."""


def hadoop_version() -> str:
    """Of the Hadoop client that this PySpark brings."""
    (jar,) = (SPARK_HOME / "jars").glob("hadoop-client-api-*.jar")
    return jar.stem.rpartition("-")[2]


def s3_connector(folder: Path) -> list[Path]:
    """hadoop-aws for this PySpark, and what it needs, as files in `folder`."""
    version = hadoop_version()
    if version not in PARTS:
        pytest.skip(f"which AWS SDK goes with the Hadoop {version} of this PySpark is not known here")
    wanted = [Jar("org.apache.hadoop", "hadoop-aws", version), *PARTS[version]]
    return fetched(wanted, [(SDK_2, "bundle"), (SDK_1, "aws-java-sdk-bundle")], folder)


DELTA = {
    "3.5": ("delta-spark_2.12", "3.3.2"),
    "4.0": ("delta-spark_4.0_2.13", "4.4.0"),
    "4.1": ("delta-spark_4.1_2.13", "4.4.0"),
    "4.2": ("delta-spark_4.2_2.13", "4.4.0"),
}
"""The Delta of each Spark; there is none for 4.3 yet."""


def delta(folder: Path) -> list[Path]:
    """Delta for this PySpark, as files in `folder`."""
    version = ".".join(pyspark.__version__.split(".")[:2])
    if version not in DELTA:
        pytest.skip(f"which Delta goes with PySpark {version} is not known here")
    name, release = DELTA[version]
    return fetched([Jar("io.delta", name, release)], [("org.apache.spark", "*")], folder)


def fetched(jars: Sequence[Jar], without: Sequence[tuple[str, str]], folder: Path) -> list[Path]:
    """The jars and what they need, as files in `folder`; `without` leaves modules out, by organisation and name."""
    given = os.environ.get("SPARKCIDER_TEST_JARS")
    if given:
        found = sorted(Path(given).glob("*.jar"))
        ends = {jar.name: f"{jar.name}-{jar.version}.jar" for jar in jars}
        missing = [name for name, end in ends.items() if not any(path.name.endswith(end) for path in found)]
        if missing:
            pytest.skip(f"SPARKCIDER_TEST_JARS={given} has no {', '.join(missing)}")
        return found
    java = shutil.which("java")
    assert java is not None
    ivy, pattern = folder / "ivy.xml", f"{folder}/jars/[organisation]_[artifact]-[revision].[ext]"
    ivy.write_text(_ivy(jars, without))
    command = [java, "-cp", f"{SPARK_HOME}/jars/*", "org.apache.ivy.Main", "-ivy", str(ivy), "-retrieve", pattern]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"Maven Central took more than {PATIENCE_SECONDS} s; SPARKCIDER_TEST_JARS names a folder of jars")
    if done.returncode:
        found = re.search(r"\S+#\S+: not found", done.stdout + done.stderr)
        why = found[0] if found else (done.stdout + done.stderr)[-200:]
        pytest.skip(f"no jars from Maven Central ({why}); SPARKCIDER_TEST_JARS names a folder of jars")
    return sorted((folder / "jars").glob("*.jar"))


def _ivy(jars: Sequence[Jar], without: Sequence[tuple[str, str]]) -> str:
    wanted = "".join(
        f'<dependency org="{jar.organisation}" name="{jar.name}" rev="{jar.version}" conf="default->master'
        f'{"" if jar.alone else ",runtime"}"/>'
        for jar in jars
    )
    excluded = "".join(f'<exclude org="{organisation}" module="{name}"/>' for organisation, name in without)
    return (
        '<ivy-module version="2.0"><info organisation="sparkcider" module="tests"/>'
        '<configurations><conf name="default"/></configurations>'
        f"<dependencies>{wanted}{excluded}</dependencies></ivy-module>"
    )

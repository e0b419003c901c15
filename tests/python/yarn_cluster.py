"""YARN on this machine for the tests: Hadoop's own ResourceManager and NodeManager, from Maven Central."""

from __future__ import annotations

import shutil
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from maven_jars import Jar, hadoop_version
from spark_clusters import QUICK_JVM, SPARK_HOME, running, waited_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = "org.apache.hadoop.yarn.server"


def wanted() -> list[Jar]:
    """The servers, which Spark's Hadoop client lacks, and what they ask for and do not bring."""
    return [
        Jar("org.apache.hadoop", "hadoop-client-minicluster", hadoop_version(), alone=True),
        Jar("org.bouncycastle", "bcprov-jdk18on", "1.78.1"),
        Jar("org.bouncycastle", "bcpkix-jdk18on", "1.78.1"),
        Jar("javax.xml.bind", "jaxb-api", "2.3.1"),  # of Java until 11
        Jar("com.sun.xml.bind", "jaxb-impl", "2.3.9"),
    ]


@contextmanager
def yarn(folder: Path, jars: list[Path]) -> Iterator[Path]:
    """A cluster of one node of 4 GB; yields the folder that HADOOP_CONF_DIR must name."""
    conf = folder / "conf"
    conf.mkdir()
    _write(conf / "core-site.xml", {"fs.defaultFS": "file:///"})
    _write(conf / "yarn-site.xml", _settings(folder))
    _write(
        conf / "capacity-scheduler.xml",
        {
            "yarn.scheduler.capacity.root.queues": "default",
            "yarn.scheduler.capacity.root.default.capacity": "100",
            "yarn.scheduler.capacity.maximum-am-resource-percent": "1",
        },
    )
    classes = ":".join([str(conf), f"{SPARK_HOME}/jars/*", *map(str, jars)])
    java = [shutil.which("java"), "--add-opens", "java.base/java.lang=ALL-UNNAMED", *QUICK_JVM.split()]  # for Guice
    java += ["-Dlog4j2.level=INFO", "-cp", classes]
    manager, node = folder / "resourcemanager.log", folder / "nodemanager.log"
    with running([*java, f"{SERVER}.resourcemanager.ResourceManager"], manager) as process:
        waited_for("(Transitioned) to active", manager, process)
        with running([*java, f"{SERVER}.nodemanager.NodeManager"], node) as other:
            waited_for("(Registered) with ResourceManager", node, other)
            yield conf


def _settings(folder: Path) -> dict[str, str]:
    ports = iter(_free_ports(6))
    manager = ("", ".scheduler", ".resource-tracker", ".admin", ".webapp")
    node = "yarn.nodemanager"
    return {
        **{f"yarn.resourcemanager{part}.address": f"127.0.0.1:{next(ports)}" for part in manager},
        "yarn.resourcemanager.hostname": "127.0.0.1",
        f"{node}.hostname": "127.0.0.1",
        f"{node}.address": "127.0.0.1:0",
        f"{node}.localizer.address": f"127.0.0.1:{next(ports)}",
        f"{node}.webapp.address": "127.0.0.1:0",
        f"{node}.local-dirs": str(folder / "local"),
        f"{node}.log-dirs": str(folder / "logs"),
        f"{node}.delete.debug-delay-sec": "600",  # the tests look at what a container had
        f"{node}.disk-health-checker.max-disk-utilization-per-disk-percentage": "100",
        f"{node}.resource.memory-mb": "4096",
        f"{node}.resource.cpu-vcores": "4",
        f"{node}.vmem-check-enabled": "false",
        "yarn.scheduler.minimum-allocation-mb": "128",
    }


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for taken in sockets:
        taken.bind(("127.0.0.1", 0))
    ports = [taken.getsockname()[1] for taken in sockets]
    for taken in sockets:
        taken.close()
    return ports


def _write(path: Path, settings: dict[str, str]) -> None:
    pairs = (
        f"<property><name>{key}</name><value>{escape(value)}</value></property>" for key, value in settings.items()
    )
    path.write_text(f"<configuration>{''.join(pairs)}</configuration>")

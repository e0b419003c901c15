"""Renews the pinned packages of bootstrap/emr/bootstrap.sh: runs pip for each Python and machine.

The versions below are the newest that all of Spark 3.5 to 4.1 work with and that have wheels for each Python.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "bootstrap" / "emr" / "bootstrap.sh"
PYTHONS = ["3.9", "3.10", "3.11", "3.12", "3.13"]
MACHINES = ["x86_64", "aarch64"]
GLIBC = ["2_28", "2_27", "2_26", "2_24", "2_17"]
"""Those of manylinux that packages name, up to the wheel's own."""

WANTED = [
    "jinja2==3.1.6",
    "matplotlib==3.9.4",
    "pandas==2.3.3",
    "pyarrow==21.0.0",
    "python-dateutil==2.9.0.post0",
    "tqdm==4.67.3",
]
NUMPY = {"3.13": "numpy==2.1.3"}
"""numpy 1.26, which PySpark 3.5 was made for, ends at Python 3.12."""
ONLY = {"3.9": ["importlib-resources==6.5.2", "zipp==3.23.0"]}
"""Of matplotlib: pip asks the Python that runs it, not the one that is wanted, whether a dependency is for it."""


def main() -> None:
    """Writes the pins into the script."""
    versions: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    hashes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for python in PYTHONS:
        for machine in MACHINES:
            for name, version, checksum in resolved(python, machine):
                versions[name][version].add(python)
                hashes[name, version].add(checksum)
    lines = [f"# made by scripts/{Path(__file__).name}"]
    for name, found in sorted(versions.items()):
        for version, pythons in sorted(found.items()):
            lines.append(requirement(name, version, pythons, sorted(hashes[name, version])))
    text = SCRIPT.read_text(encoding="utf-8")
    block = "\n".join(["<<'PINS'", *lines, "PINS\n"])
    SCRIPT.write_text(re.sub(r"<<'PINS'\n.*?^PINS\n", block, text, flags=re.DOTALL | re.MULTILINE), encoding="utf-8")


def resolved(python: str, machine: str) -> list[tuple[str, str, str]]:
    """Name, version and SHA-256 of each wheel that pip would install there."""
    target = [f"--python-version={python}", *(f"--platform=manylinux_{glibc}_{machine}" for glibc in GLIBC)]
    target += [f"--platform=manylinux2014_{machine}", "--target=unused", "--only-binary=:all:"]
    report = ["--dry-run", "--ignore-installed", "--quiet", "--report=-"]
    wanted = [*WANTED, NUMPY.get(python, "numpy==1.26.4"), *ONLY.get(python, [])]
    command = [sys.executable, "-m", "pip", "install", *report, *target, *wanted]
    answer = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    found = []
    for item in answer["install"]:
        checksum = item["download_info"]["archive_info"]["hashes"]["sha256"]
        found.append((item["metadata"]["name"], item["metadata"]["version"], checksum))
    return found


def requirement(name: str, version: str, pythons: set[str], hashes: list[str]) -> str:
    """The lines of one package in pip's format."""
    marker = "" if len(pythons) == len(PYTHONS) else f' ; python_version in "{" ".join(sorted(pythons))}"'
    return " \\\n".join([f"{name}=={version}{marker}", *(f"    --hash=sha256:{checksum}" for checksum in hashes)])


if __name__ == "__main__":
    main()

"""The house itself: what an import does, the versions, the prerequisites, the layers gate."""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sparkcider

REPOSITORY = Path(__file__).parents[2]

IMPORT_ALONE = """
import json, os, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pyspark", "pandas"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent())
import sparkcider

proc = "/proc/self/"
print(json.dumps({
    "modules": sorted({name.split(".")[0] for name in sys.modules}),
    "threads": len(os.listdir(proc + "task")) if os.path.isdir(proc) else 1,
    "onnxruntime": os.path.isdir(proc) and "libonnxruntime" in open(proc + "maps").read(),
    "names": [name for name in sparkcider.__all__ if not hasattr(sparkcider, name)],
}))
"""


def test_import_needs_no_spark_starts_no_thread_and_loads_no_onnxruntime():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALONE], check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert found["threads"] == 1
    assert found["onnxruntime"] is False
    assert found["names"] == []
    assert not {"pyspark", "pandas", "onnxruntime", "sklearn", "PIL"} & set(found["modules"])


def test_the_versions_agree():
    manifest = (REPOSITORY / "Cargo.toml").read_text(encoding="utf-8")
    version = re.search(r'^version = "(.+)"$', manifest, re.MULTILINE)[1]
    assert sparkcider.__version__ == version == importlib.metadata.version("sparkcider")


def test_the_changelog_has_this_version_or_unreleased_on_top():
    changelog = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    top = re.search(r"^## \[(.+?)\]", changelog, re.MULTILINE)[1]
    assert top in {"Unreleased", sparkcider.__version__}


def check_prerequisites(**environment: str) -> subprocess.CompletedProcess[str]:
    script = REPOSITORY / "scripts" / "check_prerequisites.sh"
    return subprocess.run(["/bin/sh", script], capture_output=True, text=True, check=False, env=environment)


def test_each_missing_prerequisite_is_one_line_with_its_command():
    done = check_prerequisites(PATH="/nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    needed = ["Python >= 3.9", "a C compiler", "CMake", "NASM", "Rust >= 1.92", "Java >= 17"]
    for line, missing in zip(lines, needed):
        assert line.startswith(f"missing: {missing}")
        assert ". Install it: " in line
    assert len(lines) == len(needed)


def test_an_old_prerequisite_is_named_with_what_was_found(tmp_path):
    for name in ["python3", "cc", "cmake", "nasm", "cargo"]:
        write_program(tmp_path / name, "exit 0")
    write_program(tmp_path / "rustc", "echo 'rustc 1.85.0 (4d91de4e4 2025-02-17)'")
    write_program(tmp_path / "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    done = check_prerequisites(PATH=str(tmp_path))
    assert done.stderr.splitlines() == [
        "missing: Rust >= 1.92 (found 1.85). Install it: rustup update stable",
        "missing: Java >= 17. Install it: install with your package manager: openjdk-17",
    ]
    write_program(tmp_path / "rustc", "echo 'rustc 1.92.0'")
    write_program(tmp_path / "java", """echo 'openjdk version "17" 2021-09-14' >&2""")
    done = check_prerequisites(PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("version", "java"), [("12", "17"), ("13", "21")])
def test_the_java_to_install_is_one_that_this_debian_has(tmp_path, version, java):
    write_program(tmp_path / "apt-get", "exit 0")
    release = tmp_path / "os-release"
    release.write_text(f'PRETTY_NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="{version}"\n', encoding="utf-8")
    done = check_prerequisites(PATH=str(tmp_path), OS_RELEASE=str(release))
    line = f"missing: Java >= 17. Install it: sudo apt-get install -y openjdk-{java}-jre-headless"
    assert line in done.stderr.splitlines()


def write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


def test_a_platform_without_onnxruntime_says_what_it_needs_in_one_line(monkeypatch):
    pytest.importorskip("maturin", reason="needs the extra sparkcider[dev]")
    monkeypatch.syspath_prepend(str(REPOSITORY / "build_backend"))
    import sparkcider_build

    monkeypatch.setattr(sparkcider_build.platform, "machine", lambda: "riscv64")
    monkeypatch.delenv("SPARKCIDER_ONNXRUNTIME", raising=False)
    with pytest.raises(
        SystemExit, match="no ONNX Runtime library for Linux riscv64: set SPARKCIDER_ONNXRUNTIME"
    ) as stop:
        sparkcider_build.bundle(sparkcider_build.this_machine())
    assert "\n" not in str(stop.value)
    monkeypatch.setenv("SPARKCIDER_ONNXRUNTIME", "/opt/libonnxruntime.so")
    sparkcider_build.bundle(sparkcider_build.this_machine())

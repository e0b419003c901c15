"""Writes the seeds of the fuzz targets that tests/data has no files for: `python fuzz/make_seeds.py`."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from sparkcider import Moments, Pca
from sparkcider._native import RandomizedPca, Sketch

SEEDS = Path(__file__).parent / "seeds"
DATA = Path(__file__).parents[1] / "tests" / "data"


def write(target: str, name: str, data: bytes) -> None:
    """One seed."""
    folder = SEEDS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def main() -> None:
    """All seeds, the same on every run."""
    rows = pa.array(np.random.default_rng(0).normal(size=(9, 4)).tolist())
    for name, count in (("rows", 2), ("scatter", 9)):
        moments = Moments()
        moments.update(rows[:count])
        write("state", f"moments-{name}", moments.to_bytes())
    write("state", "pca", Pca(k=2, standardize=True).fit(moments).to_bytes())
    solver = RandomizedPca(4, width=2)
    write("state", "basis", solver.basis())
    sketch = Sketch(solver.basis())
    sketch.update(rows)
    write("state", "sketch", sketch.to_bytes())
    exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    write("exif", "orientation6", exif)
    write("resize", "bytes", bytes(range(40)))
    write("columns", "bytes", bytes(range(64)))
    write("decode", "empty.bmp", b"BM" + bytes(52))
    write("metadata", "word", b"center_crop")
    for model in DATA.glob("*.onnx"):
        if model.stat().st_size < 1 << 14:
            shutil.copy(model, SEEDS / "metadata" / model.name)


if __name__ == "__main__":
    main()

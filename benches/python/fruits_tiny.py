"""Images per second of `fruits-tiny` on one core, from JPEG bytes, beside ONNX Runtime alone (Linux).

    python benches/python/fruits_tiny.py [--images FOLDER] [--rounds 5]

Needs onnxruntime and pillow. The process is bound to one core; the quickest of the rounds counts, since whatever else
runs on a machine only ever slows. The promise is 1,000 images/s.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnxruntime
import pyarrow as pa
from jobs.data import DATA
from PIL import Image

import sparkcider
from sparkcider import FeatureExtractor

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = Path(sparkcider.__file__).parent / "pretrained" / "fruits-tiny.onnx"


def fastest(work: Callable[[], object], rounds: int) -> float:
    """Seconds of the quickest of `rounds` runs, after one that warms up."""
    work()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def runtime_alone(batches: list[np.ndarray]) -> Callable[[], object]:
    """ONNX Runtime with one thread over tensors that are ready."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(MODEL, options, providers=["CPUExecutionProvider"])
    return lambda: [session.run(None, {"image": batch}) for batch in batches]


def tensor(images: list[bytes], side: int) -> np.ndarray:
    """(N, 3, side, side) f32 in [-1, 1], prepared by Pillow."""
    opened = [Image.open(io.BytesIO(image)).convert("RGB").resize((side, side)) for image in images]
    return np.stack([np.asarray(image) for image in opened]).transpose(0, 3, 1, 2).astype(np.float32) / 127.5 - 1


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=DATA / "fruits" / "Test", help="folder of JPEGs")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    images = [path.read_bytes() for path in sorted(arguments.images.rglob("*.jpg"))]
    extractor, column = FeatureExtractor(MODEL), pa.array(images, pa.binary())
    side = extractor.input_size[0]
    prepare = FeatureExtractor("pixels", input_size=side, filter="bicubic")
    rows = {
        "sparkcider, JPEG bytes to embeddings": lambda: extractor.extract(column),
        "  of it decode and resize": lambda: prepare.extract(column),
    }
    tensors = tensor(images, side)
    for batch in (1, 8):
        batches = [tensors[start : start + batch] for start in range(0, len(tensors), batch)]
        rows[f"onnxruntime alone, batches of {batch}"] = runtime_alone(batches)
    print(f"{len(images)} images, one core, the quickest of {arguments.rounds} rounds")
    for name, work in rows.items():
        print(f"{name:40s} {len(images) / fastest(work, arguments.rounds):8,.0f} images/s")


if __name__ == "__main__":
    main()

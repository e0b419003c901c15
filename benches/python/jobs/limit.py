"""onnxruntime alone on ready tensors: one session of one thread for each core, images/s of all together.

    python -m jobs.limit --images FOLDER --model MODEL --seconds 5 [--way threads --batch 1]

No job with the same network on the same cores can be faster. The tensors are those of real images, `TENSORS` for each
core in turn: a single one would stay in the core's cache, which no tensor of a job does. Prints JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import threading
import time
from pathlib import Path

import numpy as np

TENSORS = 32
WARM_UP = 5
START_SECONDS = 120
WAYS = ("threads", "processes")


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0))


def tensors(folder: Path, shape: list[int], batch: int) -> list[np.ndarray]:
    """Batches of images in [-1, 1], as the model takes them."""
    from PIL import Image

    height, width = shape[1:3] if shape[3] == 3 else shape[2:4]
    files = sorted(folder.rglob("*.jpg"))
    if not files:
        raise SystemExit(f"{folder} holds no .jpg: name a folder of images with --images")
    rows = []
    for file in itertools.islice(itertools.cycle(files), TENSORS):
        with Image.open(file) as image:
            pixels = np.asarray(image.convert("RGB").resize((width, height)), np.float32) / 127.5 - 1
        rows.append(pixels if shape[3] == 3 else pixels.transpose(2, 0, 1))
    return [np.ascontiguousarray(rows[start : start + batch]) for start in range(0, TENSORS, batch)]


def run(options: argparse.Namespace, start, rates) -> None:
    """Runs one session from the moment when all are ready; puts images/s."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(options.model, settings, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    ready = tensors(options.images, given.shape, options.batch)
    for tensor in ready[:WARM_UP]:
        session.run(None, {given.name: tensor})
    turns, images = itertools.cycle(ready), 0
    start.wait()
    begin = time.perf_counter()
    while time.perf_counter() - begin < options.seconds:
        images += len(session.run(None, {given.name: next(turns)})[0])
    rates.put(images / (time.perf_counter() - begin))


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--way", choices=WAYS, default="threads")
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    rates = context.Queue()
    start, kind = context.Barrier(cores()), context.Process
    if options.way == "threads":
        start, kind = threading.Barrier(cores()), threading.Thread
    for _ in range(cores()):
        kind(target=run, args=(options, start, rates), daemon=True).start()
    # a worker that fails prints its traceback, and the others wait for it
    rate = sum(rates.get(timeout=options.seconds + START_SECONDS) for _ in range(cores()))
    print(json.dumps({"images_per_second": rate}))


if __name__ == "__main__":
    main()

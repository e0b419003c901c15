"""int8 beside float32 on real images: 1-nearest-neighbour accuracy and speed.

    python benches/python/int8.py [MODEL.onnx] [--normalization tf] [--speed-only]

Quantizes the model (default: MobileNetV2 of the test data) on fruits/Training, then looks for the nearest embedding of
fruits/Training for each image of fruits/Test. Speed is the median of paired runs of the network alone, one thread, in
CPU time: what else the machine does slows both.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from jobs.data import DATA

from sparkcider import FeatureExtractor
from sparkcider.models.quantize import quantize

ROUNDS = 41
BATCH = 8


def embeddings(extractor: FeatureExtractor, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N, D) of length 1, and the folders' names."""
    files = sorted(folder.glob("*/*.jpg"))
    parts = []
    for start in range(0, len(files), 256):
        features, _ = extractor.extract(pa.array([file.read_bytes() for file in files[start : start + 256]]))
        parts.append(features.flatten().to_numpy().reshape(len(features), -1))
    rows = np.concatenate(parts)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True), np.array([file.parent.name for file in files])


def seconds(extractor: FeatureExtractor, images: pa.Array) -> float:
    """CPU time of one batch."""
    start = time.thread_time()
    extractor.extract(images)
    return time.thread_time() - start


def main() -> None:
    """Prints the price that `quantize` tells, the accuracy on the whole test split, and the speed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=str(DATA / "models" / "mobilenetv2_imagenet.onnx"))
    parser.add_argument("--normalization", default=None)
    parser.add_argument("--speed-only", action="store_true")
    options = parser.parse_args()
    said = {"normalization": options.normalization} if options.normalization else {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "int8.onnx")
        price = quantize(options.model, str(DATA / "fruits" / "Training"), path, **said)
        print(*price.lines(), sep="\n")
        both = [FeatureExtractor(options.model, **said), FeatureExtractor(path)]
        images = pa.array([file.read_bytes() for file in sorted((DATA / "fruits" / "Test").glob("*/*.jpg"))[:BATCH]])
        prepare = both[0]._inputs()  # noqa: SLF001 - decoding and resizing are not the network's time
        times = np.array([[seconds(each, images) for each in (*both, prepare)] for _ in range(ROUNDS)])
        network = times[:, :2] - times[:, 2:]
        ratio = np.median(network[:, 0] / network[:, 1])
        print(f"network alone: {np.median(network[:, 0]) / BATCH * 1e3:.2f} ms float32, "
              f"{np.median(network[:, 1]) / BATCH * 1e3:.2f} ms int8, {ratio:.2f} x")  # fmt: skip
        if options.speed_only:
            return
        for name, extractor in zip(("float32", "int8"), both):
            known, labels = embeddings(extractor, DATA / "fruits" / "Training")
            rows, own = embeddings(extractor, DATA / "fruits" / "Test")
            hits = labels[(rows @ known.T).argmax(axis=1)] == own
            print(f"1-NN accuracy of {name:<8} {hits.mean():.2%} of {len(own):,} images")


if __name__ == "__main__":
    main()

"""Vision transformers: images per run of ONNX Runtime, and whole jobs in int8 beside float32.

    python benches/python/vision_transformers.py [--images 1000] [--skip-jobs]

The networks have the sizes of ViT-B/32 and ViT-S and random weights, which take the time of trained ones. Images per
run are measured on one core in CPU time, and the sizes take turns. Jobs are `sparkcider run` on fruits of the test data
(SPARKCIDER_TEST_DATA), with all cores: float32, int8, float32. Needs onnx and onnxruntime.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from jobs.data import DATA

from sparkcider.models.quantize import quantize

SIZES = (1, 2, 3, 4, 5, 8)
ROUNDS = 5
N_JUDGED = 64


class Shape(NamedTuple):
    """Sides in pixels; `width` is that of the tokens."""

    name: str
    width: int
    heads: int
    patch: int
    side: int = 224
    layers: int = 12


SHAPES = (
    Shape("B/32", 768, 12, 32),
    Shape("S/32", 384, 6, 32),
    Shape("S/16 at 160", 384, 6, 16, 160),
    Shape("B/32 at 384, 6 layers", 768, 12, 32, 384, 6),
    Shape("S/16", 384, 6, 16),
)


class Graph:
    """Operators and weights of a network."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self._random = np.random.default_rng(0)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """An operator; returns the name of its result."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def given(self, *numbers: int) -> str:
        """Integers that the network is made with."""
        return self._weight(np.array(numbers, np.int64))

    def random(self, *shape: int) -> str:
        """Weights as a transformer begins its training with."""
        return self._weight((self._random.standard_normal(shape) * 0.02).astype(np.float32))

    def dense(self, rows: str, n_in: int, n_out: int) -> str:
        """A product with weights, and their sum with others."""
        return self.add("Add", self.add("MatMul", rows, self.random(n_in, n_out)), self.random(n_out))

    def _weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name


def _attention(net: Graph, rows: str, shape: Shape) -> str:
    width, heads = shape.width, shape.heads
    split = net.given(0, 0, heads, width // heads)
    parts = [net.add("Reshape", net.dense(rows, width, width), split) for _ in range(3)]
    query, value = (net.add("Transpose", part, perm=[0, 2, 1, 3]) for part in parts[:2])
    key = net.add("Transpose", parts[2], perm=[0, 2, 3, 1])
    shares = net.add("Softmax", net.add("MatMul", query, key), axis=-1)
    joined = net.add("Transpose", net.add("MatMul", shares, value), perm=[0, 2, 1, 3])
    return net.dense(net.add("Reshape", joined, net.given(0, 0, width)), width, width)


def transformer(shape: Shape) -> bytes:
    """The ONNX file: patches, layers of attention and of two products, the mean of the tokens."""
    net, width = Graph(), shape.width
    patches = net.add("Conv", "pixel_values", net.random(width, 3, shape.patch, shape.patch), strides=[shape.patch] * 2)
    rows = net.add("Transpose", net.add("Reshape", patches, net.given(0, width, -1)), perm=[0, 2, 1])

    def normalized(rows: str) -> str:
        return net.add("LayerNormalization", rows, net.random(width), net.random(width), axis=-1)

    for _ in range(shape.layers):
        rows = net.add("Add", rows, _attention(net, normalized(rows), shape))
        inner = net.dense(normalized(rows), width, 4 * width)
        active = net.add("Mul", inner, net.add("Sigmoid", inner))
        rows = net.add("Add", rows, net.dense(active, 4 * width, width))
    features = net.add("ReduceMean", rows, axes=[1], keepdims=0)
    value, kind = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        net.nodes,
        "transformer",
        [value("pixel_values", kind, ["N", 3, shape.side, shape.side])],
        [value(features, kind, ["N", width])],
        net.weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def images_per_run(shape: Shape) -> None:
    """Prints the speed for each number of images as against one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(transformer(shape), options, providers=["CPUExecutionProvider"])
    random, best = np.random.default_rng(0), dict.fromkeys(SIZES, float("inf"))
    for _ in range(ROUNDS):
        for size in SIZES:
            images = random.random((size, 3, shape.side, shape.side), np.float32)
            start = time.process_time()
            session.run(None, {"pixel_values": images})
            best[size] = min(best[size], (time.process_time() - start) / size)
    ratios = "  ".join(f"{size}: {best[1] / seconds:.2f}" for size, seconds in best.items())
    print(f"{shape.name:<22} {(shape.side // shape.patch) ** 2:>3} patches  {ratios}")


def jobs(n_images: int) -> None:
    """Prints the images per second of three jobs, and the ratio of int8 to both others."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "images").mkdir()
        files = sorted((DATA / "fruits").rglob("*.jpg"))
        for number, file in enumerate(files[:: max(1, len(files) // n_images)][:n_images]):
            shutil.copy(file, root / "images" / f"{number}.jpg")
        float32, int8 = root / "float32.onnx", root / "int8.onnx"
        float32.write_bytes(transformer(SHAPES[-1]))
        quantize(float32, str(root / "images"), int8, n=N_JUDGED, normalization="torch")
        rates = []
        for number, model in enumerate(("float32", "int8", "float32")):
            out = root / f"out{number}"
            command = [sys.executable, "-m", "sparkcider", "run", "--input", str(root / "images"), "--output", str(out)]
            command += ["--model", str(root / f"{model}.onnx"), "--normalization", "torch", "--no-pca"]
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
            rates.append(json.loads((out / "summary.json").read_text())["images_per_second"])
            print(f"S/16, whole job, {model:<8} {rates[-1]:.1f} images/s")
        print(f"int8 {2 * rates[1] / (rates[0] + rates[2]):.2f} x float32")


def main() -> None:
    """Prints both."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1000, help="default: %(default)s")
    parser.add_argument("--skip-jobs", action="store_true")
    options = parser.parse_args()
    for shape in SHAPES:
        images_per_run(shape)
    if not options.skip_jobs:
        jobs(options.images)


if __name__ == "__main__":
    main()

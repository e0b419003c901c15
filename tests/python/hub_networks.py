"""Small networks in the layouts of hub exports: a transformer, and images with texts; and what onnxruntime gives."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from onnx_nets import Net, new_net, onnx

from sparkcider.models.export.source import set_metadata
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

    from sparkcider import FeatureExtractor

onnxruntime = pytest.importorskip("onnxruntime")

PATCH, DIM, SIDE = 16, 24, 48
PATCHES = (SIDE // PATCH) ** 2
AXES = ["batch_size", "num_channels", "height", "width"]


def tokens_of(net: Net, image: str, *, prefix: tuple[int, ...] = (1,), patches_last: bool = True) -> str:
    """Patches of the image with other tokens before (or behind) them, then one layer over all."""
    patches = net.add(
        "Conv",
        [image, net.floats(DIM, 3, PATCH, PATCH), net.floats(DIM)],
        "patches",
        kernel_shape=[PATCH, PATCH],
        strides=[PATCH, PATCH],
    )
    flat = net.add("Reshape", [patches, net.weight(np.array([0, DIM, -1]))], "flat")
    last = net.add("Transpose", [flat], "rows", perm=[0, 2, 1])
    size = net.add("Gather", [net.add("Shape", [image], "shape"), net.weight(np.array([0]))], "n")
    for at, count in enumerate(prefix):
        axes = net.add("Concat", [size, net.weight(np.array([count, DIM]))], f"axes{at}", axis=0)
        others = net.add("Expand", [net.floats(1, count, DIM), axes], f"others{at}")
        last = net.add("Concat", [others, last] if patches_last else [last, others], f"joined{at}", axis=1)
    mixed = net.add("Add", [last, net.add("ReduceMean", [last], "all", axes=[1])], "mixed")
    hidden = net.add("MatMul", [mixed, net.floats(DIM, DIM)], "hidden")
    return net.add("LayerNormalization", [hidden, net.floats(DIM), net.floats(DIM)], "last_hidden_state", axis=-1)


def pooled(net: Net, tokens: str, name: str = "pooler_output") -> str:
    """A layer over the first token."""
    first = net.add("Gather", [tokens, net.weight(np.array(0))], f"{name}_first", axis=1)
    return net.add("Tanh", [net.add("MatMul", [first, net.floats(DIM, DIM)], f"{name}_dense")], name)


def save(
    net: Net,
    path: Path,
    inputs: dict[str, tuple[int, list[Any]]],
    outputs: dict[str, tuple[int, list[Any] | None]],
    **keywords: Any,
) -> Path:
    """Writes the file; each input and output has a type of ONNX and axes."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        net.nodes,
        "net",
        [value(name, kind, axes) for name, (kind, axes) in inputs.items()],
        [value(name, kind, axes) for name, (kind, axes) in outputs.items()],
        net.weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(path), **keywords)
    return path


def vit(
    path: Path, *, image: str = "pixel_values", pooler: bool = True, dtype: Any = np.float32, **tokens: Any
) -> Path:
    """A vision transformer as hubs have it: all axes dynamic, `last_hidden_state` first."""
    made = new_net(dtype)
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    outputs: dict[str, Any] = {tokens_of(made, image, **tokens): (kind, ["batch_size", "sequence_length", DIM])}
    if pooler:
        outputs[pooled(made, "last_hidden_state")] = (kind, ["batch_size", DIM])
    return save(made, path, {image: (kind, AXES)}, outputs)


def merged(path: Path, *, first: bool = False) -> Path:
    """Patches of 8, merged to 9 tokens, as Swin and LeViT end; `first`: a token before them, as PVT has it."""
    made, kind = new_net(), onnx.TensorProto.FLOAT
    words = {"kernel_shape": [8, 8], "strides": [8, 8]}
    patches = made.add("Conv", ["pixel_values", made.floats(DIM, 3, 8, 8)], "patches", **words)
    small = made.add("AveragePool", [patches], "small", kernel_shape=[2, 2], strides=[2, 2])
    flat = made.add("Reshape", [small, made.weight(np.array([0, DIM, -1]))], "flat")
    rows = made.add("Transpose", [flat], "rows", perm=[0, 2, 1])
    if first:
        mean = made.add("ReduceMax", [rows], "largest", axes=[1])
        rows = made.add("Concat", [mean, rows], "joined", axis=1)
    made.add("Identity", [rows], "last_hidden_state")
    return save(made, path, {"pixel_values": (kind, AXES)}, {"last_hidden_state": (kind, ["N", "T", DIM])})


def of_type(model: Path, **config: Any) -> Path:
    """The model with a `config.json` of transformers beside it."""
    (model.parent / "config.json").write_text(json.dumps(config))
    return model


def clip(path: Path, *, joint_only: bool = False) -> Path:
    """Images and texts as CLIP has them; what compares the two comes first among the outputs."""
    made, texts = new_net(), ["text_batch_size", "sequence_length"]
    float32, int64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    pooled(made, tokens_of(made, "pixel_values"), "image_embeds")
    words = made.add("Gather", [made.floats(50, DIM), "input_ids"], "words")
    mask = made.add(
        "Unsqueeze", [made.add("Cast", ["attention_mask"], "m", to=float32), made.weight(np.array([2]))], "mm"
    )
    made.add("ReduceMean", [made.add("Mul", [words, mask], "masked")], "text_embeds", axes=[1], keepdims=0)
    turned = made.add("Transpose", ["text_embeds"], "turned", perm=[1, 0])
    made.add("MatMul", ["image_embeds", turned], "logits_per_image")
    outputs: dict[str, Any] = {"logits_per_image": (float32, ["batch_size", "text_batch_size"])}
    if not joint_only:
        outputs |= {name: (float32, ["batch_size", DIM]) for name in ("text_embeds", "image_embeds")}
    inputs: dict[str, Any] = {
        "input_ids": (int64, texts),
        "pixel_values": (float32, AXES),
        "attention_mask": (int64, texts),
    }
    return save(made, path, inputs, outputs)


OPTIONS: dict[str, Any] = {"input_size": SIDE, "normalization": "torch"}


def images(n: int = 3) -> pa.Array:
    random = np.random.default_rng(1)
    return pa.array([encode_png(random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)) for _ in range(n)])


def matrix(extractor: FeatureExtractor) -> np.ndarray:
    """(N, D) of the test images."""
    features, errors = extractor.extract(images())
    assert errors.null_count == len(errors)
    rows: np.ndarray = features.flatten().to_numpy().reshape(len(features), -1)
    return rows


def reference(path: Path, extractor: FeatureExtractor, name: str, **others: np.ndarray) -> np.ndarray:
    """What onnxruntime itself gives for the network's input, in one run on one thread, as the extractor does."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_LAYOUT  # beyond, float16 changes
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    pixels = matrix(extractor._inputs()).reshape(-1, 3, SIDE, SIDE)
    image = next(value for value in session.get_inputs() if len(value.shape) == len(AXES))
    kind = {"tensor(float16)": np.float16, "tensor(uint8)": np.uint8}.get(image.type, np.float32)
    rows: np.ndarray = session.run([name], {image.name: pixels.astype(kind), **others})[0]
    return rows


def described(path: Path, **metadata: str) -> Path:
    model = onnx.load(path)
    set_metadata(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path

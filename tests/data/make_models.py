"""Writes the tiny ONNX models that the tests feed: `python tests/data/make_models.py` (needs onnx and numpy).

Each is a network of a few hundred bytes with weights from a fixed seed, in one of the shapes that users' files have.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper, save

HERE = Path(__file__).parent
CHANNELS = 4


def value(name: str, shape: list[int | str], dtype: int = TensorProto.FLOAT) -> object:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, dtype, shape)


def write(name: str, nodes: list, inputs: list, outputs: list, weights: list, metadata: dict[str, str]) -> None:
    """Checks and saves one model as `name`.onnx."""
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    model: ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {f"sparkcider.{key}": text for key, text in metadata.items()})
    checker.check_model(model)
    save(model, HERE / f"{name}.onnx")


def main() -> None:
    """Writes every model."""
    random = np.random.default_rng(0)
    kernel = numpy_helper.from_array(random.normal(size=(CHANNELS, 3, 4, 4)).astype(np.float32), "kernel")
    conv = helper.make_node("Conv", ["image", "kernel"], ["map"], strides=[4, 4])
    pool = helper.make_node("GlobalAveragePool", ["map"], ["pooled"])
    flat = helper.make_node("Flatten", ["pooled"], ["features"])
    nchw = value("image", ["N", 3, 16, 16])

    # vectors first, the map second; says how it is fed
    outputs = [value("features", ["N", CHANNELS]), value("map", ["N", CHANNELS, 4, 4])]
    told = {"normalization": "torch", "filter": "bilinear"}
    write("tiny_nchw", [conv, pool, flat], [nchw], outputs, [kernel], told)

    # a foreign file: channels last, a map as its only output, nothing said
    there = helper.make_node("Transpose", ["input"], ["image"], perm=[0, 3, 1, 2])
    back = helper.make_node("Transpose", ["map"], ["map_nhwc"], perm=[0, 2, 3, 1])
    nhwc = value("input", ["N", 16, 16, 3])
    write("tiny_nhwc", [there, conv, back], [nhwc], [value("map_nhwc", ["N", 4, 4, CHANNELS])], [kernel], {})

    # one image per run is all that this graph takes two of
    fixed = value("image", [2, 3, 16, 16])
    write("fixed_batch", [conv, pool, flat], [fixed], [value("features", [2, CHANNELS])], [kernel], told)

    # any size
    free = value("image", ["N", 3, "H", "W"])
    write("any_size", [conv, pool, flat], [free], [value("features", ["N", CHANNELS])], [kernel], told)

    # images and texts as hubs have them: all axes open, a class before the patches, what compares the two comes first
    rows = [
        helper.make_node("Conv", ["pixel_values", "kernel"], ["patches"], kernel_shape=[4, 4], strides=[4, 4]),
        helper.make_node("Reshape", ["patches", "flat"], ["rows"]),
        helper.make_node("Transpose", ["rows"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("Shape", ["pixel_values"], ["shape"]),
        helper.make_node("Gather", ["shape", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "one_token"], ["axes"], axis=0),
        helper.make_node("Expand", ["token", "axes"], ["class"]),
        helper.make_node("Concat", ["class", "turned"], ["last_hidden_state"], axis=1),
        helper.make_node("ReduceMean", ["last_hidden_state"], ["image"], axes=[1], keepdims=0),
        helper.make_node("Transpose", ["words"], ["words_turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["image", "words_turned"], ["scores"]),
    ]
    weights = {"flat": [0, CHANNELS, -1], "zero": [0], "one_token": [1, CHANNELS]}
    constants = [numpy_helper.from_array(np.array(values), name) for name, values in weights.items()]
    token = numpy_helper.from_array(np.arange(1, 5, dtype=np.float32).reshape(1, 1, CHANNELS), "token")
    inputs = [value("words", ["M", CHANNELS]), value("pixel_values", ["N", "C", "H", "W"])]
    outputs = [value("scores", ["N", "M"]), value("last_hidden_state", ["N", "T", CHANNELS])]
    write("joint_tokens", rows, inputs, outputs, [kernel, token, *constants], {})

    # what is no image network
    text = value("text", ["N"], TensorProto.STRING)
    same = helper.make_node("Identity", ["text"], ["out"])
    write("text_input", [same], [text], [value("out", ["N"], TensorProto.STRING)], [], {})
    total = helper.make_node("Add", ["image", "other"], ["sum"])
    both = [nchw, value("other", ["N", 3, 16, 16])]
    write("two_inputs", [total], both, [value("sum", ["N", 3, 16, 16])], [], {})
    grey = numpy_helper.from_array(random.normal(size=(CHANNELS, 1, 4, 4)).astype(np.float32), "kernel")
    one = value("image", ["N", 1, 16, 16])
    write("grey_input", [conv, pool, flat], [one], [value("features", ["N", CHANNELS])], [grey], {})


if __name__ == "__main__":
    main()

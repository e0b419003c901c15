"""Constant factors, constant terms and zero borders moved into the convolutions before or after them.

Converters leave the batch normalisation of depthwise convolutions as a product and a sum, and Keras's asymmetric
borders as a `Pad`. Inside the convolution they cost nothing; in an int8 graph each would be rounded on its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def fold(model: ModelProto) -> int:
    """Folds what can be folded, in place; returns how many operators went."""
    graph = _Graph(model)
    folded = 0
    for node in list(model.graph.node):
        after = node.op_type in ("Mul", "Add") and _fold_after(graph, node)
        folded += after or (node.op_type == "Conv" and _fold_pad(graph, node))
    graph.drop_unused()
    return folded


class _Graph:
    """The graph with its constants, and who gives and takes each tensor."""

    def __init__(self, model: ModelProto) -> None:
        from onnx import numpy_helper

        self.graph: Any = model.graph
        self.helper: Any = numpy_helper
        self.weights = {weight.name: weight for weight in self.graph.initializer}
        self.giver = {name: node for node in self.graph.node for name in node.output}
        self.takers: dict[str, int] = {}
        for name in [name for node in self.graph.node for name in node.input]:
            self.takers[name] = self.takers.get(name, 0) + 1
        for output in self.graph.output:
            self.takers[output.name] = self.takers.get(output.name, 0) + 1

    def constant(self, name: str) -> np.ndarray | None:
        if name in self.weights:
            array: np.ndarray = self.helper.to_array(self.weights[name])
            return array
        node = self.giver.get(name)
        if node is not None and node.op_type == "Constant" and node.attribute[0].name == "value":
            held: np.ndarray = self.helper.to_array(node.attribute[0].t)
            return held
        return None

    def put(self, name: str, array: np.ndarray) -> None:
        weight = self.helper.from_array(np.ascontiguousarray(array), name)
        self.graph.initializer.append(weight)
        self.weights[name] = self.graph.initializer[-1]

    def replace_output(self, node: NodeProto, later: NodeProto) -> None:
        """`node` gives what `later` gave; `later` goes."""
        node.output[0] = later.output[0]
        self.giver[later.output[0]] = node
        self.graph.node.remove(later)

    def drop_unused(self) -> None:
        used = {name for node in self.graph.node for name in node.input} | {value.name for value in self.graph.output}
        kept = [weight for weight in self.graph.initializer if weight.name in used]
        del self.graph.initializer[:]
        self.graph.initializer.extend(kept)


def _fold_after(graph: _Graph, node: NodeProto) -> bool:
    """Conv, then a product or sum with one constant per channel: into its weights and bias."""
    constants = [graph.constant(name) for name in node.input]
    at = next((slot for slot, array in enumerate(constants) if array is not None), None)
    if at is None:
        return False
    conv = graph.giver.get(node.input[1 - at])
    if conv is None or conv.op_type != "Conv" or graph.takers[conv.output[0]] != 1:
        return False
    kernel = graph.constant(conv.input[1])
    bias = graph.constant(conv.input[2]) if len(conv.input) > 2 else None  # noqa: PLR2004 - image, kernel, bias
    if kernel is None or kernel.dtype != np.float32:
        return False
    values = _per_channel(constants[at], kernel.shape[0])
    if values is None:
        return False
    bias = np.zeros(kernel.shape[0], np.float32) if bias is None else bias
    if node.op_type == "Mul":
        kernel, bias = kernel * values[:, None, None, None], bias * values
    else:
        bias = bias + values
    names = [f"{node.output[0]}/kernel", f"{node.output[0]}/bias"]
    graph.put(names[0], kernel)
    graph.put(names[1], bias)
    conv.input[1:] = names
    graph.replace_output(conv, node)
    return True


def _per_channel(array: np.ndarray | None, channels: int) -> np.ndarray | None:
    """The constant as one value per channel of an (N, C, H, W) map, if it is that."""
    if array is None or array.dtype != np.float32 or array.ndim > 4:  # noqa: PLR2004 - the map's own rank
        return None
    shape = (1,) * (4 - array.ndim) + array.shape
    if shape not in ((1, channels, 1, 1), (1, 1, 1, 1)):
        return None
    return np.broadcast_to(array.reshape(-1), (channels,))


def _fold_pad(graph: _Graph, conv: NodeProto) -> bool:
    """Zeros laid around H and W, then Conv: its own border."""
    from onnx import helper

    pad = graph.giver.get(conv.input[0])
    if pad is None or pad.op_type != "Pad" or graph.takers[pad.output[0]] != 1:
        return False
    sides = _zeros_around(graph, pad)
    attributes = {attribute.name: attribute for attribute in conv.attribute}
    if sides is None or ("auto_pad" in attributes and attributes["auto_pad"].s not in (b"NOTSET", b"VALID")):
        return False
    own = list(attributes["pads"].ints) if "pads" in attributes else [0, 0, 0, 0]
    border = [a + b for a, b in zip(own, sides)]
    kept = [attribute for attribute in conv.attribute if attribute.name not in ("pads", "auto_pad")]
    del conv.attribute[:]
    conv.attribute.extend([*kept, helper.make_attribute("pads", border)])
    conv.input[0] = pad.input[0]
    graph.graph.node.remove(pad)
    return True


def _zeros_around(graph: _Graph, pad: NodeProto) -> list[int] | None:
    """Zeros that a `Pad` lays around (N, C, H, W): top, left, bottom, right; None if it does something else."""
    mode = next((attribute.s for attribute in pad.attribute if attribute.name == "mode"), b"constant")
    if mode != b"constant" or len(pad.input) == 1:  # before opset 11 the sides were an attribute
        return None
    constants = [graph.constant(name) for name in pad.input[1:] if name]
    if any(array is None for array in constants):
        return None
    sides, *value = (array.ravel().tolist() for array in constants if array is not None)
    if any(any(numbers) for numbers in value) or min(sides) < 0:
        return None
    *begins, top, left, before, channels, bottom, right = sides
    return None if any((*begins, before, channels)) else [top, left, bottom, right]

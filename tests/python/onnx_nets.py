"""Networks that tests write as ONNX, operator by operator, with random weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="the networks of these tests are written with onnx")


class Net(NamedTuple):
    """Nodes and weights of a network on their way to a file."""

    nodes: list[Any]
    weights: list[Any]
    random: np.random.Generator
    dtype: Any

    def add(self, operator: str, inputs: list[str], name: str, **attributes: Any) -> str:
        self.nodes.append(onnx.helper.make_node(operator, inputs, [name], **attributes))
        return name

    def weight(self, values: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(onnx.numpy_helper.from_array(values, name))
        return name

    def floats(self, *shape: int) -> str:
        return self.weight((self.random.normal(size=shape) / 3).astype(self.dtype))

    def conv(self, source: str, name: str, shape: tuple[int, ...], **attributes: Any) -> str:
        border = (shape[2] - 1) // 2
        return self.add("Conv", [source, self.floats(*shape)], name, pads=[border] * 4, **attributes)


def new_net(dtype: Any = np.float32) -> Net:
    return Net([], [], np.random.default_rng(0), dtype)

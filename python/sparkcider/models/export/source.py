"""What a source gives of a network, and the changes to its graph that all sources need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.models import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from onnx import ModelProto

OPSET = 17
"""Of exported graphs: what ONNX Runtime 1.17, the oldest that this package runs on, takes."""


class Source(NamedTuple):
    """A network on its way out of its framework.

    Attributes:
        model: Its graph, with one input `image` and one output `features` (N, D).
        embed: The original: images (H, W, 3) u8 RGB, of the input's size unless `prepares`, to (N, D) f32.
        metadata: How it is fed and where it comes from, without the prefix.
        prepares: Whether `embed` resizes and cuts images itself, by its library's own functions.
    """

    model: ModelProto
    embed: Callable[[Any], np.ndarray]
    metadata: dict[str, str]
    prepares: bool = False


def set_metadata(model: ModelProto, metadata: Mapping[str, str]) -> None:
    """Writes `sparkcider.*` entries; what the file says under other keys stays."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    kept.update({PREFIX + key: text for key, text in metadata.items()})
    del model.metadata_props[:]
    for key, text in kept.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, text


def rename(model: ModelProto, names: Mapping[str, str]) -> None:
    """Gives tensors of the graph other names."""
    graph = model.graph
    for node in graph.node:
        for slots in (node.input, node.output):
            for at, tensor in enumerate(slots):
                slots[at] = names.get(tensor, tensor)
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)

"""What the libraries on torch have in common on their way to ONNX."""

from __future__ import annotations

import importlib
import io
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkcider.models.export.source import OPSET, rename

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from onnx import ModelProto


def libraries(source: str, module: str, package: str | None = None) -> tuple[Any, Any]:
    """torch and a library on it.

    Args:
        source: As `--from` has it.
        module: The library's name in Python.
        package: Its name for pip, where that is another.

    Raises:
        ImportError: One of them, or what writes ONNX, is not installed.
    """
    try:
        for name in ("onnx", "onnxscript"):
            importlib.import_module(name)
        return importlib.import_module("torch"), importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"--from {source} needs torch ({error.name} is missing): pip install {package or module} onnx onnxscript"
        ) from None


def convert(torch: Any, network: Any, height: int, width: int) -> ModelProto:
    """A network from (N, 3, H, W) to (N, D) as a graph with the input `image` and the output `features`."""
    import onnx

    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "torch.onnx")
        with redirect_stdout(io.StringIO()):  # the exporter tells its progress
            torch.onnx.export(
                network,
                (torch.zeros(2, 3, height, width),),
                path,
                dynamo=True,
                external_data=False,
                opset_version=OPSET + 1,  # the oldest that its exporter writes
                dynamic_shapes=({0: torch.export.Dim("N")},),
                verbose=False,
            )
        model = onnx.load(path)
    rename(model, {model.graph.input[0].name: "image", model.graph.output[0].name: "features"})
    return model


def embedder(torch: Any, network: Any, prepare: Callable[[Any], Any]) -> Callable[[Sequence[np.ndarray]], np.ndarray]:
    """The original on images of any size: `prepare` makes a tensor (3, H, W) of an image of Pillow."""
    from PIL import Image

    def embed(images: Sequence[np.ndarray]) -> np.ndarray:
        with torch.no_grad():
            found = [network(prepare(Image.fromarray(image))[None]).numpy() for image in images]
        return np.concatenate(found)

    return embed

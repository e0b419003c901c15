"""Networks of torchvision on their way to ONNX."""

from __future__ import annotations

import io
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider._native import ModelError
from sparkcider.models.export.source import OPSET, Source, rename

if TYPE_CHECKING:
    import numpy as np
    from onnx import ModelProto


def build(name: str, sides: tuple[int, int] | None, pooling: str, weights: str) -> Source:
    """Builds a network of torchvision's registry without its last linear layer and converts it.

    Raises:
        ImportError: torch or torchvision is not installed.
        ModelError: The weights cannot be downloaded, or the network has no classifier to take off.
        ValueError: torchvision has no such network, or cannot build it so.
    """
    torch, torchvision = _torch()
    if pooling != "avg":
        raise ValueError(f"networks of torchvision have their own pooling: leave pooling at avg, got {pooling}")
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise ValueError(f"torchvision has no classifier {name}; it has {', '.join(known)}")
    trained = torchvision.models.get_model_weights(name).DEFAULT
    recipe = trained.transforms()
    side = recipe.crop_size[0]
    height, width = sides or (side, side)
    torch.manual_seed(0)  # of the weights, where they are random
    network = _network(torch, torchvision, name, trained, weights).eval()
    _take_classifier_off(torch, network, name)
    mean, std = (torch.tensor(values).reshape(1, 3, 1, 1) for values in (recipe.mean, recipe.std))

    def embed(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            rgb = torch.from_numpy(images).permute(0, 3, 1, 2) / 255
            found: np.ndarray = network((rgb - mean) / std).numpy()
            return found

    metadata = {
        "input_size": f"{height}x{width}",
        "layout": "NCHW",
        "color_order": "RGB",
        "normalization": "torch",
        "resize_mode": "center_crop",
        "crop_ratio": str(side / recipe.resize_size[0]),
        "filter": recipe.interpolation.value,
        "origin": f"torchvision {torchvision.__version__} models.{name}",
        "license": "BSD-3-Clause (torchvision); its authors' for weights",
        "training_set": {"imagenet": f"ImageNet ({trained})", "none": "none: random weights"}.get(
            weights, f"unknown: weights of {Path(weights).name}"
        ),
    }
    return Source(_convert(torch, network, height, width), embed, metadata)


def _torch() -> tuple[Any, Any]:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
        import torch
        import torchvision
    except ImportError as error:
        raise ImportError(
            f"--from torchvision needs torch ({error.name} is missing): pip install torchvision onnx onnxscript"
        ) from None
    return torch, torchvision


def _network(torch: Any, torchvision: Any, name: str, trained: Any, weights: str) -> Any:
    if weights == "imagenet":
        try:
            return torchvision.models.get_model(name, weights=trained)
        except OSError as error:
            raise ModelError(
                f"the ImageNet weights of {name} cannot be reached from here ({error}): run `sparkcider export {name} "
                f"--from torchvision --to FILE` where they can, or bring {trained.url} and give it by --weights"
            ) from None
    network = torchvision.models.get_model(name, weights=None)
    if weights != "none":
        try:
            network.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
        except Exception as error:
            raise ValueError(f"torchvision cannot load {weights} into {name}: {str(error).splitlines()[0]}") from error
    return network


def _take_classifier_off(torch: Any, network: Any, name: str) -> None:
    """The last linear layer gives the classes: what goes into it are the features."""
    linear = [path for path, module in network.named_modules() if isinstance(module, torch.nn.Linear)]
    if not linear:
        raise ModelError(f"torchvision's {name} ends in no linear layer that could be taken off")
    parent, _, child = linear[-1].rpartition(".")
    setattr(network.get_submodule(parent), child, torch.nn.Identity())


def _convert(torch: Any, network: Any, height: int, width: int) -> ModelProto:
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

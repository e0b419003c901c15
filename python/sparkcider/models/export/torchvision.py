"""Networks of torchvision on their way to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider._native import ModelError
from sparkcider.models.export.source import Source
from sparkcider.models.export.torch import convert, libraries

if TYPE_CHECKING:
    import numpy as np


def build(name: str, sides: tuple[int, int] | None, pooling: str, weights: str) -> Source:
    """Builds a network of torchvision's registry without its last linear layer and converts it.

    Raises:
        ImportError: torch or torchvision is not installed.
        ModelError: The weights cannot be downloaded, or the network has no classifier to take off.
        ValueError: torchvision has no such network, or cannot build it so.
    """
    torch, torchvision = libraries("torchvision", "torchvision")
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
        "normalization": _normalization(recipe),
        "resize_mode": "center_crop",
        "crop_ratio": str(side / recipe.resize_size[0]),
        "filter": recipe.interpolation.value,
        "origin": f"torchvision {torchvision.__version__} models.{name}",
        "license": "BSD-3-Clause (torchvision); its authors' for weights",
        "training_set": {"pretrained": f"ImageNet ({trained})", "none": "none: random weights"}.get(
            weights, f"unknown: weights of {Path(weights).name}"
        ),
    }
    return Source(convert(torch, network, height, width), embed, metadata)


def _normalization(recipe: Any) -> str:
    """`torch` for ImageNet's mean and std, which nearly all presets have."""
    mean, std = (",".join(map(repr, values)) for values in (recipe.mean, recipe.std))
    said = f"mean {mean} std {std}"
    return "torch" if said == "mean 0.485,0.456,0.406 std 0.229,0.224,0.225" else said


def _network(torch: Any, torchvision: Any, name: str, trained: Any, weights: str) -> Any:
    if weights == "pretrained":
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

"""The image branch of open_clip's networks on its way to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparkcider._native import ModelError
from sparkcider.models.descriptions import open_clip as description
from sparkcider.models.export.source import Source
from sparkcider.models.export.torch import convert, embedder, libraries

SCHEMES = ("hf-hub:", "local-dir:")
"""Of names that have their weights with them."""


def build(name: str, weights: str) -> Source:
    """Builds a network of open_clip and converts its image branch, whose D values are those of `encode_image`.

    Args:
        name: Of `open_clip.list_models()`, `hf-hub:OWNER/NAME`, or `local-dir:FOLDER` as open_clip saves it.
        weights: `none`, a tag of `open_clip.list_pretrained()`, or the path of a file that open_clip loads;
            `pretrained` for a name that has its weights with it.

    Raises:
        ImportError: torch or open_clip is not installed.
        ModelError: The weights cannot be downloaded, or images are prepared in a way that is not supported.
        ValueError: open_clip has no such network, or no such weights.
    """
    torch, open_clip = libraries("open_clip", "open_clip", "open_clip_torch")
    _check(open_clip, name, weights)
    torch.manual_seed(0)  # of the weights, where they are random
    network = _network(open_clip, name, weights).eval()
    config = open_clip.get_model_preprocess_cfg(network)
    said = description.read(f"open_clip's {name}", config)
    height, width = (int(side) for side in said["input_size"].split("x"))
    transform = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(**config), is_train=False)
    trained = {"pretrained": f"weights of {name}", "none": "none: random weights"}
    metadata = {
        **said,
        "layout": "NCHW",
        "origin": f"open_clip {open_clip.__version__} {name}",
        "license": "MIT (open_clip); its authors' for weights",
        "training_set": trained.get(weights, f"open_clip's weights {Path(weights).name}"),
    }

    class Images(torch.nn.Module):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: Any) -> Any:
            return self.network.encode_image(pixels)

    module = Images().eval()
    return Source(convert(torch, module, height, width), embedder(torch, module, transform), metadata, prepares=True)


def _check(open_clip: Any, name: str, weights: str) -> None:
    """Whether open_clip knows the network and the weights, before anything is built."""
    if name.startswith(SCHEMES):
        if weights not in ("pretrained", "none"):
            raise ValueError(f"{name} has its weights with it: leave weights at pretrained, got {weights}")
        return
    if name not in open_clip.list_models():
        raise ValueError(f"open_clip has no network {name}; see open_clip.list_models()")
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights != "none" and weights not in tags and not Path(weights).is_file():
        known = ", ".join(tags) if tags else "none of its own"
        raise ValueError(f"weights of {name} must be one of open_clip's ({known}), a file or none, got {weights}")


def _network(open_clip: Any, name: str, weights: str) -> Any:
    has_own = name.startswith(SCHEMES)
    try:
        return open_clip.create_model(
            name,
            pretrained=None if has_own or weights == "none" else weights,
            load_weights=weights != "none",
            pretrained_text=False,  # the text branch is cut off
        )
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"open_clip cannot bring {name} with weights {weights} ({str(error).splitlines()[0]}): run `sparkcider "
            f"export {name} --from open_clip --to FILE` where it can, or give a file of weights by --weights"
        ) from None

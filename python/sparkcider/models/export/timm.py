"""Networks of timm on their way to ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sparkcider._native import ModelError
from sparkcider.models.descriptions import timm as description
from sparkcider.models.export.source import Source
from sparkcider.models.export.torch import convert, embedder, libraries


def build(name: str, weights: str) -> Source:
    """Builds a network of timm without its classifier and converts it.

    Args:
        name: Of `timm.list_models()`, perhaps with a tag: `vit_base_patch16_dinov3.lvd1689m`.
        weights: `pretrained`, `none` or the path of a file that timm loads.

    Raises:
        ImportError: torch or timm is not installed.
        ModelError: The weights cannot be downloaded, or images are prepared in a way that is not supported.
        ValueError: timm has no such network, or no such weights.
    """
    torch, timm = libraries("timm", "timm")
    torch.manual_seed(0)  # of the weights, where they are random
    network = _network(timm, name, weights).eval()
    config = timm.data.resolve_model_data_config(network)
    said = description.read(f"timm's {name}", config, prefix="")
    _, height, width = config["input_size"]
    prepare = timm.data.create_transform(**config, is_training=False)
    trained = network.pretrained_cfg
    metadata = {
        **said,
        "layout": "NCHW",
        "origin": f"timm {timm.__version__} {name}",
        "license": trained.get("license") or "Apache-2.0 (timm); its authors' for weights",
        "training_set": {
            "pretrained": f"timm's weights {trained.get('tag') or name}",
            "none": "none: random weights",
        }.get(weights, f"unknown: weights of {Path(weights).name}"),
    }
    graph = convert(torch, network, height, width)
    return Source(graph, embedder(torch, network, prepare), metadata, prepares=True)


def _network(timm: Any, name: str, weights: str) -> Any:
    if name.partition(".")[0] not in timm.list_models():
        near = timm.list_models(f"*{name.partition('.')[0]}*")[:8]
        raise ValueError(
            f"timm has no network {name}; " + (f"near: {', '.join(near)}" if near else "see timm.list_models()")
        )
    if weights == "pretrained":
        try:
            return timm.create_model(name, pretrained=True, num_classes=0)
        except OSError as error:
            raise ModelError(
                f"the weights of {name} cannot be reached from here ({str(error).splitlines()[0]}): run `sparkcider "
                f"export {name} --from timm --to FILE` where they can, or give a file of them by --weights"
            ) from None
        except RuntimeError as error:
            raise ValueError(f"timm cannot build {name}: {str(error).splitlines()[0]}") from None
    network = timm.create_model(name, pretrained=False, num_classes=0)
    if weights != "none":
        _load(timm, network, name, weights)
    return network


def _load(timm: Any, network: Any, name: str, weights: str) -> None:
    """Weights of a file, all of them; its classifier, if it has one, is left out."""
    try:
        found = network.load_state_dict(timm.models.load_state_dict(weights), strict=False)
    except Exception as error:
        raise ValueError(f"timm cannot load {weights} into {name}: {str(error).splitlines()[0]}") from error
    classifier = network.pretrained_cfg.get("classifier") or ()
    classifier = (classifier,) if isinstance(classifier, str) else tuple(classifier)
    others = [key for key in found.unexpected_keys if key.rpartition(".")[0] not in classifier]
    for what, keys in (("lacks", found.missing_keys), ("has besides", others)):
        if keys:
            raise ValueError(f"timm cannot load {weights} into {name}: the file {what} {', '.join(keys[:3])}")

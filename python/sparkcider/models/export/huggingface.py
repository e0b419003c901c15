"""Networks of transformers on their way to ONNX: of the Hub, or of a folder that `save_pretrained` wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sparkcider._native import ModelError
from sparkcider.models.descriptions import huggingface as description
from sparkcider.models.descriptions.families import family
from sparkcider.models.export.source import Source
from sparkcider.models.export.torch import convert, embedder, libraries

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def build(name: str, weights: str) -> Source:
    """Builds a network of transformers and converts what gives the features of an image.

    Args:
        name: OWNER/NAME of the Hub, or the path of a folder.
        weights: `pretrained` or `none`.

    Raises:
        ImportError: torch or transformers is not installed.
        ModelError: The files cannot be downloaded or lack weights, or images are prepared in a way that is not
            supported.
        ValueError: The weights are a file: transformers loads folders.
    """
    if weights not in ("pretrained", "none"):
        raise ValueError(
            f"transformers loads folders: give one as the name, and weights as pretrained or none, got {weights}"
        )
    torch, transformers = libraries("huggingface", "transformers")
    torch.manual_seed(0)  # of the weights, where they are random
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(name, **_on_pillow(transformers))
        said = description.read(f"the image processor of {name}", processor.to_dict())
        network, absent = _network(transformers, name, weights)
    except OSError as error:
        raise ModelError(
            f"{name} cannot be brought from the Hugging Face Hub ({str(error).splitlines()[0]}): run `sparkcider "
            f"export {name} --from huggingface --to FILE` where it can, or give the path of its folder. A gated or "
            "private one needs `hf auth login` or HF_TOKEN"
        ) from None
    pooled = _has_pooler(name, absent)
    module = _module(torch, network.eval().float(), pooled=pooled)  # whatever its files were saved in

    def prepare(image: Any) -> Any:
        return torch.as_tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"][0]))

    height, width = (int(side) for side in said["input_size"].split("x"))
    trained = {"pretrained": f"weights of {name}", "none": "none: random weights"}
    metadata = {
        **said,
        "layout": "NCHW",
        "origin": f"transformers {transformers.__version__} {type(network).__name__} {name}",
        "license": "Apache-2.0 (transformers); its authors' for weights",
        "training_set": trained[weights],
    }
    graph = convert(torch, module, height, width)
    return Source(graph, embedder(torch, module, prepare), metadata, prepares=True)


def _on_pillow(transformers: Any) -> dict[str, Any]:
    """Its classes on Pillow are the reference of descriptions; version 4 calls them slow."""
    return {"use_fast": False} if transformers.__version__.startswith("4.") else {"backend": "pil"}


def _network(transformers: Any, name: str, weights: str) -> tuple[Any, list[str]]:
    """The network, and the names of the weights that its files lack."""
    if weights == "none":
        config = transformers.AutoConfig.from_pretrained(name)
        return transformers.AutoModel.from_config(config), []
    network, found = transformers.AutoModel.from_pretrained(name, output_loading_info=True)
    return network, sorted(found["missing_keys"])


def _has_pooler(name: str, absent: list[str]) -> bool:
    """Whether the pooler can be taken: the files of classifiers lack it, and transformers makes up a random one."""
    others = [key for key in absent if "pooler" not in key.split(".")]
    if others:
        raise ModelError(f"{name} lacks weights of its network: {', '.join(others[:3])}")
    return not absent


def _module(torch: Any, network: Any, *, pooled: bool) -> Any:
    """(N, 3, H, W) to (N, D): the image's embedding, else the pooler's output, else what its library takes."""

    def images(pixels: Any) -> Any:
        if hasattr(network, "get_image_features"):
            found = network.get_image_features(pixel_values=pixels)
            return getattr(found, "pooler_output", found)  # version 4 gives the tensor itself
        found = network(pixel_values=pixels)
        last = getattr(found, "pooler_output", None) if pooled else None
        return pooled_as(found.last_hidden_state, network.config.to_dict()) if last is None else last.flatten(1)

    return _as_module(torch, network, images)


def pooled_as(last: Any, config: Mapping[str, Any]) -> Any:
    """(N, D) of a last hidden state, (N, T, D) or (N, C, H, W), as the library of a `config.json` takes it.

    Raises:
        ModelError: It takes neither the first token nor a mean, or is not known.
    """
    found = family(config)
    if found is not None and found[1].pooling == "cls" and last.ndim == len("NTD"):
        return last[:, 0]
    if found is not None and found[1] == ("avg", ""):
        return last.mean((2, 3) if last.ndim == len("NCHW") else 1)
    raise ModelError(
        f"a network of model_type {config.get('model_type')} gives no pooler_output, and which pooling of its "
        "last_hidden_state belongs to it is not known: export it by your own code"
    )


def _as_module(torch: Any, network: Any, images: Callable[[Any], Any]) -> Any:
    class Features(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, pixels: Any) -> Any:
            return images(pixels)

    return Features().eval()

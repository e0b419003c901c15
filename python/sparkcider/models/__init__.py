"""Models by name, path or URI: found, checked, cached; and the metadata of model files.

A model is one ONNX file. Its `metadata_props` under `sparkcider.*` say how it is to be fed; docs/models.md lists them.
"""

from __future__ import annotations

import difflib
import os
import re
from pathlib import Path
from typing import NamedTuple

from sparkcider._native import ModelError, _model_layers, _model_summary
from sparkcider.arguments import found as found_type
from sparkcider.models import cache, hub
from sparkcider.models.descriptions import describe
from sparkcider.models.registry import REGISTRY, Backbone, comparable
from sparkcider.storage.uri import literal_path, mounted, scheme_of

__all__ = [
    "PREFIX",
    "PREPLACED",
    "REGISTRY",
    "Backbone",
    "Layer",
    "ModelCard",
    "available",
    "backbone",
    "layers",
    "one_file",
    "preplaced",
    "resolve",
    "show",
]

PREFIX = "sparkcider."
"""Of the metadata keys that this package writes and reads."""

PREPLACED = "local:"
"""Spark's own scheme for a file that is at the same path on each node: nothing is sent."""

_BUNDLED = Path(__file__).parents[1] / "pretrained"
"""Models inside the package, NAME.onnx each."""


class ModelCard(NamedTuple):
    """The facts and metadata of a model file.

    Attributes:
        path: Where it is.
        checksum: SHA-256 in hexadecimal.
        opset: Version of its operators.
        inputs: Name and axes of each input; 0 for a dynamic axis, None where their number is open.
        outputs: Likewise.
        metadata: Its `sparkcider.*` entries, without the prefix.
        output: The tensor that features are taken of where the user names none; None: the user must name one.
        doubt: What is wrong with that tensor, in a sentence: it is a classifier's. Else None.
        slow: What makes the file slower than it need be, in sentences.
    """

    path: Path
    checksum: str
    opset: int
    inputs: list[tuple[str, list[int] | None]]
    outputs: list[tuple[str, list[int] | None]]
    metadata: dict[str, str]
    output: str | None
    doubt: str | None
    slow: list[str]


class Layer(NamedTuple):
    """A tensor that `layer=` can name.

    Attributes:
        name: Its name.
        operator: The operator that gives it.
        shape: Its shape for one image: (D,), tokens (T, D), or the three axes of a map in the graph's order.
        layout: `NCHW` or `NHWC`: where a map has its channels, first or last in `shape`; None for a vector and for
            tokens, and where the operators of the graph do not tell: `layer_layout` must then be given.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    layout: str | None


def resolve(model: str | os.PathLike[str]) -> str:
    """Path on this machine of the model that `model` names, brought into the cache where it must.

    Args:
        model: A name (`pixels`, an embedded model, one of `REGISTRY` that was exported), a path, or a URI (`file://`,
            `local:`, `s3://`, `gs://`, `abfss://`, `hdfs://`, `dbfs:/`, `https://`, `hf://`); `#sha256=HEX` behind it
            is checked.

    Returns:
        The path; `pixels` for the model that is not a file.

    Raises:
        TypeError: It is neither a string nor a path.
        FileNotFoundError: There is no such file, or the named model was not made on this machine yet.
        ModelError: The file cannot be read, is cut short, is not ONNX, or has another checksum.
        ValueError: The name or the scheme of the URI is unknown.

    Example:
        >>> resolve("pixels")
        'pixels'
        >>> resolve("resnet5")
        Traceback (most recent call last):
        ...
        ValueError: no model is called resnet5; near: resnet50, resnet152, resnet50_v2
    """
    reference, checksum = _split(name_of(model))
    reference = mounted(reference)
    if reference == "pixels":
        return reference
    if reference.startswith(PREPLACED):
        path = Path(reference[len(PREPLACED) :]).absolute()  # as each node sees it
    elif scheme_of(reference) == "file":
        path = Path(literal_path(reference))
    elif reference.startswith(hub.SCHEME):
        path = hub.fetch(reference)
    elif "://" in reference:
        return str(cache.fetch(reference, checksum))  # checked there
    elif os.sep in reference or reference.endswith(".onnx") or Path(reference).is_file():
        path = Path(reference)
    else:
        path = _by_name(reference)
    _check_file(path, checksum)
    return str(path)


def name_of(model: str | os.PathLike[str]) -> str:
    """The text that names a model.

    Raises:
        TypeError: It is neither a string nor a path.
        ValueError: It is empty.

    Example:
        >>> name_of(Path("models") / "net.onnx")
        'models/net.onnx'
        >>> name_of(None)
        Traceback (most recent call last):
        ...
        TypeError: model must be the name, path or URI of an ONNX file, or 'pixels'; got None
    """
    name = os.fspath(model) if isinstance(model, (str, os.PathLike)) else None
    if not isinstance(name, str):
        raise TypeError(f"model must be the name, path or URI of an ONNX file, or 'pixels'; got {found_type(model)}")
    if not name:
        raise ValueError("model must be the name, path or URI of an ONNX file, or 'pixels'; got an empty text")
    return name


def one_file(path: str | os.PathLike[str]) -> Path:
    """The file of a model that holds all of it: what is sent, saved, and hashed.

    Args:
        path: As `resolve` gives it.

    Returns:
        The path itself; for a model whose weights are in files beside it, the file of the cache that has them inside.

    Raises:
        ModelError: The file is not ONNX; or the files of its weights are not beside it, or too large for one file.
    """
    external_files = _model_summary(path)[4]
    return cache.joined(Path(path), external_files) if external_files else Path(path)


def available() -> dict[str, Path]:
    """The files of the models that a name finds on this machine: those inside the package, then the exported ones.

    Example:
        >>> "fruits-tiny" in available()
        True
    """
    folders = (_BUNDLED, cache.named_folder())
    return {path.stem: path for folder in reversed(folders) for path in sorted(folder.glob("*.onnx"))}


def hub_commit(model: str | os.PathLike[str]) -> str | None:
    """The commit of the Hub whose file `model` is on this machine; None for a model that is not `hf://`.

    Example:
        >>> hub_commit("pixels") is None
        True
    """
    reference, _ = _split(name_of(model))
    return hub.commit(reference) if reference.startswith(hub.SCHEME) else None


def preplaced(model: str | os.PathLike[str]) -> bool:
    """Whether the user says that the file is at the same path on each node."""
    return name_of(model).startswith(PREPLACED)


def backbone(name: str) -> str:
    """The name in `REGISTRY` that `name` spells.

    Raises:
        ValueError: There is none; the message names the near ones.

    Example:
        >>> backbone("MobileNetV2")
        'mobilenet_v2'
    """
    names = {comparable(known): known for known in REGISTRY}
    found = names.get(comparable(name))
    if found is None:
        raise _unknown(name)
    return found


def show(model: str | os.PathLike[str]) -> ModelCard:
    """Reads the facts and metadata of a model file; runs nothing.

    Args:
        model: As in `resolve`.

    Raises:
        ModelError: The file is not ONNX; and as `resolve`.
        ValueError: The model is not a file.
    """
    path = _file(model)
    opset, inputs, outputs, metadata, _, usual, doubt, slow = _model_summary(path)
    ours = {key[len(PREFIX) :]: text for key, text in metadata if key.startswith(PREFIX)}
    if "output_name" in ours:
        usual, doubt = ours["output_name"], None
    return ModelCard(path, cache.checksum_of(one_file(path)), opset, inputs, outputs, ours, usual, doubt, slow)


def layers(
    model: str | os.PathLike[str], *, input_size: int | tuple[int, int] | None = None, layout: str | None = None
) -> list[Layer]:
    """The tensors inside a network that can serve as features, in the order of its operators; runs it once.

    Args:
        model: As in `resolve`.
        input_size: Side or (height, width) in pixels, where neither the file nor its graph nor a description says it.
        layout: `NCHW` or `NHWC`, where the graph does not say it.

    Raises:
        ModelError: The file is not a network with exactly one image input; and as `resolve`.
        ValueError: The size or the layout is missing or cannot be.
    """
    path = _file(model)
    if input_size is None and (description := describe(path)) is not None:
        height, _, width = dict(description.entries).get("input_size", "").partition("x")
        input_size = (int(height), int(width)) if width else None
    found = _model_layers(path, input_size, layout)
    return [Layer(name, operator, tuple(shape), axes) for name, operator, shape, axes in found]


def _file(model: str | os.PathLike[str]) -> Path:
    path = resolve(model)
    if path == "pixels":
        raise ValueError("pixels is not a file: it resizes and flattens, and has no layers")
    return Path(path)


def _split(reference: str) -> tuple[str, str | None]:
    text, mark, checksum = reference.partition("#sha256=")
    if mark and not re.fullmatch("[0-9a-fA-F]{64}", checksum):
        raise ValueError(f"#sha256= takes 64 hexadecimal digits, got {checksum!r}")
    return text, checksum.lower() if mark else None


def _check_file(path: Path, checksum: str | None) -> None:
    if path.is_dir():
        raise _is_folder(path)
    if not path.is_file():
        on_hub = not path.exists() and re.fullmatch(r"[\w-]+/[\w.-]+(?<!\.onnx)", str(path))
        hint = f"; for a model of the Hugging Face Hub write {hub.SCHEME}{path}" if on_hub else ""
        raise FileNotFoundError(f"model file not found: {path}{hint}")
    whole = one_file(path)
    if checksum is not None and (found := cache.checksum_of(whole)) != checksum:
        raise ModelError(f"{path} has checksum {found}, expected {checksum}")


def _by_name(name: str) -> Path:
    here = {comparable(known): path for known, path in available().items()}
    if comparable(name) in here:
        return here[comparable(name)]
    if Path(name).is_dir() and comparable(name) not in {comparable(known) for known in REGISTRY}:
        raise _is_folder(Path(name))
    known = backbone(name)
    raise FileNotFoundError(
        f"model {known} is not on this machine: `sparkcider export {known}` makes it (needs Keras and, once, "
        "the internet); or give the path or URI of an ONNX file"
    )


def _is_folder(path: Path) -> FileNotFoundError:
    files = sorted(file.relative_to(path).as_posix() for at in ("*.onnx", "*/*.onnx") for file in path.glob(at))
    inside = f"it has {', '.join(files[:3])}" if files else "it has no .onnx file"
    return FileNotFoundError(f"model file not found: {path} is a folder, and model must name a file; {inside}")


def _unknown(name: str) -> ValueError:
    names = {comparable(known): known for known in ("pixels", *available(), *REGISTRY)}
    near = [names[key] for key in difflib.get_close_matches(comparable(name), names, n=3, cutoff=0.6)]
    known = f"{', '.join(available())}, a network of keras.applications, or the path or URI of an ONNX file"
    hint = f"near: {', '.join(near)}" if near else f"give {known}"
    return ValueError(f"no model is called {name}; {hint}")

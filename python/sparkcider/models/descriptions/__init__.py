"""How images are prepared, as a file beside the model says it: the JSON of four libraries to our own options.

    huggingface     preprocessor_config.json, processor_config.json
    timm            config.json with a pretrained_cfg
    open_clip       open_clip_config.json
    torchvision     a preset's attributes in a file of any name

A `config.json` of transformers says which library's pooling goes with the tokens of the network (`families`).

A field that changes pixels and is not supported is refused by its name, and so is one that is not known; each module
lists the fields that change no pixel.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

from sparkcider._native import ModelError, _model_summary
from sparkcider.models.cache import brought
from sparkcider.models.descriptions import families, huggingface, open_clip, timm, torchvision
from sparkcider.options import Description
from sparkcider.storage.objects import read_whole
from sparkcider.storage.uri import literal_path, mounted, redacted_uri, scheme_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import TypeAlias

NAMES = ("preprocessor_config.json", "processor_config.json", "open_clip_config.json", "config.json")
"""Files beside a model that may hold a description, in the order in which they are looked for."""

HUB_FOLDER = "onnx"
"""Where hubs keep ONNX files; the description is in the folder above."""

NONE = "none"
"""The value of `preprocessing` that says: read no description."""

_SAID = "sparkcider.normalization"
"""The metadata by which a model file describes itself."""


Preprocessing: TypeAlias = Union["str | os.PathLike[str]", Description, None]
"""Of the option `preprocessing`."""


def describe(model: str | os.PathLike[str], preprocessing: Preprocessing = None) -> Description | None:
    """The description that holds for a model file.

    Args:
        model: Its path on this machine.
        preprocessing: A description, the path or URI of one, or `none`. Default: the file beside the model, unless the
            model says `sparkcider.normalization` itself.

    Returns:
        The description, with the pooling of the model's library where a `config.json` beside it tells that; None where
        there is neither, and for `none`.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It is not a description, or says what is not supported.
        ValueError: The model is `pixels`, which is not a file.
    """
    if isinstance(preprocessing, Description):
        return preprocessing
    if preprocessing is not None and os.fspath(preprocessing) == NONE:
        return None
    if os.fspath(model) == "pixels":
        if preprocessing is not None:
            raise ValueError(
                f"preprocessing must be left out, as pixels is not a file, got {os.fspath(preprocessing)!r}"
            )
        return None
    found = beside(Path(model)) if preprocessing is None else preprocessing
    if preprocessing is None and found is not None and _describes_itself(model):
        found = None
    return _with_pooling(Path(model), None if found is None else read(found))


def beside(model: Path) -> Path | None:
    """The description that is in the folder of a model file, or above a folder called `onnx`.

    A `config.json` counts only if it has a `pretrained_cfg`: that of transformers is about the network.
    """
    for path in (place / name for place in _folders(model) for name in NAMES):
        if path.is_file() and (path.name != families.CONFIG or "pretrained_cfg" in _config(path)):
            return path
    return None


def family(model: Path) -> tuple[str, families.Family] | None:
    """The `model_type` that a `config.json` beside a model file says and how its library pools, if that is known."""
    return families.family(_config_beside(model)[1])


def _with_pooling(model: Path, said: Description | None) -> Description | None:
    path, config = _config_beside(model)
    pooling = families.read(config)
    if not pooling:
        return said
    if said is None:
        return Description(str(path), tuple(sorted(pooling.items())))
    return Description(said.source, tuple(sorted({**dict(said.entries), **pooling}.items())))


def _folders(model: Path) -> list[Path]:
    folder = model.absolute().parent
    return [model.parent, *([folder.parent] if folder.name == HUB_FOLDER else [])]


def _config_beside(model: Path) -> tuple[Path, dict[str, Any]]:
    """The first `config.json` beside a model file that names a `model_type`, and its fields, if there is one."""
    paths = [folder / families.CONFIG for folder in _folders(model)]
    found = ((path, _config(path)) for path in paths if path.is_file())
    return next(((path, config) for path, config in found if "model_type" in config), (model, {}))


def _config(path: Path) -> dict[str, Any]:
    try:
        return _parsed(str(path))
    except ModelError:  # another program's
        return {}


def read(reference: str | os.PathLike[str]) -> Description:
    """Reads a description.

    Args:
        reference: The path or URI of a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It is not a description, or says what is not supported.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp(), "preprocessor_config.json")
        >>> file.write_text('{"image_processor_type": "ViTImageProcessor", "size": 384}')
        58
        >>> dict(read(file).entries)["input_size"]
        '384x384'
    """
    file = os.fspath(reference)
    shown = redacted_uri(file)
    return Description(shown, tuple(sorted(_entries(shown, _parsed(file)).items())))


def _entries(file: str, values: Mapping[str, Any]) -> Mapping[str, str]:
    nested = values.get("image_processor")
    if isinstance(nested, dict):
        values = nested
    if isinstance(values.get("pretrained_cfg"), dict):
        return timm.read(file, values["pretrained_cfg"])
    if isinstance(values.get("preprocess_cfg"), dict):
        return open_clip.read(file, values["preprocess_cfg"], values.get("model_cfg"))
    if "image_processor_type" in values or "feature_extractor_type" in values:
        return huggingface.read(file, values)
    if "crop_size" in values and "resize_size" in values:
        return torchvision.read(file, values)
    if isinstance(values.get("input_size"), list):
        return timm.read(file, values, prefix="")
    raise ModelError(
        f"{file} does not describe how images are prepared: expected an image_processor_type or feature_extractor_type "
        "(transformers), a pretrained_cfg (timm), a preprocess_cfg (open_clip), or crop_size and resize_size "
        f"(torchvision), got {', '.join(values) or 'no fields'}"
    )


def _parsed(file: str) -> dict[str, Any]:
    content = _content(file)
    try:
        values = json.loads(content)
    except ValueError as error:  # of JSON or of UTF-8
        raise ModelError(f"{redacted_uri(file)} cannot be read as JSON: {error}") from None
    if not isinstance(values, dict):
        raise ModelError(f"{redacted_uri(file)} must hold a JSON object, got {type(values).__name__}")
    return values


def _content(file: str) -> bytes:
    file = mounted(file)
    is_file = scheme_of(file) == "file"
    if "://" in file and not is_file:
        return brought(file, read_whole)
    path = Path(literal_path(file) if is_file else file)
    if not path.is_file():
        raise FileNotFoundError(f"preprocessing file not found: {path}")
    return path.read_bytes()


def _describes_itself(model: str | os.PathLike[str]) -> bool:
    metadata = _model_summary(model)[3]
    return any(key == _SAID for key, _ in metadata)

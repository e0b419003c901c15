"""Models of the Hugging Face Hub, by `huggingface_hub` and into its own cache: `hf://OWNER/NAME`.

`hf://OWNER/NAME@REVISION` takes a branch, a tag or a commit, `#file=onnx/model_quantized.onnx` another file than
`onnx/model.onnx`. What describes the preparation, and the weights that are beside the file, come with it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

from sparkcider._native import ModelError
from sparkcider.models.descriptions import NAMES

SCHEME = "hf://"

FILES = ("onnx/model.onnx", "model.onnx")
"""Looked for in this order where no file is named: the float32 network as optimum and the Hub's own exports lay it."""

_WEIGHTS = ("_data", ".data")
"""What follows the name of a network in the names of the files with its weights."""


class HubModel(NamedTuple):
    """A reference, taken apart.

    Attributes:
        name: OWNER/NAME.
        revision: A branch, a tag or a commit; None: the main branch.
        file: Path of the ONNX file in it; None: the first of `FILES`.
    """

    name: str
    revision: str | None
    file: str | None

    @classmethod
    def of(cls, reference: str) -> HubModel:
        """Reads `hf://OWNER/NAME[@REVISION][#file=PATH]`.

        Raises:
            ValueError: It is not of this form.

        Example:
            >>> HubModel.of("hf://google/vit-base-patch16-224@main#file=onnx/model_fp16.onnx")
            HubModel(name='google/vit-base-patch16-224', revision='main', file='onnx/model_fp16.onnx')
        """
        found = re.fullmatch(r"hf://([\w.-]+/[\w.-]+)(?:@([\w./-]+))?(?:#file=([^#]+))?", reference)
        if found is None:
            raise ValueError(f"a model of the Hub is hf://OWNER/NAME[@REVISION][#file=PATH], got {reference}")
        return cls(*found.groups())


def fetch(reference: str) -> Path:
    """The ONNX file that a reference names, in the cache of `huggingface_hub`; other files that it needs are beside it.

    Without a connection, or with `HF_HUB_OFFLINE=1`, what the cache has is taken.

    Raises:
        ImportError: `huggingface_hub` is not installed.
        FileNotFoundError: There is no such model, revision or file.
        ModelError: The model is gated, or the Hub cannot be reached and the cache does not have it.
        ValueError: The reference is not of the form `hf://OWNER/NAME[@REVISION][#file=PATH]`.
    """
    model = HubModel.of(reference)
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise ImportError(f"{SCHEME} needs huggingface_hub: pip install huggingface_hub") from error
    try:
        return _fetch(huggingface_hub, model)
    except errors.GatedRepoError as error:
        raise ModelError(
            f"{reference} is gated: accept its terms at https://huggingface.co/{model.name}, then log in with `hf auth "
            "login` or set HF_TOKEN"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"the Hub has no model {model.name}; a private one needs `hf auth login` or HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{model.name} has no revision {model.revision}") from error
    except FileNotFoundError as error:
        if not isinstance(error, errors.LocalEntryNotFoundError):
            raise
        return _cached(huggingface_hub, model, error)
    except Exception as error:  # noqa: BLE001 - each version of the library lets those of another HTTP client through
        return _cached(huggingface_hub, model, error)


def commit(reference: str) -> str | None:
    """The commit of the Hub that a reference stood for when it was last fetched here; None if it was not.

    Raises:
        ValueError: The reference is not of the form `hf://OWNER/NAME[@REVISION][#file=PATH]`.
    """
    import huggingface_hub

    model = HubModel.of(reference)
    found = _in_cache(huggingface_hub, model)
    return None if found is None else _commit_of(found, model)


def _commit_of(path: Path, model: HubModel) -> str:
    # .../models--OWNER--NAME/snapshots/COMMIT/FILE
    return path.parts[path.parts.index(f"models--{model.name.replace('/', '--')}") + 2]


def _fetch(hub: Any, model: HubModel) -> Path:
    found = hub.HfApi().model_info(model.name, revision=model.revision)
    names = {sibling.rfilename for sibling in found.siblings or ()}
    file = next((name for name in ([model.file] if model.file else FILES) if name in names), None)
    if file is None:
        others = sorted(name for name in names if name.endswith(".onnx"))
        wanted = model.file or " or ".join(FILES)
        remedy = f"its ONNX files are {', '.join(others)}: name one by #file=" if others else "it has no ONNX file"
        raise FileNotFoundError(f"{model.name} has no {wanted}; {remedy}")
    weights = [name for name in names if name.startswith(tuple(file + end for end in _WEIGHTS))]
    beside = weights + [name for name in _descriptions(file) if name in names]
    path = Path(hub.hf_hub_download(model.name, file, revision=model.revision))
    one = _commit_of(path, model)  # whatever is pushed meanwhile
    for name in beside:
        hub.hf_hub_download(model.name, name, revision=one)
    return path


def _descriptions(file: str) -> list[str]:
    folder = file[: -len(Path(file).name)]
    return [f"{folder}{name}" for name in NAMES] + (list(NAMES) if folder else [])


def _cached(hub: Any, model: HubModel, cause: Exception) -> Path:
    found = _in_cache(hub, model)
    if found is not None:
        return found
    raise ModelError(
        f"the Hub cannot be reached and its cache does not have {model.name} ({_first_line(cause)}): fetch it where "
        f"the internet is, with `hf download {model.name}`, or give the path of its ONNX file"
    ) from cause


def _in_cache(hub: Any, model: HubModel) -> Path | None:
    for file in [model.file] if model.file else FILES:
        found = hub.try_to_load_from_cache(model.name, file, revision=model.revision)
        if isinstance(found, str):
            return Path(found)
    return None


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)

"""The network of a saved `ImageFeaturizer`: what is saved of it, and what is checked when the stage is loaded."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any, NamedTuple

from sparkcider import FeatureExtractor, ModelError
from sparkcider.models import cache, one_file, resolve
from sparkcider.models.descriptions import NONE
from sparkcider.options import Description
from sparkcider.saved_stage import MODEL
from sparkcider.version import __version__

PIXELS, CHECKSUM = "pixels", "#sha256="
"""Words of `resolve`: the model that is not a file, and the mark before the checksum of one."""


class CarriedModel(NamedTuple):
    """The network that a stage was saved with.

    Attributes:
        name: The Param `model` of the stage when it was saved.
        reference: What `resolve` finds it by, with its checksum; or `pixels`.
        preprocessing: The Param `preprocessing` of the stage when it was saved.
        description: What it named, or what was beside the model.
    """

    name: str
    reference: str
    preprocessing: str | None
    description: Description | None


def saved_parts(path: str, options: dict[str, Any], *, whole: bool) -> tuple[dict[str, bytes], dict[str, Any]]:
    """What is saved of a network: arrays and facts of a `SavedStage`.

    Args:
        path: Its file, or `pixels`.
        options: Keyword arguments of `FeatureExtractor`.
        whole: Save the file itself, too.

    Raises:
        ModelError: The file is not a network with one image input, or changes meanwhile; and as `FeatureExtractor`.
    """
    extractor = FeatureExtractor(path, **options)
    arrays = {}
    if whole and path != PIXELS:
        arrays[MODEL] = one_file(path).read_bytes()
        found = sha256(arrays[MODEL]).hexdigest()
        if found != extractor.checksum:
            raise ModelError(f"{path} changes while it is saved: it had checksum {extractor.checksum}, now {found}")
    return arrays, {"model": _said(extractor)}


def restored(
    name: str, options: dict[str, Any], arrays: dict[str, bytes], facts: dict[str, Any] | None, uri: str
) -> CarriedModel | None:
    """The network of a stage that is loaded, checked against what was saved of it.

    Args:
        name: The Param `model`.
        options: Keyword arguments of `FeatureExtractor`.
        arrays: Of the saved stage, intact.
        facts: Likewise; None: a stage of format 1, which says nothing of its network, or one without a model.
        uri: Where the stage is, for messages.

    Raises:
        FileNotFoundError: The stage was saved without its model, which is not there.
        ModelError: Another file is there, or this version prepares images in another way.
    """
    said = (facts or {}).get("model")
    if said is None:
        return None
    reference = name
    if MODEL in arrays:
        reference = _checked(str(cache.keep(arrays[MODEL], said["checksum"])), said["checksum"])
    elif name != PIXELS:
        reference = _found(name, said["checksum"], uri)
    given = options.get("preprocessing")
    described = said.get("description")  # None in what an earlier version saved, too
    description = None if described is None else Description(described["source"], _pairs(described["entries"]))
    if name != PIXELS:
        options = {**options, "preprocessing": description or NONE}
    _check(_said(FeatureExtractor(reference, **options)), said, uri)
    return CarriedModel(name, reference, given, description)


def _checked(name: str, checksum: str) -> str:
    return f"{name.partition(CHECKSUM)[0]}{CHECKSUM}{checksum}"


def _said(extractor: FeatureExtractor) -> dict[str, Any]:
    said = {
        "checksum": extractor.checksum,
        "embedding_dim": extractor.embedding_dim,
        "preprocessing": extractor.preprocessing,
        "outputs": extractor.outputs,
        "l2_normalize": extractor.l2_normalize,
    }
    description = extractor.resolved_options.get("preprocessing")
    if isinstance(description, Description):
        said["description"] = {"source": description.source, "entries": dict(description.entries)}
    plain: dict[str, Any] = json.loads(json.dumps(said))  # tuples as the lists that JSON gives back
    return plain


def _pairs(entries: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(entries.items()))


def _found(name: str, checksum: str, uri: str) -> str:
    """The model that was not saved with its stage: what its name finds, else a copy in the cache."""
    needs = f"{uri} was saved without its model (saveModel=False) and needs the file with checksum {checksum}"
    remedy = "put the right file there, or save the stage with its model"
    cached = cache.cached(checksum)
    try:
        found = cache.checksum_of(one_file(resolve(name)))
    except (FileNotFoundError, ModelError) as error:
        if cached is None:
            kind = ModelError if isinstance(error, ModelError) else FileNotFoundError
            raise kind(f"{needs}; {error}: {remedy}") from error
        return _checked(str(cached), checksum)
    if found == checksum:
        return _checked(name, checksum)
    if cached is None:
        raise ModelError(f"{needs}; {name} has checksum {found}: {remedy}")
    return _checked(str(cached), checksum)


def _check(found: dict[str, Any], said: dict[str, Any], uri: str) -> None:
    """Raises ModelError if a later version of this package would embed the same images differently."""
    plain = ("embedding_dim", "outputs", "l2_normalize")  # older stages say less
    before, now = (
        {**{name: facts[name] for name in plain if name in facts}, **facts["preprocessing"]} for facts in (said, found)
    )
    others = [option for option in before if now.get(option) != before[option]]
    if others:
        then, here = (", ".join(f"{option}={facts.get(option)!r}" for option in others) for facts in (before, now))
        raise ModelError(
            f"{uri} was saved with {then}; sparkcider {__version__} takes its model and Params for {here}: "
            "load it with the version that saved it, set these options there, and save it again"
        )

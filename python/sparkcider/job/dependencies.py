"""What the features of a result depend on, as `job.json` says it: rows of two kinds are not mixed in one table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sparkcider import _native
from sparkcider.options import Description
from sparkcider.storage.uri import ALIASES, scheme_of

if TYPE_CHECKING:
    from sparkcider import FeatureExtractor
    from sparkcider.job.config import JobConfig
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import Files

JOB = "job.json"
"""The file that says what the features of a result depend on."""

NUMBERS = 1
"""The version of the numbers in a row of the features. It is raised when any of them changes for the same image, model
and options: rows of two versions are not mixed. All other versions of sparkcider continue each other's results."""

FIRST_NUMBERS = {"0.2.0": 1}
"""The numbers of versions of sparkcider that did not write them down."""

_SHOWN = 12
"""Digits of a checksum in a message."""

_NO_CHANGE = {"model_name", "input"}
"""One model may have two names; the input is compared by `canonical`."""

_REMEDY = "--mode overwrite (mode='overwrite') starts over"


def dependencies(config: JobConfig, extractor: FeatureExtractor, location: str) -> dict[str, Any]:
    """What must be the same for the features of two runs to be in one table.

    Args:
        config: The job.
        extractor: Its model, opened.
        location: The full URI of its input.
    """
    runtime = "none" if config.model == "pixels" else _native._onnxruntime()[1]  # noqa: SLF001 - asks what users need not
    options = dict(config.options)
    description = extractor.resolved_options.get("preprocessing")
    if isinstance(description, Description):  # the same words in another file are the same
        options["preprocessing"] = dict(description.entries)
    found = {
        "model": extractor.checksum,
        "model_name": config.model_name,
        "options": dict(sorted(options.items())),
        "thumbnails": config.thumbnails,
        "numbers": NUMBERS,
        "onnxruntime": runtime,
        "input": location,
    }
    plain: dict[str, Any] = json.loads(json.dumps(found))  # tuples are lists in a file
    return plain


def check_same(files: Files, folder: str, now: dict[str, Any], *, same_input: bool) -> None:
    """Refuses to go on with features that were made in another way.

    Args:
        files: How the folder is reached.
        folder: A result, complete or not.
        now: `dependencies` of this run.
        same_input: Another input is the same one, moved.

    Raises:
        ValueError: Something differs; each difference is named.
    """
    if not files.exists(f"{folder}/{JOB}"):
        if files.exists(f"{folder}/features"):
            raise ValueError(f"{folder} cannot be resumed: it has no {JOB}, as an older version wrote it; {_REMEDY}")
        return
    before = recorded(files, folder)
    changes = _changes(_flat(before), _flat(now))
    if changes:
        raise ValueError(f"{folder} cannot be resumed: {'; '.join(changes)}; {_REMEDY}")
    old, new = before.get("input"), now["input"]
    if not same_input and old is not None and canonical(old) != canonical(new):
        raise ValueError(
            f"{folder} cannot be resumed: its input was {old} and is {new}; if the same images moved there, give "
            f"--same-input (same_input=True), else another output; {_REMEDY}"
        )


def recorded(files: Files, folder: str) -> dict[str, Any]:
    """What `job.json` says, in the words of today."""
    found: dict[str, Any] = json.loads(files.read(f"{folder}/{JOB}"))
    version = found.pop("sparkcider", None)  # until 0.2.0, in place of the version of the numbers
    if version is not None and "numbers" not in found:
        found["numbers"] = FIRST_NUMBERS.get(version, f"of sparkcider {version}")
    return found


def write_job(partial: Partial, now: dict[str, Any]) -> None:
    """Writes down what the features depend on."""
    partial.write_text(JOB, json.dumps(now, indent=2) + "\n")


def canonical(uri: str) -> str:
    """The URI with the first of its scheme's names: the engines call one store `s3` and `s3a`."""
    scheme = scheme_of(uri)
    return ALIASES.get(scheme, scheme) + uri[len(scheme) :]


def _changes(was: dict[str, Any], is_now: dict[str, Any]) -> list[str]:
    """What differs, in words."""
    differing = {name for name in was.keys() | is_now.keys() if was.get(name) != is_now.get(name)} - _NO_CHANGE
    if "model" in differing and "none" in (was.get("onnxruntime"), is_now.get("onnxruntime")):
        differing.discard("onnxruntime")  # `pixels` has no network
    return [f"{name} was {_said(name, was)} and is {_said(name, is_now)}" for name in sorted(differing)]


def _said(name: str, settings: dict[str, Any]) -> str:
    """The value of a setting; a model by its name and the beginning of its checksum."""
    value = str(settings.get(name, "not set"))
    if name != "model" or value == "pixels":
        return value
    short = f"{value[:_SHOWN]}..."
    called = settings.get("model_name")
    return f"{called} ({short})" if called else short


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    """`{"options": {"a": 1}}` as `{"a": 1}`: differences are named by the option."""
    options = settings.get("options", {})
    return {**{name: value for name, value in settings.items() if name != "options"}, **options}

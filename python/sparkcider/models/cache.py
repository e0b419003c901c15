"""Model files brought from stores, kept on this machine: whole, checked, under the checksum of their bytes.

    SPARKCIDER_CACHE (default ~/.cache/sparkcider)
        models/CHECKSUM.onnx    each file once, whatever it was called
        references/HASH         of a URI, or a file with weights beside it: the version that came last, its checksum
        named/NAME.onnx         what `sparkcider export NAME` made

A file comes into the cache by rename, after its length, its checksum and its graph are found right; when it is taken
out its checksum is computed again. A model whose weights are in other files becomes one file here: so one checksum
stands for all of it, and one file is sent to executors.
"""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sparkcider._native import ModelError, _model_summary, _write_whole_model
from sparkcider.error_kinds import MISSING
from sparkcider.storage.faults import ReadError
from sparkcider.storage.objects import read_again
from sparkcider.storage.uri import check_uri, redacted_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sparkcider.storage.objects import Opened

T = TypeVar("T")

_BLOCK = 4 << 20


def folder() -> Path:
    """Where the cache is; it need not be there yet."""
    return Path(os.environ.get("SPARKCIDER_CACHE") or Path.home() / ".cache" / "sparkcider")


def named_folder() -> Path:
    """The folder of exported models, each NAME.onnx; it need not exist yet."""
    return folder() / "named"


def fetch(uri: str, checksum: str | None) -> Path:
    """The file at `uri` on this machine; brought only if it is not in the cache, or is another by now.

    Args:
        uri: Of a store.
        checksum: SHA-256 in hexadecimal, where the user gave it: then a cached file needs no question to the store.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It cannot be read, is cut short, is not ONNX, or has another checksum.
    """
    check_uri(uri)
    found = None if checksum is None else cached(checksum)
    if found is not None:
        return found
    reference = folder() / "references" / sha256(uri.encode()).hexdigest()
    with ExitStack() as parts:
        came = brought(uri, lambda file: _current(file, None if checksum else reference, parts))
        if isinstance(came, Path):
            return came
        stored, is_split = _store(came, uri, checksum)
    if came.version is not None and not is_split:  # the version says nothing of the other files
        _write(reference, f"{came.version}\n{stored}".encode())
    return _place(stored)


def brought(uri: str, use: Callable[[Opened], T]) -> T:
    """What `use` makes of a file of a store, which is opened again where a fault may pass.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It cannot be read.
        ValueError: The scheme of the URI is unknown, or there is a password in it.
    """
    shown = redacted_uri(uri)
    try:
        return read_again(uri, use)
    except ReadError as error:
        if error.kind == MISSING:
            raise FileNotFoundError(f"model file not found: {shown}") from None
        raise ModelError(str(error)) from None
    except OSError as error:
        raise ModelError(str(error)) from None


class _Came(NamedTuple):
    """A file that was brought: where it is, its checksum, and what changes when it does."""

    part: str
    checksum: str
    version: str | None


def _current(file: Opened, reference: Path | None, parts: ExitStack) -> Path | _Came:
    """The file of the cache that has the version of an open one; else that one, brought."""
    version = file.version()
    if version is not None and reference is not None and reference.is_file():
        before, _, known = reference.read_text().rpartition("\n")
        found = cached(known) if before == version else None
        if found is not None:
            return found
    part = parts.enter_context(_part())
    return _Came(part, _bring(file, part), version)


def joined(path: Path, external_files: list[str]) -> Path:
    """The model at `path` as one file of the cache, with the weights inside that are in files beside it.

    Args:
        path: Of an ONNX file.
        external_files: The files that it names.

    Raises:
        ModelError: One of them is not there, is cut short or is outside the folder, or one file cannot hold all.
    """
    reference = folder() / "references" / sha256(f"joined:{path.absolute()}".encode()).hexdigest()
    version = _versions([path, *(path.parent / name for name in external_files)])
    if version is not None and reference.is_file():
        before, _, known = reference.read_text().rpartition("\n")
        found = cached(known) if before == version else None
        if found is not None:
            return found
    stored = _join(path)
    if version is not None:
        _write(reference, f"{version}\n{stored}".encode())
    return _place(stored)


def _versions(files: list[Path]) -> str | None:
    """Size and time of each; None if one is not there."""
    try:
        stats = [file.stat() for file in files]
    except OSError:
        return None
    return json.dumps([(str(file), stat.st_size, stat.st_mtime_ns) for file, stat in zip(files, stats)])


def _join(path: Path) -> str:
    """Brings a model and the files beside it into the cache as one, and returns its checksum."""
    with _part() as part:
        stored = _write_whole_model(path, part)
        os.replace(part, _place(stored))  # noqa: PTH105 - one rename, atomic
    return stored


@contextmanager
def _part() -> Iterator[str]:
    """The path of a file in the cache that is gone after the block, unless it got its name."""
    models = folder() / "models"
    models.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=models, prefix=".part-")
    os.close(descriptor)
    try:
        yield part
    finally:
        Path(part).unlink(missing_ok=True)


def keep(content: bytes, checksum: str) -> Path:
    """The place in the cache of a file whose bytes are in memory; written only if it is not there.

    Args:
        content: All of an ONNX file.
        checksum: Its SHA-256 in hexadecimal, which the caller has compared.
    """
    found = cached(checksum)
    if found is None:
        _write(_place(checksum), content)
    return found or _place(checksum)


def cached(checksum: str) -> Path | None:
    """The file with this checksum, if it is in the cache and intact."""
    path = _place(checksum)
    return path if path.is_file() and checksum_of(path) == checksum else None


def checksum_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _place(checksum: str) -> Path:
    return folder() / "models" / f"{checksum}.onnx"


def _store(came: _Came, uri: str, expected: str | None) -> tuple[str, bool]:
    """Takes what came into the cache; returns its checksum, and whether weights came from other files."""
    shown, found = redacted_uri(uri), came.checksum
    external_files = _external_files(came.part, shown)
    if external_files:
        found = _store_split(came.part, external_files, uri)
    if expected is not None and found != expected:
        raise ModelError(f"{shown} has checksum {found}, expected {expected}")
    if not external_files:
        os.replace(came.part, _place(found))  # noqa: PTH105 - one rename, atomic
    return found, bool(external_files)


def _store_split(part: str, external_files: list[str], uri: str) -> str:
    """Brings the files of weights beside `uri` and joins them with the model at `part`."""
    shown = redacted_uri(uri)
    base, slash, name = uri.rpartition("/")
    with tempfile.TemporaryDirectory(dir=folder() / "models", prefix=".part-") as place:
        model = Path(place, "model.onnx")
        os.replace(part, model)  # noqa: PTH105
        for location in external_files:
            file = Path(place, location)
            if not location or ".." in file.parts or Path(location).is_absolute() or "?" in name or file == model:
                raise ModelError(
                    f"{shown}: its weights are in {location!r}, which cannot be found beside it: bring both files into "
                    "one folder of this machine"
                )
            file.parent.mkdir(parents=True, exist_ok=True)
            brought(f"{base}{slash}{location}", partial(_bring, to=str(file)))
        try:
            return _join(model)
        except ModelError as error:
            raise ModelError(str(error).replace(str(model), shown)) from None


def _bring(opened: Opened, to: str) -> str:
    """Writes all bytes of a file of a store to `to`, and returns their checksum."""
    digest = sha256()
    with Path(to).open("wb") as file:
        for piece in opened.pieces(_BLOCK):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _external_files(path: str, shown: str) -> list[str]:
    """The files of weights that an ONNX file names."""
    try:
        return _model_summary(path)[4]
    except ModelError as error:
        raise ModelError(str(error).replace(path, shown)) from None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(part, path)  # noqa: PTH105

"""Model files brought from stores, kept on this machine: whole, checked, under the checksum of their bytes.

    SPARKCIDER_CACHE (default ~/.cache/sparkcider)
        models/CHECKSUM.onnx    each file once, whatever it was called
        references/HASH         of a URI: the version that was brought last, and its checksum
        named/NAME.onnx         what `sparkcider export NAME` made

A file comes into the cache by rename, after its length, its checksum and its graph are found right; when it is taken
out its checksum is computed again.
"""

from __future__ import annotations

import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from sparkcider._native import ModelError, _model_summary
from sparkcider.storage.remote import open_remote
from sparkcider.storage.uri import redacted_uri

if TYPE_CHECKING:
    from sparkcider.storage.remote import Remote

_BLOCK = 1 << 20


def folder() -> Path:
    """Where the cache lies; it need not be there yet."""
    return Path(os.environ.get("SPARKCIDER_CACHE") or Path.home() / ".cache" / "sparkcider")


def named_folder() -> Path:
    """Where exported models lie as NAME.onnx, or will."""
    return folder() / "named"


def fetch(uri: str, checksum: str | None) -> Path:
    """The file at `uri` on this machine; brought only if it is not in the cache, or is another by now.

    Args:
        uri: Of a store.
        checksum: SHA-256 in hexadecimal, where the user gave it: then a cached file needs no question to the store.

    Raises:
        FileNotFoundError: There is no such file.
        ModelError: It cannot be read, is cut short, is no ONNX, or has another checksum.
    """
    if checksum is not None:
        cached = _intact(checksum)
        if cached is not None:
            return cached
    reference = folder() / "references" / sha256(uri.encode()).hexdigest()
    with open_remote(uri) as remote:
        if checksum is None and remote.version is not None and reference.is_file():
            version, _, known = reference.read_text().rpartition("\n")
            cached = _intact(known) if version == remote.version else None
            if cached is not None:
                return cached
        found = _store(remote, redacted_uri(uri), checksum)
        if remote.version is not None:
            _write(reference, f"{remote.version}\n{found}".encode())
    return _place(found)


def checksum_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _place(checksum: str) -> Path:
    return folder() / "models" / f"{checksum}.onnx"


def _intact(checksum: str) -> Path | None:
    path = _place(checksum)
    return path if path.is_file() and checksum_of(path) == checksum else None


def _store(remote: Remote, shown: str, expected: str | None) -> str:
    """Brings the bytes into the cache and returns their checksum."""
    models = folder() / "models"
    models.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=models, prefix=".part-")
    try:
        digest, size = sha256(), 0
        with os.fdopen(descriptor, "wb") as file:
            while block := remote.stream.read(_BLOCK):
                digest.update(block)
                size += file.write(block)
        found = digest.hexdigest()
        if remote.size is not None and size != remote.size:
            raise ModelError(f"{shown} is cut short: {size:,} of {remote.size:,} bytes came")
        if expected is not None and found != expected:
            raise ModelError(f"{shown} has checksum {found}, expected {expected}")
        _check_onnx(part, shown)
        os.replace(part, _place(found))  # noqa: PTH105 - one rename, atomic
    finally:
        Path(part).unlink(missing_ok=True)
    return found


def _check_onnx(path: str, shown: str) -> None:
    try:
        external = _model_summary(path)[-1]
    except ModelError as error:
        raise ModelError(str(error).replace(path, shown)) from None
    if external:
        raise ModelError(f"{shown}: its weights lie in other files: save it as one file (onnx.save does by default)")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=".part-")
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    os.replace(part, path)  # noqa: PTH105

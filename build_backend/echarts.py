"""Apache ECharts in the wheel: one script of its tarball, with its licences, beside the other files of the report."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import shutil
import sys
import tarfile
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
SOURCE = HERE / "echarts.txt"
FOLDER = HERE.parent / "python" / "sparkcider" / "report" / "assets" / "vendor"
FILES = ("dist/echarts.simple.min.js", "LICENSE", "NOTICE", "licenses/LICENSE-d3")
"""The script with lines, bars and pies only: half a megabyte."""
VARIABLE = "SPARKCIDER_ECHARTS"


def bundle() -> None:
    """Puts `FILES` into `FOLDER`, unless they are there already."""
    source = SOURCE.read_text(encoding="utf-8")
    stamp = FOLDER / "SOURCE.txt"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == source:
        return
    url, integrity = [line for line in source.splitlines() if not line.startswith("#")]
    content = fetch(url)
    found = "sha512-" + base64.b64encode(hashlib.sha512(content).digest()).decode()
    if found != integrity:
        sys.exit(f"{url} has the checksum {found}, expected {integrity}: it is not the file that {SOURCE.name} names")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for name in FILES:
            member = archive.extractfile(f"package/{name}")
            if member is None:
                sys.exit(f"{url} holds no file {name}")
            (FOLDER / Path(name).name).write_bytes(member.read())
    stamp.write_text(source, encoding="utf-8")  # last: a broken download leaves no stamp


def fetch(url: str) -> bytes:
    """The tarball: a file that the variable names, or from the registry that npm is told to use."""
    given = os.environ.get(VARIABLE)
    if given:
        return Path(given).read_bytes()
    mirror = os.environ.get("npm_config_registry")  # noqa: SIM112 - as npm writes it
    if mirror:
        url = url.replace("https://registry.npmjs.org/", mirror.rstrip("/") + "/")
    try:
        with urllib.request.urlopen(url, timeout=60) as response:  # noqa: S310 - https, by the line above or the user
            content: bytes = response.read()
    except OSError as error:
        sys.exit(f"{url} cannot be fetched ({error}): set npm_config_registry to a mirror, or {VARIABLE} to the file")
    return content

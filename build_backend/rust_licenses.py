"""The licences of the Rust crates that are compiled into the module, as one text: most of them ask to go along."""

from __future__ import annotations

import json
import re
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
FILES = re.compile(r"(licen[cs]e|copying|notice|copyright|unlicense)", re.IGNORECASE)
HEAD = "sparkcider/_native is compiled from Rust's standard library (MIT OR Apache-2.0) and these crates:"


def text(target: str | None) -> str:
    """Each crate with its licence and authors, then each licence text once, for the Rust `target` or this machine."""
    metadata = cargo_metadata(target or host())
    crates = {package["id"]: package for package in metadata["packages"]}
    root = metadata["resolve"]["root"]
    linked = [crates[key] for key in reachable(metadata["resolve"]["nodes"], root) - {root}]
    lines, owners = [], defaultdict(list)
    for crate in sorted(linked, key=lambda crate: (crate["name"], crate["version"])):
        name = f"{crate['name']} {crate['version']}"
        by = ", ".join([*crate["authors"], crate["repository"] or ""])
        lines.append(f"{name}: {crate['license'] or crate['license_file']}; {by}")
        for content in license_texts(Path(crate["manifest_path"]).parent):
            owners[content].append(name)
    texts = [f"{'=' * 80}\n{', '.join(names)}:\n\n{content}" for content, names in owners.items()]
    return "\n".join([HEAD, *lines, *texts, ""])


def cargo_metadata(target: str) -> dict[str, Any]:
    """What cargo knows of the crates for `target`; downloads those that are not here, as the build would."""
    command = ["cargo", "metadata", "--format-version=1", "--features=python", f"--filter-platform={target}"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def host() -> str:
    """Rust's name of this machine."""
    said = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout  # noqa: S607 - likewise
    return said.partition("host: ")[2].split()[0]


def reachable(nodes: list[dict[str, Any]], root: str) -> set[str]:
    """The crates that are linked: tests and build scripts are not."""
    linked = {
        node["id"]: [dep["pkg"] for dep in node["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        for node in nodes
    }
    found, to_see = set(), [root]
    while to_see:
        crate = to_see.pop()
        if crate not in found:
            found.add(crate)
            to_see += linked[crate]
    return found


def license_texts(folder: Path) -> list[str]:
    """The licence files beside a crate's manifest and in the folder of a C library that it brings."""
    found = [*folder.iterdir(), *folder.glob("libjpeg-turbo/*")]
    files = sorted(path for path in found if path.is_file() and FILES.match(path.name))
    return [path.read_text(encoding="utf-8", errors="replace").strip() for path in files]

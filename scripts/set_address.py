"""Writes the project's address into what a package index shows: `[project.urls]`, and the links of the README.

    python scripts/set_address.py https://HOST/OWNER/NAME COMMIT

The workflow that publishes runs it before it builds; the address is that of its repository. It works in the current
folder and changes pyproject.toml and README.md. Relative links of the README would not work on an index.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

PAGES = {"Repository": "", "Documentation": "/blob/{commit}/docs/index.md", "Changelog": "/blob/{commit}/CHANGELOG.md"}
RELATIVE_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?!https?://|#)(?P<target>[^)]+)\)")


def main(address: str, commit: str) -> None:
    """Changes both files."""
    project, readme = Path("pyproject.toml"), Path("README.md")
    project.write_text(with_urls(project.read_text(encoding="utf-8"), address, commit), encoding="utf-8")
    readme.write_text(with_whole_links(readme.read_text(encoding="utf-8"), address, commit), encoding="utf-8")


def with_urls(project: str, address: str, commit: str) -> str:
    """`project` with a table of addresses behind all others."""
    if "[project.urls]" in project:
        sys.exit("pyproject.toml has [project.urls] already: start from the committed file")
    lines = [f'{name} = "{address}{page.format(commit=commit)}"' for name, page in PAGES.items()]
    return "\n".join([project.rstrip("\n"), "", "[project.urls]", *lines, ""])


def with_whole_links(readme: str, address: str, commit: str) -> str:
    """`readme` with relative links made absolute; a picture needs the file itself and not the page around it."""

    def whole(link: re.Match[str]) -> str:
        kind = "raw" if link["image"] else "blob"
        return f"{link['image']}[{link['text']}]({address}/{kind}/{commit}/{link['target']})"

    return RELATIVE_LINK.sub(whole, readme)


if __name__ == "__main__":
    main(*sys.argv[1:])

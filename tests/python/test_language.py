"""The project's prose is plain English: no phrase that readers have to think about twice, no endless sentence."""

from __future__ import annotations

import ast
import io
import json
import re
import subprocess
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]

BANNED = {
    r"\b(is|are|was|were) no (?!longer|more|less|such)\w+": "is not a ...",
    r"\bknows? no\b": "has no",
    r"\bl(ies|ie|ay) (in|at|beside|there|inside|outside)\b": "is in",
    r"\bstands? (in|behind|as it)\b(?! for)": "is in",
    r"\banew\b": "again, from the start",
    r"\basked for\b": "requested",
    r"\bgoe?s? before\b": "overrides",
    r"\bat hand\b": "available",
    r"\b(has been|was|were|been) asked\b": "not yet tested on",
    r"\ball of it or nothing\b": "appears only when the job succeeds",
    r"\bway of the\b": "flow",
    r"\bhow the house\b": "conventions",
    r"\bnobody knows\b": "unknown",
    r"\bput in yours\b": "use your own",
    r"\bsays? of itself\b": "says about itself",
    r"\bwhoever\b": "people who",
    r"\bno more than that\b": "only that",
}
"""Phrases, as regular expressions, and what to write in their place."""

LONGEST = 40
"""Words of a sentence."""

PAGES = [
    path
    for path in sorted(REPOSITORY.rglob("*.md"))
    if not {".venv", "target", "onnxruntime", ".pytest_cache"} & {*path.relative_to(REPOSITORY).parts}
    and not path.relative_to(REPOSITORY).parts[0].startswith(".venv")
]


def files(*suffixes: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, capture_output=True, text=True, check=False).stdout
    found = [REPOSITORY / line for line in listed.splitlines()]
    return [path for path in found if path.suffix in suffixes and path.is_file() and "tests" not in path.parts]


def prose(page: str) -> Iterator[str]:
    """Paragraphs, points and cells of a Markdown page, without code."""
    page = re.sub(r"^```.*?^```|^(    .*\n)+|<!--.*?-->", "\n", page, flags=re.MULTILINE | re.DOTALL)
    page = re.sub(r"^(#+ .*)$", r"\1\n", page, flags=re.MULTILINE)
    for block in re.split(r"\n\s*\n|\n(?=\s*(?:[-*]|\d+\.) )|\n(?=#)|\n(?=\|)", page):
        cells = block.strip().strip("|").split(" | ") if block.lstrip().startswith("|") else [block]
        for cell in cells:
            text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", cell)
            yield " ".join(re.sub(r"`[^`]*`", "CODE", text).split())


def sentences(text: str) -> list[str]:
    return re.split(r"(?:(?<=[.!?:;])|(?<=[.!?]\*\*))\s+(?=[\dA-Z`*(\[])", text)


def comments_of_python(path: Path) -> Iterator[str]:
    source = path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield " ".join(node.value.split())


def comments_of_rust(path: Path) -> Iterator[str]:
    lines = re.findall(r"^\s*//[/!]? ?(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    yield " ".join(lines)
    yield from re.findall(r'"((?:[^"\\]|\\.)*)"', path.read_text(encoding="utf-8"))


def faults(text: str) -> list[str]:
    found = []
    for pattern, better in BANNED.items():
        for match in re.finditer(pattern, text, re.IGNORECASE):
            if re.search(r"[Tt]here $", text[: match.start()]):  # "there is no ..."
                continue
            around = text[max(match.start() - 40, 0) : match.end() + 30]
            found.append(f"{match[0]!r} in {around!r}: write {better!r}")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_pages_have_no_banned_phrase_and_no_endless_sentence(page: Path):
    found: list[str] = []
    for text in prose(page.read_text(encoding="utf-8")):
        found += faults(text)
        long = [sentence for sentence in sentences(text) if len(sentence.split()) > LONGEST]
        found += [f"{len(sentence.split())} words: {sentence}" for sentence in long]
    assert not found, "\n".join(found)


NOTEBOOKS = sorted((REPOSITORY / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_notebooks_have_no_banned_phrase(notebook: Path):
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    found: list[str] = []
    for cell in cells:
        source = "".join(cell["source"])
        found += faults(source)
        if cell["cell_type"] == "markdown":
            found += [each for text in prose(source) for each in sentences(text) if len(each.split()) > LONGEST]
    assert not found, "\n".join(found)


def test_code_has_no_banned_phrase():
    python, rust = files(".py", ".pyi"), files(".rs")
    if not python:
        pytest.skip("needs a checkout with git")
    found = []
    for path in python:
        found += [
            f"{path.relative_to(REPOSITORY)}: {fault}" for text in comments_of_python(path) for fault in faults(text)
        ]
    for path in rust:
        found += [
            f"{path.relative_to(REPOSITORY)}: {fault}" for text in comments_of_rust(path) for fault in faults(text)
        ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "It is no file.",
        "The weights lie beside it.",
        "starts anew",
        "what was asked for",
        "The option goes before that.",
        "No cloud was asked.",
    ],
)
def test_the_check_finds_what_it_should(text: str):
    assert faults(text)
    assert not faults("It is not a file. There is no file. It is no longer there.")

"""Every command and every snippet of README.md works, in the order of the page."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sparkcider.samples import write_samples

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("spark")
def test_the_snippets_run_one_after_the_other(folder):
    names = {}
    for block in blocks("python"):
        # The JVM's working directory is where the session was started.
        code = re.sub(r'(load|parquet)\("(\w+)"\)', rf'\1("{folder}/\2")', block)
        exec(code, names)  # noqa: S102 - the page's own code
    n_images = sum(path.is_file() for path in (folder / "images").rglob("*"))
    assert n_images == len(names["files"]) == len(names["components"]) == 241
    assert names["errors"].null_count == names["images"].count() - 1 == 240
    assert names["bad"].count() == 1
    assert names["reduced"].count() == n_images - 1


def test_the_swaps_name_what_exists():
    for line in re.findall(r"^\+(from .+)$", "".join(blocks("diff")), re.MULTILINE):
        exec(line, {})  # noqa: S102 - the page's own code


@pytest.mark.parametrize("command", "".join(blocks("sh")).splitlines())
def test_the_command_works(command, folder):
    words = shlex.split(command)
    write_samples(folder / "images")
    if words[0] == "make":  # what it would run is known; .ci/run runs it
        subprocess.run([*words, "--dry-run", "--directory", str(REPOSITORY)], check=True, stdout=subprocess.DEVNULL)
    elif words[:2] == ["pip", "install"]:  # the tests run in what it installed
        extras = set(re.findall(r"\[(\w+)\]", command))
        assert extras <= set(importlib.metadata.metadata("sparkcider").get_all("Provides-Extra"))
    else:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert words[1] != "run" or (folder / "out" / "report.html").is_file()

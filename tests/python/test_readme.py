"""Every command and every snippet of README.md works, in the order of the page."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sparkcider.samples import write_samples

REPOSITORY = Path(__file__).parents[2]
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder


@pytest.fixture
def folder(samples, tmp_path, monkeypatch):
    """A working directory with what the page speaks of: `images/`, one of them broken, and a small network."""
    shutil.copytree(samples, tmp_path / "images")
    shutil.copy(REPOSITORY / "tests" / "data" / "tiny_nchw.onnx", tmp_path / "mobilenetv2.onnx")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_snippets_run_one_after_the_other(spark, folder):
    names = {"spark": spark}
    for block in blocks("python"):
        # The JVM's working directory is where the session was started.
        for name in ("images", "features"):
            block = block.replace(f'("{name}")', f'("{folder}/{name}")')  # noqa: PLW2901
        exec(block, names)  # noqa: S102 - the page's own code
    n_images = sum(path.is_file() for path in (folder / "images").rglob("*"))
    assert names["images"].count() == n_images
    assert names["bad"].count() == 1
    assert names["reduced"].count() == n_images - 1
    assert len(names["errors"]) - names["errors"].null_count == 1
    assert len(names["projected"]) == len(names["files"]) > 0
    assert names["projected"].null_count == 1


def test_the_swaps_name_what_exists():
    for line in re.findall(r"^\+(from .+)$", "".join(blocks("diff")), re.MULTILINE):
        exec(line, {})  # noqa: S102 - the page's own code


@pytest.mark.parametrize("command", "".join(blocks("sh")).splitlines())
def test_the_command_works(command, folder):
    words = shlex.split(command)
    if words[0] == "make":  # what it would run is known; .ci/run runs it
        subprocess.run([*words, "--dry-run", "--directory", str(REPOSITORY)], check=True, stdout=subprocess.DEVNULL)
    elif words[:2] == ["pip", "install"]:  # the tests run in what it installed
        extras = set(re.findall(r"\[(\w+)\]", command))
        assert extras <= set(importlib.metadata.metadata("sparkcider").get_all("Provides-Extra"))
    else:
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(words, check=False, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        assert words[1] != "run" or (folder / "out" / "summary.json").is_file()

"""What a release changes before it builds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ADDRESS, COMMIT = "https://git.example/founders/sparkcider", "0123abc"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    if not (REPOSITORY / "README.md").is_file():
        pytest.skip("needs the whole repository")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, tmp_path)
    return tmp_path


def set_address(tree: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "set_address.py"), ADDRESS, COMMIT]
    return subprocess.run(command, cwd=tree, capture_output=True, text=True, check=False)


def test_an_index_shows_the_address_of_the_repository_that_publishes(tree: Path) -> None:
    assert set_address(tree).returncode == 0
    tomllib = pytest.importorskip("tomllib")
    project = tomllib.loads((tree / "pyproject.toml").read_text(encoding="utf-8"))
    committed = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    urls = project["project"].pop("urls")
    assert project == committed
    assert urls["Repository"] == ADDRESS
    for url in urls.values():
        assert url.startswith(ADDRESS)
        page = url.partition(f"/blob/{COMMIT}/")[2]
        assert (REPOSITORY / page).exists()


def test_every_link_of_the_readme_leads_to_a_file_of_that_commit(tree: Path) -> None:
    set_address(tree)
    readme = (tree / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(targets) > 20
    for target in targets:
        _, where, file = target.partition(f"{ADDRESS}/")
        assert where, f"{target} is no whole address"
        kind, commit, path = file.split("/", 2)
        assert (kind, commit) == ("raw" if path.endswith(".png") else "blob", COMMIT)
        assert (REPOSITORY / path.partition("#")[0]).exists()


def test_an_address_is_not_set_twice(tree: Path) -> None:
    set_address(tree)
    again = set_address(tree)
    assert again.returncode == 1
    assert "pyproject.toml has [project.urls] already" in again.stderr

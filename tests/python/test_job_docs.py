"""Every command and snippet of docs/job.md works, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from sparkcider import cli
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "job.md").read_text(encoding="utf-8")


def test_the_page_works_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_samples(tmp_path / "images", images_per_label=3)
    files = sorted((tmp_path / "images").glob("L*/*.jpg"))
    rows = {
        "name": [f"{path.parent.name}/{path.name}" for path in files],
        "content": [path.read_bytes() for path in files],
    }
    pq.write_table(pa.table(rows), tmp_path / "images.parquet")
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 4
    monkeypatch.setattr("sparkcider.job.stages.session_is_active", lambda: False)  # of another test
    for language, block in blocks:
        if language == "python":
            exec(block, {})  # noqa: S102 - the page's own code
            continue
        for command in block.splitlines():
            words = shlex.split(command)
            assert words[0] == "sparkcider"
            assert cli.main(words[1:]) == 0, command
    assert {path.name for path in tmp_path.iterdir()} >= {"out", "out-again", "out-of-table"}


def test_the_page_names_the_exit_codes():
    for code in (0, 1, 2, 3, 130):
        assert f"\n| {code} |" in PAGE

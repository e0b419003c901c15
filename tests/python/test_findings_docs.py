"""Every command and snippet of docs/findings.md works, in the order of the page."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sparkcider import cli
from sparkcider.findings import duplicates, labels, outliers
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession

PAGE = (Path(__file__).parents[2] / "docs" / "findings.md").read_text(encoding="utf-8")


def test_the_page_works_from_top_to_bottom(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_samples(tmp_path / "images", images_per_label=3)
    monkeypatch.setattr("sparkcider.job.stages.session_is_active", lambda: False)  # of another test
    blocks = re.findall(r"^```(sh|python)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    for language, block in blocks:
        if language == "python":
            if "spark" in block:  # whose folder is another one
                block = re.sub(r'"(out/features|neighbors)"', rf'"{tmp_path}/\1"', block)  # noqa: PLW2901
            code = compile(block, "docs/findings.md", "exec")
            if not block.startswith("# needs "):
                exec(code, {"spark": spark})  # noqa: S102 - the page's own code
            continue
        for command in block.splitlines():
            words = shlex.split(command)
            assert words[0] == "sparkcider"
            assert cli.main(words[1:]) == 0, command
    assert (tmp_path / "neighbors" / "_SUCCESS").is_file()


def test_the_page_names_every_column_and_value():
    for schema in (duplicates.SCHEMA, outliers.SCHEMA, labels.SCHEMA):
        assert not [name for name in schema.names if f"`{name}`" not in PAGE]
    assert not [kind for kind in duplicates.KINDS if f"`{kind}`:" not in PAGE]
    assert f"at most {duplicates.COPY_BITS} of 256 bits" in PAGE
    assert f"at least {labels.SURE}" in PAGE

"""What tests of whole jobs share: images, the command that embeds them, the rows of a result, the table of faults."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from sparkcider.samples import write_samples

if TYPE_CHECKING:
    import pandas as pd

REPOSITORY = Path(__file__).parents[2]
SCRIPT = Path(__file__).parent / "killed_script.py"
"""`sparkcider` with short parts and waves."""

FAULTS = bool(os.environ.get("SPARKCIDER_TEST_FAULTS"))
"""Every fault is tried, several times, and docs/reliability.md is written (`make test-faults`)."""


def many_images(folder: Path, copies: int) -> Path:
    """241 sample images, one of them broken, so many times."""
    write_samples(folder / "0")
    for copy in range(1, copies):
        shutil.copytree(folder / "0", folder / str(copy), copy_function=os.link)
    return folder


def run_words(images: Path | str, out: Path) -> list[str]:
    """The words of a job that follow `sparkcider`."""
    words = ["run", "--input", str(images), "--output", str(out), "--model", "fruits-tiny", "--pca-k", "8"]
    return [*words, "--label-regex", "/([^/]+)/[^/]+$"]


def command(images: Path | str, out: Path, engine: str) -> list[str]:
    """The job on this machine."""
    words = [sys.executable, str(SCRIPT), *run_words(images, out), "--engine", engine]
    return [*words, "--master", "local[2]"] if engine == "spark" else words


def rows(out: Path) -> pd.DataFrame:
    """The features of a result, to be compared bit for bit."""
    return without_vectors(pq.read_table(out / "features").to_pandas())


def without_vectors(table: pd.DataFrame) -> pd.DataFrame:
    """Features sorted by path, their vectors as bytes."""
    table = table.sort_values("path", ignore_index=True)
    table["features"] = [None if row is None else row.tobytes() for row in table.features]
    return table


def record(fault: str, engine: str, times: int, outcome: str) -> None:
    """Writes a line of the table of faults in docs/reliability.md, if `FAULTS` are tried."""
    if not FAULTS:
        return
    page = REPOSITORY / "docs" / "reliability.md"
    text = page.read_text()
    found = re.search(r"(\| fault \| engine .*\n\|.*\n)((?:\|.*\n)*)", text)
    assert found is not None
    lines = {tuple(line.split(" | ")[:2]): line for line in found[2].splitlines()}
    lines[f"| {fault}", engine] = f"| {fault} | {engine} | {times} | {outcome} |"
    table = found[1] + "".join(f"{lines[key]}\n" for key in sorted(lines))
    page.write_text(text[: found.start()] + table + text[found.end() :])

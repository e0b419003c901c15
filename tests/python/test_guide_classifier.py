"""The guide to a classifier: its snippets run as they stand."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider.samples import FRUITS, write_samples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "classifier.md").read_text(encoding="utf-8")
N_LABELS, PER_LABEL, FOR_TEST = 5, 30, 3
"""So many that a fold of the training images has more rows than the 64 components that the page asks for."""


def run(spark: SparkSession, folder: Path, images: Path) -> dict[str, Any]:
    """Runs the snippets one after the other; what the page calls `images` and writes lies in folders of the test."""
    names: dict[str, Any] = {"spark": spark}
    for block in re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL):
        block = block.replace('"images/', f'"{images}/')  # noqa: PLW2901 - the JVM's working directory is another
        block = re.sub(r'\("(features|classifier)"\)', rf'("{folder}/\1")', block)  # noqa: PLW2901
        exec(block, names)  # noqa: S102 - the page's own code
    return names


@pytest.mark.timeout(900)
@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <function Pool.__del__:pytest.PytestUnraisableExceptionWarning"
)
def test_the_snippets_run_one_after_the_other(spark: SparkSession, tmp_path: Path):
    images = tmp_path / "images"
    write_samples(images / "Training", images_per_label=PER_LABEL)  # one of them is broken
    for fruit in FRUITS[N_LABELS:]:
        shutil.rmtree(images / "Training" / fruit.label)
    for path in sorted((images / "Training").glob("*/00*"))[:: PER_LABEL // FOR_TEST]:
        target = images / "Test" / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(str(path), target)
    names = run(spark, tmp_path, images)
    n_test = len(list((images / "Test").glob("*/*")))
    n_training = len(list((images / "Training").glob("*/*"))) - 1
    assert names["features"].count() == n_training
    assert names["share"] > 0.7  # by chance it would be 1 in 5
    rows = names["predicted"].collect()
    assert len(rows) == n_test
    assert sum(row.path.split("/")[-2] == row.predicted for row in rows) == round(names["share"] * n_test)

"""Accuracy of the classifier of docs/guides/classifier.md on real images, by the page's own snippets.

    python benches/python/classifier.py [FOLDER [MODEL [NORMALIZATION]]]

FOLDER has Training/LABEL/ and Test/LABEL/ (default: fruits of the test data, SPARKCIDER_TEST_DATA).
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from jobs.data import DATA
from pyspark.sql import SparkSession

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "classifier.md"


def main(folder: str = str(DATA / "fruits"), model: str = "fruits-tiny", *normalization: str) -> None:
    """Prints what the search found and the share of test images that get their label."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master("local[2]").config("spark.driver.memory", "4g").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    names: dict[str, Any] = {"spark": spark}
    said = ", normalization=".join(map(repr, [model, *normalization]))
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        for block in re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
            code = block.replace('"images/', f'"{folder}/').replace('"fruits-tiny"', said)
            code = re.sub(r'\("(features|classifier)"\)', rf'("{scratch}/\1")', code)
            exec(code, names)  # noqa: S102 - the page's own code
        k, share = names["best"].stages[0].getK(), names["share"]
        n_training, n_test = names["features"].count(), names["predicted"].count()
    labels = len(names["indexer"].labels)
    print(f"{model}: {n_training} training images of {labels} labels, k = {k}: {share:.1%} of {n_test} test images")
    print(f"{time.perf_counter() - begin:.0f} s in all")


if __name__ == "__main__":
    main(*sys.argv[1:])

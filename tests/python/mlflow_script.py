"""One side of the guide to MLflow: `mlflow_script.py log|load FOLDER`, the answer is `FOLDER/SIDE.json`.

`log` runs the sections Fit and Log, `load` is another process that runs the section Load.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import mlflow
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from spark_script import session

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "mlflow.md").read_text(encoding="utf-8")


def snippets(section: str, folder: Path) -> str:
    """The code of a section."""
    text = re.findall(rf"^## {section}\n(.*?)(?:^## |\Z)", GUIDE, re.MULTILINE | re.DOTALL)[0]
    code = "".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    return code.replace('"images"', f'"{folder}/images"')


def main(side: str, folder: Path) -> None:
    """Runs one side."""
    spark = session("local[2]")
    names: dict[str, Any] = {"spark": spark, "mlflow": mlflow}
    if side == "log":
        exec(snippets("Fit", folder) + snippets("Log", folder), names)  # noqa: S102 - the page's own code
        predicted = names["model"].transform(names["images"]).select("path", "prediction", "reduced")
        answer = {"uri": names["logged"].model_uri}
    else:
        files = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load(str(folder / "images"))
        names["images"] = files.orderBy(F.length("content"))
        names["logged"] = type("Logged", (), {"model_uri": json.loads((folder / "log.json").read_text())["uri"]})
        exec(snippets("Load", folder), names)  # noqa: S102 - the page's own code
        predicted = names["predicted"]
        answer = {"labels": list(names["labels"])}
    rows = {
        row.path.split("/images/")[1]: [row.prediction, row.reduced.toArray().tolist()] for row in predicted.collect()
    }
    (folder / f"{side}.json").write_text(json.dumps({**answer, "rows": rows}))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))

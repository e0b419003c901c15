"""Saves the stages of `tests/data/stages` that this version makes: `python tests/data/make_stages.py` (needs Java).

`stages/with-model` is a pipeline of every stage, fitted on the images of `tests/python/spark_images.py`, and what it
gives for them. Later versions must load it: make a new folder for a new format, and leave the old ones as they are.
`stages/paths-only` was saved before stages held their model (format 1).
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

HERE = Path(__file__).parent
STAGES = HERE / "stages"
UID = "0123456789ab"


def main() -> None:
    """Writes the pipeline and its results."""
    sys.path.insert(0, str(HERE.parent / "python"))
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.ml import Pipeline
    from pyspark.sql import SparkSession
    from spark_images import TINY_MODEL, encoded_images

    from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler

    spark = SparkSession.builder.master("local[1]").config("spark.log.level", "ERROR").getOrCreate()
    images = spark.createDataFrame(encoded_images(), "id int, content binary")
    featurizer = ImageFeaturizer(
        inputCol="content", outputCol="features", model=os.path.relpath(TINY_MODEL), handleInvalid="skip"
    )
    scaler = StandardScaler(inputCol="features", outputCol="scaled", withMean=True)
    pca = PCA(k=2, inputCol="scaled", outputCol="pca")
    model = Pipeline(stages=[featurizer, scaler, pca]).fit(images)
    for stage in (model, *model.stages):
        stage._resetUid(f"{type(stage).__name__}_{UID}")
    folder = STAGES / "with-model"
    shutil.rmtree(folder, ignore_errors=True)
    model.save(str(folder))
    rows = model.transform(images).select("id", "pca").orderBy("id").collect()
    tidy(folder)
    (folder / "expected.json").write_text(json.dumps([[round(value, 6) for value in row.pca] for row in rows]) + "\n")
    spark.stop()


def tidy(folder: Path) -> None:
    """Short names for the parts, and none of the files that Spark can do without."""
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.name.startswith((".", "_")):
            path.unlink()
        elif path.name.startswith("part-"):
            number = path.name.split("-")[1]
            path.rename(path.with_name(f"part-{number}.{path.name.rpartition('.')[2]}"))


if __name__ == "__main__":
    main()

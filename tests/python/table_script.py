"""A job that writes tables of a catalog, and the guide's snippet that adds to them.

`table_script.py FORMAT FOLDER [JAR ...]`

FOLDER/images, new-images   what is read
FOLDER/warehouse            the tables
FOLDER/told.json            what they held
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from sparkcider import cli

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "tables.md").read_text(encoding="utf-8")

DELTA = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    "spark.databricks.delta.snapshotPartitions": "2",
}


def session(form: str, folder: Path, jars: list[str]) -> SparkSession:
    """Spark with tables of that format."""
    settings = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.sql.shuffle.partitions": "2",
        "spark.sql.sources.default": form,
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.executorEnv.PYTHONPATH": os.environ["PYTHONPATH"],
        **({"spark.jars": ",".join(jars), **DELTA} if form == "delta" else {}),
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def command(table: str, *more: str) -> int:
    """The guide's command; its exit code."""
    (text,) = re.findall(r"^```sh\n(.*)\n```$", GUIDE, re.MULTILINE)
    return cli.main([*text.replace("lake.fruits", table).split()[1:], *more])


def short(path: str) -> str:
    """LABEL/NAME of an image."""
    return "/".join(path.split("/")[-2:])


def held(spark: SparkSession, table: str) -> dict[str, Any]:
    """What the two tables hold."""
    features = spark.table(table).collect()
    return {
        "columns": spark.table(table).columns,
        "features": {short(row.path): row.features for row in features},
        "kinds": sorted(row.error_kind for row in features if row.error_kind is not None),
        "rows": len(features),
        "pca": {short(row.path): row.pca for row in spark.table(f"{table}_pca").collect()},
    }


def main(form: str, folder: Path, jars: list[str]) -> None:
    """Runs the job, refuses to run it again, adds new images twice, and replaces the tables."""
    os.chdir(folder)
    spark = session(form, folder, jars)
    spark.sql("CREATE SCHEMA lake")
    table = "spark_catalog.lake.fruits" if form == "delta" else "lake.fruits"
    told: dict[str, Any] = {"code": command(table), "written": held(spark, table)}
    told["code_again"] = command(table, "--output", "out-again")
    told["is_there_again"] = Path("out-again").exists()
    told["code_of_no_schema"] = command("pond.fruits", "--output", "out-again")
    (snippet,) = re.findall(r"^```python\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
    snippet = snippet.replace("lake.fruits", table).replace('"new-', f'"{folder}/new-')
    for name in ("appended", "appended_again"):
        exec(snippet.replace('"out/', f'"{folder}/out/'), {"spark": spark})  # noqa: S102 - the page's own code
        told[name] = held(spark, table)
    told["code_of_overwrite"] = command(table, "--mode", "overwrite", "--no-center")
    told["replaced"] = held(spark, table)
    Path("told.json").write_text(json.dumps(told))
    spark.stop()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])

"""Tables of a result as CSV, written by Spark as `tables.write_text` writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from sparkcider.job.tables import FORMULA, csv_header

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def write_csv(rows: DataFrame, array: str, path: str) -> None:
    """CSV as `tables.write_text` has it."""
    first = rows.where(F.col(array).isNotNull()).select(F.size(array)).first()
    header = csv_header(array, 0 if first is None else first[0])
    texts = [name for name in rows.columns if name != array]
    cells = [
        F.when(F.col(name).rlike(f"^{FORMULA}"), F.concat(F.lit("'"), name)).otherwise(F.col(name)) for name in texts
    ]
    values = [F.col(array)[at].alias(name) for at, name in enumerate(header[len(texts) :])]
    text = rows.select(*(cell.alias(name) for cell, name in zip(cells, texts)), *values)
    options: dict[str, Any] = {"header": True, "escape": '"'}
    # by default Spark trims labels and paths that begin or end with a space
    options.update(ignoreLeadingWhiteSpace=False, ignoreTrailingWhiteSpace=False)
    text.write.options(**options).csv(path)

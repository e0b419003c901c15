"""Rows of Spark on the driver, as Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def collected(rows: DataFrame, schema: pa.Schema) -> pa.Table:
    """The rows on the driver, as the schema names and types them.

    Args:
        rows: The rows; a classic DataFrame before Spark 4.0.
        schema: Name and type of each column, in their order.
    """
    if hasattr(rows, "toArrow"):  # Spark >= 4.0
        table = rows.toArrow()
    else:  # what `toPandas` asks where Spark's configuration lets it use Arrow, which is not ours to change
        classic: Any = rows
        batches = classic._collect_as_arrow()  # noqa: SLF001 - there is no public way
        table = pa.Table.from_batches(batches) if batches else schema.empty_table()
    return pa.table([column.cast(kind) for column, kind in zip(table.columns, schema.types)], schema=schema)

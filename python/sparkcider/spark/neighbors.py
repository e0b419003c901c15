"""The nearest images, on Spark: pairs of blocks are tasks, queries travel with the function."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Window
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType

from sparkcider import _native, findings
from sparkcider.arguments import found as found_type
from sparkcider.findings.near import check_k, query_vectors
from sparkcider.findings.vectors import normalized
from sparkcider.spark.columns import find_features
from sparkcider.spark.worker_python import PANDAS, check_worker_python

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from pyspark.sql import Column, DataFrame

BLOCK_ROWS = 4096
"""Rows of a block: two of them, with 1,280 features, are 42 MB in a task."""

_PAIRS = "path string, neighbor string, neighbor_label string, similarity float"
_NEAREST = "query int, path string, label string, similarity float"


def neighbors(rows: DataFrame, k: int = 10) -> DataFrame:
    """The k nearest other images of each image, by the cosine of their features; exact.

    Pairs of blocks of 4,096 rows are tasks. Each row goes to every pair of its block, so the shuffle moves the features
    N / 4,096 times, and the work grows with the square of N. Rows are counted when this is called.

    Args:
        rows: With the columns path, features (`array<float>` or `array<double>`) and, if there is one, label. Rows
            without features are left out.
        k: Neighbours of each image, at least 1.

    Returns:
        path, rank (from 1, the nearest first), neighbor (its path), neighbor_label and similarity (the cosine). Ties go
        to the lesser path.

    Raises:
        ValueError: k is below 1, or a column is missing.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.getOrCreate()
        >>> rows = [("a", [1.0, 0.0]), ("b", [1.0, 1.0]), ("c", [0.0, 2.0])]
        >>> rows = spark.createDataFrame(rows, ["path", "features"])
        >>> [row.neighbor for row in neighbors(rows, k=1).orderBy("path").collect()]
        ['b', 'a', 'b']
    """
    check_k(k)
    good = _with_features(rows)
    check_worker_python(rows.sparkSession, PANDAS)
    blocks = max(1, -(-good.count() // BLOCK_ROWS))
    block = F.pmod(F.crc32("path"), F.lit(blocks)).cast("int")
    others = F.sequence(F.lit(0), F.lit(blocks - 1))
    good = good.withColumn("block", block).withColumn("other", F.explode(others))
    pairs = good.select("*", F.least("block", "other").alias("first"), F.greatest("block", "other").alias("second"))

    def near(pair: pd.DataFrame) -> pd.DataFrame:
        return near_in_pair(pair, k)

    found = pairs.groupBy("first", "second").applyInPandas(near, _PAIRS)
    ranked = _ranked(found, ["path"], "neighbor", k)
    return ranked.select("path", "rank", "neighbor", "neighbor_label", "similarity")


def near_in_pair(pair: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k nearest of each row of two blocks: within a block, or in the other one."""
    pair = pair.sort_values("path", ignore_index=True)  # ties go to the lesser path
    vectors = normalized(np.stack(pair["features"].to_list()).astype(np.float32))
    second = np.array(pair["block"] == pair["second"])
    if second.all():
        found, similarities = _native._neighbors(vectors, k, 1)  # noqa: SLF001 - one task is one core
        return _pairs(pair, np.arange(len(pair)), found, similarities)
    import pandas as pd

    ours, theirs = np.flatnonzero(~second), np.flatnonzero(second)
    parts = []
    for these, those in ((ours, theirs), (theirs, ours)):
        found, similarities = _native._nearest(vectors[those], vectors[these], k, 1)  # noqa: SLF001
        parts.append(_pairs(pair, these, those[found], similarities))
    return pd.concat(parts)


def nearest(rows: DataFrame, queries: Any, k: int = 10) -> DataFrame:
    """The k images that are nearest to each query, by the cosine of their features; exact.

    Args:
        rows: As for `neighbors`.
        queries: M rows of D features: of `FeatureExtractor.extract` of the same model, or an array (M, D). Few, as they
            travel with the function.
        k: Images for each query, at least 1.

    Returns:
        query (its number, from 0), rank (from 1, the nearest first), path, label and similarity (the cosine). Ties go
        to the lesser path.

    Raises:
        ValueError: k is below 1, a column is missing, or a query has no features.
        TypeError: Queries are not rows of features.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.getOrCreate()
        >>> rows = [("a", [1.0, 0.0]), ("b", [1.0, 1.0]), ("c", [0.0, 2.0])]
        >>> rows = spark.createDataFrame(rows, ["path", "features"])
        >>> [row.path for row in nearest(rows, [[0.0, 1.0]], k=2).orderBy("rank").collect()]
        ['c', 'b']
    """
    check_k(k)
    wanted = query_vectors(queries)
    good = _with_features(rows)
    check_worker_python(rows.sparkSession)

    def near(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return near_in_batches(batches, wanted, k)

    found = good.mapInArrow(near, _NEAREST)
    return _ranked(found, ["query"], "path", k).select("query", "rank", "path", "label", "similarity")


def near_in_batches(
    batches: Iterable[pa.RecordBatch], queries: NDArray[np.float32], k: int
) -> Iterator[pa.RecordBatch]:
    """The k nearest of each batch of path, label and features."""
    for batch in batches:
        found = findings.nearest(pa.Table.from_batches([batch]), queries, k, threads=1)
        yield from found.select(["query", "path", "label", "similarity"]).to_batches()


def _with_features(rows: DataFrame) -> DataFrame:
    """path, label (null where there is none) and features of the rows that have features.

    Raises:
        TypeError: It is something else, or features are.
        ValueError: A column is missing.
    """
    if not hasattr(rows, "mapInArrow"):
        raise TypeError(f"expected a DataFrame of Spark, got {found_type(rows)}: sparkcider.findings takes tables")
    missing = [name for name in ("path", "features") if name not in rows.columns]
    if missing:
        raise ValueError(f"expected the columns path and features, found {', '.join(rows.columns)}")
    kind = find_features(rows.schema, "features", "neighbors").field.dataType
    if not isinstance(kind, ArrayType):
        raise TypeError("column features: expected array<float> or array<double>, got vector: use vector_to_array")
    label = F.col("label") if "label" in rows.columns else F.lit(None)
    return rows.where("features is not null").select("path", label.cast("string").alias("label"), "features")


def _pairs(
    rows: pd.DataFrame, these: NDArray[Any], found: NDArray[Any], similarities: NDArray[np.float32]
) -> pd.DataFrame:
    import pandas as pd

    path, label = rows["path"].to_numpy(object), rows["label"].to_numpy(object)
    at = found.ravel()
    columns = {"path": np.repeat(path[these], found.shape[1]), "neighbor": path[at], "neighbor_label": label[at]}
    # of plain objects: joined strings of pandas 3 are chunked, which Spark does not take
    words = {name: pd.Series(values, dtype=object) for name, values in columns.items()}
    pairs: pd.DataFrame = pd.DataFrame({**words, "similarity": similarities.ravel()})
    return pairs


def _ranked(found: DataFrame, of: list[str], tie: str, k: int) -> DataFrame:
    order: list[Column] = [F.desc("similarity"), F.asc(tie)]
    rank = F.row_number().over(Window.partitionBy(*of).orderBy(*order))
    ranked: DataFrame = found.withColumn("rank", rank).where(F.col("rank") <= k)
    return ranked

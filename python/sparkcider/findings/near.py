"""The nearest images, exact, by the cosine of their features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sparkcider import _native
from sparkcider.arguments import check_whole
from sparkcider.columns import feature_column, refuse_spark
from sparkcider.findings.vectors import unit_vectors, with_features

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA_OF_NEIGHBORS = pa.schema(
    [
        ("path", pa.string()),
        ("rank", pa.int32()),
        ("neighbor", pa.string()),
        ("neighbor_label", pa.string()),
        ("similarity", pa.float32()),
    ]
)
SCHEMA_OF_NEAREST = pa.schema(
    [
        ("query", pa.int32()),
        ("rank", pa.int32()),
        ("path", pa.string()),
        ("label", pa.string()),
        ("similarity", pa.float32()),
    ]
)


def neighbors(rows: Any, k: int = 10, *, threads: int | None = None) -> pa.Table:
    """The k nearest other images of each image. Time grows with the square of their number.

    Args:
        rows: A table of Arrow, pandas or Polars with the columns path, features (D numbers) and, if there is one,
            label, text or numbers. Rows without finite features are left out.
        k: Neighbours of each image, at least 1.
        threads: Threads of this call. Default: one for each core.

    Returns:
        `SCHEMA_OF_NEIGHBORS`: k rows for each image, rank from 1, the nearest first; `similarity` is the cosine. Ties
        go to the earlier row.

    Raises:
        ValueError: k is below 1, a column is missing, or features are of different lengths.
        TypeError: It is not a table, or a column is of another type.

    Example:
        >>> rows = pa.table({"path": ["a", "b", "c"], "features": [[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]})
        >>> neighbors(rows, 1)["neighbor"].to_pylist()
        ['b', 'a', 'b']
    """
    check_k(k)
    good = with_features(rows)
    found, similarities = _native._neighbors(unit_vectors(good["features"]), k, threads_of(threads))  # noqa: SLF001
    columns = [np.repeat(np.arange(len(good)), found.shape[1]), *_ranked(found)]
    path, label = good["path"], label_of(good)
    return pa.Table.from_arrays(
        [
            path.take(pa.array(columns[0])),
            columns[1],
            path.take(columns[2]),
            label.take(columns[2]),
            similarities.ravel(),
        ],
        schema=SCHEMA_OF_NEIGHBORS,
    )


def nearest(rows: Any, queries: Any, k: int = 10, *, threads: int | None = None) -> pa.Table:
    """The k images that are nearest to each query.

    Args:
        rows: As for `neighbors`.
        queries: M rows of D features, as `sparkcider.Pca` takes them: of `FeatureExtractor.extract` of the same
            model, or an array (M, D).
        k: Images for each query, at least 1.
        threads: As for `neighbors`.

    Returns:
        `SCHEMA_OF_NEAREST`: k rows for each query, numbered from 0 in their order, rank from 1, the nearest first.

    Raises:
        ValueError: As for `neighbors`; or a query has no features or another number of them.
        TypeError: As for `neighbors`.

    Example:
        >>> rows = pa.table({"path": ["a", "b", "c"], "features": [[1.0, 0.0], [1.0, 1.0], [0.0, 2.0]]})
        >>> nearest(rows, np.array([[0.0, 1.0]]), k=2)["path"].to_pylist()
        ['c', 'b']
    """
    check_k(k)
    wanted = query_vectors(queries)
    good = with_features(rows)
    vectors = unit_vectors(good["features"])
    if len(good) == 0:
        return SCHEMA_OF_NEAREST.empty_table()
    if vectors.shape[1] != wanted.shape[1]:
        raise ValueError(f"queries must have {vectors.shape[1]} features as the rows have, got {wanted.shape[1]}")
    found, similarities = _native._nearest(vectors, wanted, k, threads_of(threads))  # noqa: SLF001
    rank, at = _ranked(found)
    query = pa.array(np.repeat(np.arange(len(wanted)), found.shape[1]), pa.int32())
    columns = [query, rank, good["path"].take(at), label_of(good).take(at), similarities.ravel()]
    return pa.Table.from_arrays(columns, schema=SCHEMA_OF_NEAREST)


def label_of(rows: pa.Table) -> pa.ChunkedArray[Any]:
    """The labels of rows of `image_table`; nulls where there is no such column."""
    if "label" in rows.column_names:
        return rows["label"]
    return pa.chunked_array([pa.nulls(len(rows), pa.string())])


def threads_of(threads: int | None) -> int:
    """The threads that are given, or one for each core.

    Raises:
        ValueError: There are none.
    """
    if threads is not None:
        check_whole("threads", threads)
    return _native._available_cores() if threads is None else threads  # noqa: SLF001


def check_k(k: int) -> None:
    """TypeError or ValueError if k is not a number of neighbours."""
    check_whole("k", k)


def query_vectors(queries: Any) -> NDArray[np.float32]:
    """(M, D) of norm 1.

    Raises:
        ValueError: A query has no features, or one of them is not finite.
        TypeError: Queries are not rows of features.
    """
    refuse_spark(queries, "queries", "pass [row.features for row in df.collect()] of the few rows that are meant")
    column = _native._feature_column(feature_column(queries))  # noqa: SLF001 - a column of any library
    if column.null_count:
        raise ValueError(f"queries must have features; {column.null_count} of {len(column)} have none")
    vectors = unit_vectors(column)
    if not np.isfinite(vectors).all():
        raise ValueError("queries must be finite; one of them has a NaN or an infinity")
    return vectors


def _ranked(found: NDArray[np.uint32]) -> tuple[pa.Array[Any], pa.Array[Any]]:
    """Rank and row of each neighbour, one after the other."""
    n, k = found.shape
    return pa.array(np.tile(np.arange(1, k + 1), n), pa.int32()), pa.array(found.ravel())

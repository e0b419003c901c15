"""Tables of images as people have them, and their features as vectors of norm 1, whose inner product is the cosine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.columns import feature_column, fixed_lists, matrix, plain

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLUMNS = {
    "path": pa.string(),
    "label": pa.string(),
    "features": None,
    "digest": pa.binary(),
    "fingerprint": pa.binary(),
    "thumbnail": pa.binary(),
}
"""The columns of a table of images, each with the type that it is made; the first and the third must be there."""


def image_table(rows: Any) -> pa.Table:
    """`COLUMNS` of a table, those that it has, in few types: labels that are numbers become text.

    Args:
        rows: A table or record batch of Arrow, what has Arrow's capsules, or a data frame of pandas or Polars.

    Raises:
        ValueError: There is no column `path` or `features`.
        TypeError: It is something else, or a column is of another type.

    Example:
        >>> rows = image_table(pa.table({"path": ["a"], "label": [0], "features": [[1.0, 2.0]]}))
        >>> rows["label"].to_pylist(), rows["features"].to_pylist()
        (['0'], [[1.0, 2.0]])
    """
    table = _arrow_table(rows)
    missing = [name for name in ("path", "features") if name not in table.column_names]
    if missing:
        raise ValueError(f"expected the columns path and features, found {', '.join(table.column_names) or 'none'}")
    names = [name for name in COLUMNS if name in table.column_names]
    return pa.table({name: _converted(plain(table[name]), name) for name in names})


def _arrow_table(rows: Any) -> pa.Table:
    """The columns of `COLUMNS` as Arrow."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if polars is not None and isinstance(rows, polars.DataFrame):
        return rows.select([name for name in rows.columns if name in COLUMNS]).to_arrow()
    if pandas is not None and isinstance(rows, pandas.DataFrame):
        return pa.table({name: _of_series(rows[name]) for name in rows.columns if name in COLUMNS})
    if isinstance(rows, pa.RecordBatch):
        return pa.Table.from_batches([rows])
    if isinstance(rows, pa.Table):
        return rows
    if hasattr(rows, "__arrow_c_stream__"):
        return pa.table(rows)
    raise TypeError(f"expected a table of Arrow, pandas or Polars, got {type(rows).__name__}")


def _of_series(series: Any) -> Any:
    """A column of pandas as an array, chunked or not."""
    if series.name != "features":
        return pa.Array.from_pandas(series)
    column = feature_column(series)
    return column if isinstance(column, pa.Array) else pa.table(column).column(0)


def _converted(column: pa.ChunkedArray[Any], name: str) -> pa.ChunkedArray[Any]:
    try:
        if name != "features":
            return column.cast(COLUMNS[name])
        if _is_numbers(column.type):
            return column
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass
    wanted = {"path": "text", "label": "text or numbers", "features": "lists of numbers"}.get(name, "binary")
    raise TypeError(f"{name} must be {wanted}, got {column.type}")


def _is_numbers(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        return False
    return bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def with_features(rows: Any) -> pa.Table:
    """The rows of `image_table` that have finite features, each as long as the first; a path that is null is empty.

    Raises:
        ValueError: There is no column `path` or `features`, or rows have features of different lengths.
        TypeError: A column is of another type.
    """
    good = image_table(rows)
    good = good.filter(pc.is_valid(good["features"])).combine_chunks()
    lengths = pc.unique(pc.list_value_length(good["features"])).to_pylist()
    if len(lengths) > 1:
        raise ValueError(f"features must be of one length, found {', '.join(map(str, sorted(lengths)))}")
    good = good.set_column(0, "path", pc.fill_null(good["path"], ""))
    features = matrix(good["features"])
    good = good.set_column(good.column_names.index("features"), "features", fixed_lists(features))
    finite = np.isfinite(features).all(axis=1)
    return good if finite.all() else good.filter(pa.array(finite)).combine_chunks()


def unit_vectors(features: pa.ChunkedArray[Any] | pa.Array[Any]) -> NDArray[np.float32]:
    """(N, D) float32, each finite row divided by its Euclidean norm. A row of zeros stays one: it is near nothing."""
    if len(features) == 0:
        return np.empty((0, 1), np.float32)
    return normalized(np.array(matrix(features), np.float32))


def normalized(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """The same, of an array (N, D) that may be overwritten."""
    norms = np.sqrt(np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64))
    vectors /= np.where(norms > 0, norms, 1.0).astype(np.float32)[:, None]
    return np.ascontiguousarray(vectors)

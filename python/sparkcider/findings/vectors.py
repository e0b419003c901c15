"""Features as vectors of norm 1, whose inner product is the cosine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.columns import matrix

if TYPE_CHECKING:
    from numpy.typing import NDArray


def with_features(rows: pa.Table) -> pa.Table:
    """The rows that have finite features, each as long as the first; a path that is null is empty.

    Raises:
        ValueError: There is no column `path` or `features`, or rows have features of different lengths.
        TypeError: Features are not lists of floats.
    """
    missing = [name for name in ("path", "features") if name not in rows.column_names]
    if missing:
        raise ValueError(f"expected the columns path and features, found {', '.join(rows.column_names) or 'none'}")
    kind = rows["features"].type
    if not _is_list(kind) or not pa.types.is_floating(kind.value_type):
        raise TypeError(f"features must be lists of float32 or float64, got {kind}")
    good = rows.filter(pc.is_valid(rows["features"])).combine_chunks()
    lengths = pc.unique(pc.list_value_length(good["features"])).to_pylist()
    if len(lengths) > 1:
        raise ValueError(f"features must be of one length, found {', '.join(map(str, sorted(lengths)))}")
    path = pc.fill_null(good["path"].cast(pa.string()), "")
    good = good.set_column(good.column_names.index("path"), "path", path)
    finite = np.isfinite(matrix(good["features"])).all(axis=1) if len(good) else np.empty(0, bool)
    return good if finite.all() else good.filter(pa.array(finite)).combine_chunks()


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


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

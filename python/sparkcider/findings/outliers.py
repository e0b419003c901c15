"""Outliers: images far from the principal components, or from all others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("reconstruction_error", pa.float64()),
        ("reconstruction_error_quantile", pa.float64()),
        ("neighbor_distance", pa.float64()),
        ("neighbor_distance_quantile", pa.float64()),
    ]
)


def table(
    path: pa.ChunkedArray[Any],
    label: pa.ChunkedArray[Any],
    errors: NDArray[np.float64] | None,
    similarities: NDArray[np.float32],
) -> pa.Table:
    """`SCHEMA` of N rows, the most outlying first: by the greater of their quantiles, then by path.

    Args:
        path: N paths.
        label: N labels.
        errors: N: distance between the features and their part in the principal components; None without a PCA.
        similarities: (N, k) cosines of the nearest neighbours; k = 0 for a single image.
    """
    n = len(path)
    distances = 1 - similarities.mean(axis=1, dtype=np.float64) if similarities.shape[1] else None
    columns = [path, label]
    greatest = np.zeros(n)
    for values in (errors, distances):
        if values is None:
            columns += [pa.nulls(n, pa.float64())] * 2
            continue
        quantiles = np.searchsorted(np.sort(values), values, side="right") / n
        greatest = np.maximum(greatest, quantiles)
        columns += [pa.array(values), pa.array(quantiles)]
    order = np.lexsort((np.array(path.to_pylist(), str), -greatest)) if n else np.array([], np.int64)
    return pa.Table.from_arrays(columns, schema=SCHEMA).take(pa.array(order))

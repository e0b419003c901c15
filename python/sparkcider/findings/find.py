"""All findings of a table of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from sparkcider import _native
from sparkcider.findings import duplicates, labels, outliers
from sparkcider.findings.near import check_k, label_of, threads_of
from sparkcider.findings.vectors import unit_vectors, with_features

if TYPE_CHECKING:
    import pyarrow as pa


class Reconstructs(Protocol):
    """A fitted PCA: `sparkcider.Pca`, or what Spark and jobs have of one."""

    def reconstruction_error(self, rows: Any, /) -> Any:
        """One distance for each row of features."""


class Findings(NamedTuple):
    """What was found among N images.

    Attributes:
        duplicates: path, group, kind, score, representative, digest: see `duplicates.SCHEMA`.
        outliers: path, label, reconstruction_error, neighbor_distance and the quantile of each.
        labels: path, label, vote, confidence, support, suspect, neighbors.
        facts: Counts of all this, in JSON's types.
    """

    duplicates: pa.Table
    outliers: pa.Table
    labels: pa.Table
    facts: dict[str, Any]


def find(
    rows: Any,
    *,
    pca: Reconstructs | None = None,
    k: int = 10,
    similarity: float = 0.95,
    threads: int | None = None,
) -> Findings:
    """Looks for duplicates, outliers and suspect labels. Time grows with the square of the number of images.

    Args:
        rows: A table of Arrow, pandas or Polars with the columns path and features (D numbers), and, if it has them,
            label, text or numbers, and digest and fingerprint, as a job writes them. Rows without finite features are
            left out.
        pca: A fitted `sparkcider.Pca` of these features, for `reconstruction_error`.
        k: Neighbours that are looked at, at least 1.
        similarity: Least cosine of images that are called similar, in (0, 1].
        threads: Threads of this call. Default: one for each core.

    Returns:
        The findings; docs/findings.md defines every column.

    Raises:
        ValueError: An option is out of its range, a column is missing, or features are of different lengths.
        TypeError: It is not a table, or a column is of another type.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.table({"path": ["a", "b", "c"], "features": [[1.0, 0.0], [1.0, 0.1], [0.0, 2.0]]})
        >>> find(rows).duplicates.select(["path", "kind"]).to_pydict()
        {'path': ['a', 'b'], 'kind': ['similar', 'similar']}
    """
    check_k(k)
    if not 0.0 < similarity <= 1.0:
        raise ValueError(f"similarity must be in (0, 1], got {similarity}")
    n_threads = threads_of(threads)
    good = with_features(rows)
    vectors = unit_vectors(good["features"])
    found, similarities = _native._neighbors(vectors, k, n_threads)  # noqa: SLF001
    nearest = similarities[:, 0] if found.shape[1] else np.full(len(good), -1.0, np.float32)
    groups = duplicates.groups(good, vectors, nearest, similarity, n_threads)
    path, label = good["path"], label_of(good)
    errors = None if pca is None else np.asarray(pca.reconstruction_error(good["features"]), np.float64)
    by_label = labels.table(path.to_pylist(), label.to_pylist(), _copies(groups, len(good)), found, similarities)
    copies = duplicates.table(good, groups)
    facts = {
        "rows": len(good),
        "k": int(found.shape[1]),
        "similarity": similarity,
        "duplicates": _counts(copies),
        **labels.facts(by_label),
    }
    return Findings(copies, outliers.table(path, label, errors, similarities), by_label, facts)


def _copies(groups: list[duplicates.Groups], n: int) -> np.ndarray:
    """N: the number of the row that each row is a copy of, by bytes or by fingerprint."""
    of = np.arange(n)
    for group in groups:
        if group.kind != duplicates.SIMILAR:
            of = group.of[of]
    return of


def _counts(copies: pa.Table) -> dict[str, dict[str, int]]:
    kinds, groups = copies["kind"].to_pylist(), copies["group"].to_pylist()
    return {
        kind: {
            "groups": len({group for ours, group in zip(kinds, groups) if ours == kind}),
            "images": kinds.count(kind),
        }
        for kind in duplicates.KINDS
    }

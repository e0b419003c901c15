"""Suspect labels: images whose neighbours have another label."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

SURE = 0.6
"""Least share of the votes with which neighbours contradict a label: docs/findings.md says what is found by that."""

LISTED = 50
"""Pairs of labels that the facts list."""

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("label", pa.string()),
        ("vote", pa.string()),
        ("confidence", pa.float64()),
        ("support", pa.float64()),
        ("suspect", pa.bool_()),
        ("neighbors", pa.list_(pa.string())),
    ]
)


def table(
    path: list[str],
    label: list[str | None],
    copy_of: NDArray[np.int64],
    found: NDArray[np.uint32],
    similarities: NDArray[np.float32],
) -> pa.Table:
    """`SCHEMA` of the rows that have a label; suspects first, the surest first, then by path.

    An image has no vote on itself, nor have its copies: they may have its wrong label.

    Args:
        path: N paths.
        label: N labels; those without have no vote.
        copy_of: N: rows of the same number have the same bytes or are copies.
        found: (N, k) rows of the nearest neighbours.
        similarities: (N, k) their cosines: the weights of their votes.
    """
    names = sorted({name for name in label if name is not None})
    number = {name: at for at, name in enumerate(names)}
    codes = np.array([-1 if name is None else number[name] for name in label], np.int64)
    votes = (copy_of[found] != copy_of[:, None]) & (codes[found] >= 0)
    weights = np.where(votes, np.maximum(similarities.astype(np.float64), 0.0), 0.0)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for row in np.flatnonzero(codes >= 0).tolist():
        counts = np.bincount(codes[found[row]] + 1, weights[row], len(names) + 1)[1:]
        total = counts.sum()
        winner = int(counts.argmax())  # of equal ones the first by name
        shares = counts / total if total > 0 else counts
        columns["path"].append(path[row])
        columns["label"].append(label[row])
        columns["vote"].append(names[winner] if total > 0 else None)
        columns["confidence"].append(float(shares[winner]))
        columns["support"].append(float(shares[codes[row]]))
        columns["suspect"].append(bool(winner != codes[row] and shares[winner] >= SURE))
        columns["neighbors"].append([path[at] for at in found[row]])
    order = sorted(
        range(len(columns["path"])),
        key=lambda at: (not columns["suspect"][at], -columns["confidence"][at], columns["path"][at]),
    )
    return pa.table(columns, schema=SCHEMA).take(pa.array(order, pa.int64()))


def facts(labels: pa.Table) -> dict[str, Any]:
    """Counts of a table of `SCHEMA`: suspects, accuracy of the vote, and which labels are mixed up."""
    given, vote = labels["label"].to_pylist(), labels["vote"].to_pylist()
    judged = [(ours, theirs) for ours, theirs in zip(given, vote) if theirs is not None]
    right = Counter(ours for ours, theirs in judged if ours == theirs)
    images = Counter(ours for ours, _ in judged)
    mixed = Counter(pair for pair in judged if pair[0] != pair[1])
    return {
        "suspects": sum(labels["suspect"].to_pylist()),
        "knn_accuracy": sum(right.values()) / len(judged) if judged else None,
        "accuracy_by_label": [
            {"label": name, "images": images[name], "accuracy": right[name] / images[name]} for name in sorted(images)
        ],
        "confusions": [
            {"label": ours, "vote": theirs, "count": count}
            for (ours, theirs), count in sorted(mixed.items(), key=lambda item: (-item[1], item[0]))[:LISTED]
        ],
    }

"""Duplicates: the same bytes, copies of an image, similar images. All of a group are near its representative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from sparkcider import _native

if TYPE_CHECKING:
    from numpy.typing import NDArray

BYTES, COPY, SIMILAR = "bytes", "copy", "similar"
KINDS = (BYTES, COPY, SIMILAR)
"""From the surest to the least sure: each kind is looked for among the representatives of the kinds before."""

COPY_BITS = 8
"""Bits of 256 in which the fingerprints of copies may differ: docs/findings.md says what is found by that."""

SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("group", pa.int64()),
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("representative", pa.bool_()),
        ("digest", pa.binary()),
    ]
)
"""`digest` is that of the row, null where there is none: a path alone does not tell the rows of a table apart."""

_BLOCK = 1024


class Groups(NamedTuple):
    """Rows by the representative of their group.

    Attributes:
        kind: One of `KINDS`.
        of: N rows: the representative of each row; its own number where it is one itself, or in no group.
        scores: N: how near each row is to its representative.
    """

    kind: str
    of: NDArray[np.int64]
    scores: NDArray[np.float64]


def groups(
    rows: pa.Table, vectors: NDArray[np.float32], nearest: NDArray[np.float32], similarity: float, threads: int
) -> list[Groups]:
    """The groups of each kind.

    Args:
        rows: N rows; with `digest` and `fingerprint` the first two kinds are found, too.
        vectors: (N, D), of norm 1.
        nearest: (N): the similarity of each row's nearest neighbour.
        similarity: Least cosine of similar images.
        threads: Threads.
    """
    left = np.arange(len(rows))  # a group's members take no part in the kinds that follow
    found = []
    if "digest" in rows.column_names:
        found.append(_same_bytes(rows["digest"]))
        left = left[found[-1].of == left]
    if "fingerprint" in rows.column_names:
        found.append(_copies(rows["fingerprint"], left))
        left = left[found[-1].of[left] == left]
    found.append(_similar(vectors, left[nearest[left] >= similarity], similarity, threads))
    return found


def table(rows: pa.Table, found: list[Groups]) -> pa.Table:
    """`SCHEMA`: groups in the order of `KINDS`, the largest first, then by path; each from its representative on."""
    paths = np.array(rows["path"].to_pylist(), object)
    digests = np.full(len(rows), None)
    if "digest" in rows.column_names:
        digests[:] = rows["digest"].to_pylist()
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    number = 0
    for kind, of, scores in found:
        members = np.flatnonzero(np.bincount(of, minlength=len(of))[of] > 1)
        by_group: dict[int, list[int]] = {}
        for row in members.tolist():
            by_group.setdefault(int(of[row]), []).append(row)
        for leader, group in sorted(by_group.items(), key=lambda item: (-len(item[1]), paths[item[0]])):
            group.sort(key=lambda row: (row != leader, -scores[row], paths[row]))
            columns["path"] += paths[group].tolist()
            columns["group"] += [number] * len(group)
            columns["kind"] += [kind] * len(group)
            columns["score"] += scores[group].tolist()
            columns["representative"] += [row == leader for row in group]
            columns["digest"] += digests[group].tolist()
            number += 1
    return pa.table(columns, schema=SCHEMA)


def _same_bytes(digests: pa.ChunkedArray[Any]) -> Groups:
    first: dict[bytes, int] = {}
    of = [row if digest is None else first.setdefault(digest, row) for row, digest in enumerate(digests.to_pylist())]
    return Groups(BYTES, np.array(of, np.int64), np.ones(len(of)))


def _copies(fingerprints: pa.ChunkedArray[Any], left: NDArray[np.int64]) -> Groups:
    """Copies among some rows, by their fingerprints."""
    of, scores = np.arange(len(fingerprints)), np.ones(len(fingerprints))
    known = [bits if bits is None else np.frombuffer(bits, np.uint8) for bits in fingerprints.to_pylist()]
    seen = np.array([row for row in left.tolist() if known[row] is not None and known[row].any()], np.int64)
    if len(seen):
        bits = np.stack([known[row] for row in seen])
        original = _native._originals(bits, COPY_BITS).astype(np.int64)  # noqa: SLF001
        of[seen] = seen[original]
        differing = np.minimum(_differing(bits, bits[original]), _differing(bits ^ _MIRRORED, bits[original]))
        scores[seen] = 1 - differing / 256
    return Groups(COPY, of, scores)


_MIRRORED = np.uint8(0b1010_1010)
"""The bits of odd horizontal frequencies, whose signs a mirror turns."""


def _differing(ours: NDArray[np.uint8], theirs: NDArray[np.uint8]) -> NDArray[np.int64]:
    different: NDArray[np.int64] = np.unpackbits(ours ^ theirs, axis=1).sum(axis=1)
    return different


def _similar(vectors: NDArray[np.float32], left: NDArray[np.int64], least: float, threads: int) -> Groups:
    """Similar images among some rows: each belongs to the nearest earlier representative, if it is near enough."""
    of, scores = np.arange(len(vectors)), np.ones(len(vectors))
    leaders: list[int] = []
    chosen = np.empty((len(left), vectors.shape[1]), np.float32)
    for start in range(0, len(left), _BLOCK):
        block = left[start : start + _BLOCK]
        if leaders:
            found, cosine = _native._nearest(chosen[: len(leaders)], vectors[block], 1, threads)  # noqa: SLF001
            near = cosine[:, 0] >= least
            of[block[near]] = np.array(leaders)[found[near, 0]]
            scores[block[near]] = cosine[near, 0]
            block = block[~near]
        own = vectors[block] @ vectors[block].T
        free = np.ones(len(block), bool)
        for at, row in enumerate(block.tolist()):
            if not free[at]:
                continue
            joins = free & (own[at] >= least)
            joins[: at + 1] = False
            of[block[joins]], scores[block[joins]] = row, own[at, joins]
            free &= ~joins
            chosen[len(leaders)] = vectors[row]
            leaders.append(row)
    return Groups(SIMILAR, of, np.minimum(scores, 1.0))

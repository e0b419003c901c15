"""Exact nearest neighbours of all images: beside NumPy's product of the same blocks, and how the time grows.

    python benches/python/neighbors.py

NumPy computes half of the product in blocks, as ours does, and keeps nothing of it. Ours also keeps the ten nearest.
"""
# ruff: noqa: SLF001 - the native functions alone are measured

import time
from collections.abc import Callable

import numpy as np

from sparkcider import _native

N, D, K = 23_619, 1_280, 10
BLOCK = 2_048
TURNS = 3


def main() -> None:
    """Prints the times of both in turns, and ours at half the size."""
    vectors = np.random.default_rng(0).standard_normal((N, D), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cores = _native._available_cores()
    ratios = []
    for turn in range(TURNS):
        numpy_seconds = seconds(lambda: half_product(vectors))
        ours = seconds(lambda: _native._neighbors(vectors, K, cores))
        ratios.append(numpy_seconds / ours)
        print(
            f"turn {turn}: NumPy's half product {numpy_seconds:.2f} s, neighbours {ours:.2f} s, ratio {ratios[-1]:.2f}"
        )
    print(f"{N:,} x {D:,} on {cores} cores: {np.median(ratios):.2f} of NumPy's rate (median of {TURNS})")
    half = vectors[: N // 2]
    small = seconds(lambda: _native._neighbors(half, K, cores))
    whole = seconds(lambda: _native._neighbors(vectors, K, cores))
    print(
        f"{len(half):,} rows {small:.2f} s, {N:,} rows {whole:.2f} s: {whole / small:.2f} x the time for 2 x the rows"
    )
    for rows in (1e6, 1e7):
        print(f"{rows:,.0f} rows at this rate: {whole * (rows / N) ** 2 * cores / 3600:,.0f} core hours")


def half_product(vectors: np.ndarray) -> None:
    """The upper triangle of blocks of the product."""
    for first in range(0, len(vectors), BLOCK):
        for second in range(first, len(vectors), BLOCK):
            np.matmul(vectors[first : first + BLOCK], vectors[second : second + BLOCK].T)


def seconds(work: Callable[[], object]) -> float:
    """The time of one call."""
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()

"""Golden numbers of `tests/pca.rs`, from scikit-learn: writes `pca.txt` beside this script.

Made with scikit-learn 1.9.1 and numpy 2.4; the numbers depend on their version in the last digits only. Line by line:
`case NAME N D K STANDARDIZE`, then one line per array: its name and its numbers, row by row.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA

OUT = Path(__file__).parent / "pca.txt"


def standardized(rows: np.ndarray) -> np.ndarray:
    """As Spark's StandardScaler(withMean, withStd): sample deviation (N - 1), a constant column becomes 0."""
    centred = rows - rows.mean(axis=0)
    deviation = rows.std(axis=0, ddof=1)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=np.ptp(rows, axis=0) > 0)


def cases() -> dict[str, tuple[np.ndarray, int, bool]]:
    """Name to (rows, k, standardize)."""
    rng = np.random.default_rng(20)
    plain = (rng.normal(size=(60, 6)) * [9, 5, 3, 2, 1, 0.5]) @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 4
    offset = plain + 1e6
    scales = plain * [1, 10, 100, 1000, 1e4, 1e5]
    scales[:, 2] = 7.1
    wide = rng.normal(size=(9, 30)) * np.linspace(3, 0.2, 30)
    deficient = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 8))
    return {
        "one_component": (plain, 1, False),
        "all_components": (plain, 6, False),
        "large_offset": (offset, 3, False),
        "standardized": (scales, 4, True),
        "fewer_rows_than_features": (wide, 5, False),
        "fewer_rows_standardized": (wide, 5, True),
        "as_many_components_as_rows": (wide, 9, False),
        "rank_deficient": (deficient, 5, False),
    }


def main() -> None:
    """Writes the file."""
    lines = []
    for name, (rows, k, standardize) in cases().items():
        fitted = PCA(k, svd_solver="full").fit(standardized(rows) if standardize else rows)
        lines.append(f"case {name} {rows.shape[0]} {rows.shape[1]} {k} {int(standardize)}")
        arrays = {
            "rows": rows,
            "mean": rows.mean(axis=0),
            "components": fitted.components_,
            "explained_variance": fitted.explained_variance_,
            "explained_variance_ratio": fitted.explained_variance_ratio_,
            "singular_values": fitted.singular_values_,
            "noise_variance": np.array([fitted.noise_variance_]),
            "projected": fitted.transform(standardized(rows) if standardize else rows),
        }
        lines += [f"{key} " + " ".join(repr(float(x)) for x in array.ravel()) for key, array in arrays.items()]
    OUT.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()

"""Draws the README's picture from a result: the images in the plane of two components, and the explained variance.

    python docs/make_picture.py sparkcider-demo/result docs/images/demo.png

Needs matplotlib.
"""

import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq

mpl.use("agg")
from matplotlib import pyplot as plt

MARKERS = "os^vD"
COLORS = 10  # those of the palette tab10; with five markers they tell 50 labels apart


def main(result: Path, picture: Path) -> None:
    """Reads `result` and writes `picture`."""
    projected = pq.read_table(result / "pca", columns=["label", "pca"])
    points = np.array([row[:2] for row in projected["pca"].to_pylist()])
    labels = np.array(projected["label"].to_pylist())
    variance = pyarrow.csv.read_csv(result / "explained_variance.csv")

    figure, (plane, curve) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[3, 2], layout="constrained")
    for number, label in enumerate(np.unique(labels)):
        style = {"color": f"C{number % COLORS}", "marker": MARKERS[number // COLORS % len(MARKERS)]}
        plane.scatter(*points[labels == label].T, s=14, alpha=0.8, label=label, **style)
    plane.set(xlabel="component 1", ylabel="component 2", title=f"{len(labels):,} images, {len(set(labels))} labels")
    plane.legend(fontsize=6, ncols=2, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

    components, cumulative = variance["component"].to_numpy(), variance["cumulative"].to_numpy()
    curve.bar(components, variance["ratio"].to_numpy(), color="C0", label="ratio")
    curve.plot(components, cumulative, color="C1", label="cumulative")
    curve.set(xlabel="component", ylabel="explained variance", ylim=(0, 1))
    curve.set_title(f"{cumulative[-1]:.0%} in {len(components)} components")
    curve.legend(frameon=False)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

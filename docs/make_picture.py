"""Draws the README's picture from a result: the images in the plane of two components, and the explained variance.

    python docs/make_picture.py sparkcider-demo/result docs/images/demo.png

Needs the extras `spark` and `notebooks`.
"""

import sys
from pathlib import Path

import matplotlib as mpl
from pyspark.sql import SparkSession

from sparkcider import plots
from sparkcider.feature import PCAModel

mpl.use("agg")
from matplotlib import pyplot as plt


def main(result: Path, picture: Path) -> None:
    """Reads `result` and writes `picture`."""
    spark = SparkSession.builder.getOrCreate()
    figure, (plane, curve) = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=[3, 2], layout="constrained")
    plots.scatter(spark.read.parquet(str(result / "pca")), ax=plane)
    plots.explained_variance(PCAModel.load(str(result / "pca-model")), ax=curve)
    figure.savefig(picture, dpi=110)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

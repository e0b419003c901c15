"""What there is to find among features: near images, duplicates, outliers and suspect labels.

    neighbors   the k nearest other images of each image
    nearest     the k images that are nearest to a query
    find        all findings of a table of images: duplicates, outliers, suspect labels

Tables in are what a job writes to `OUT/features`, or any of Arrow, pandas or Polars with the columns path, label and
features; tables out are Arrow. `sparkcider.functions` has `neighbors` and `nearest` of DataFrames. docs/findings.md
defines every column.
"""

from sparkcider.findings.find import Findings, find
from sparkcider.findings.near import nearest, neighbors

__all__ = ["Findings", "find", "nearest", "neighbors"]

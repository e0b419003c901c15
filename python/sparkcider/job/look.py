"""The last stages of a job: what is found among its images, and the report that shows it.

Both engines do this on the driver, over one table of rows: all of them, or a sample by a hash of the path.
"""

from __future__ import annotations

import io
import zlib
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from sparkcider.contents import PREVIEWS
from sparkcider.job.tables import VECTOR

if TYPE_CHECKING:
    from sparkcider._native import Pca
    from sparkcider.findings import Findings
    from sparkcider.job.progress import Progress
    from sparkcider.job.results import Partial
    from sparkcider.storage.files import Files

MOST_ROWS, MOST_BYTES = 50_000, 256 << 20
"""Rows, and bytes of their features, that are looked at: neighbours take time by the square of the rows."""

LOOKED_AT = pa.schema([("path", pa.string()), ("label", pa.string()), ("features", VECTOR), *PREVIEWS])
"""What is read of each image that has features."""

REPORT = "report.html"
FOLDER = "findings"


class Look(NamedTuple):
    """What was found.

    Attributes:
        rows: path, label, thumbnail and pca of the images that were looked at, sorted by path.
        findings: What was found among them.
    """

    rows: pa.Table
    findings: Findings


def check_report() -> None:
    """ImportError if the report cannot be written: before a job has worked for hours, not after."""
    if find_spec("jinja2") is None:
        raise ImportError("report.html needs jinja2, which is not installed: pip install jinja2, or give --no-report")


def sampled_share(n_images: int, dimension: int) -> float:
    """The share of N images of D features that is looked at.

    Example:
        >>> sampled_share(50_000, 1280), sampled_share(200_000, 1280), sampled_share(4_000, 100_352)
        (1.0, 0.25, 0.167...)
    """
    most = min(MOST_ROWS, MOST_BYTES // (4 * dimension))
    return min(1.0, most / n_images)


def is_sampled(paths: pa.ChunkedArray[Any], share: float) -> pa.Array[Any]:
    """Which paths are in the sample: those whose CRC-32 is below `share` of its range, as Spark's `crc32` finds too."""
    below = hash_limit(share)
    return pa.array([path is not None and zlib.crc32(path.encode()) < below for path in paths.to_pylist()], pa.bool_())


def hash_limit(share: float) -> int:
    """The CRC-32 below which a share of the paths is."""
    return round(share * 2**32)


def find(rows: pa.Table, pca: Pca | None, n_images: int, partial: Partial, progress: Progress) -> Look:
    """Finds what there is among rows of `LOOKED_AT`, and writes it to `OUT/findings`."""
    what = f"{len(rows):,} images" if len(rows) == n_images else f"a sample of {len(rows):,} of {n_images:,} images"
    with progress.stage("findings", what) as done:
        look = look_at(rows.sort_by("path"), pca, n_images)
        write_findings(look.findings, partial.files, partial.child(FOLDER))
        done(_text(look.findings.facts))
    return look


def write_findings(found: Findings, files: Files, folder: str) -> None:
    """Writes the three tables into a folder, by its URI."""
    files.make_folder(folder)
    for name in ("duplicates", "outliers", "labels"):
        content = io.BytesIO()
        pq.write_table(getattr(found, name), content)
        files.write(f"{folder}/{name}.parquet", content.getvalue())


def look_at(rows: pa.Table, pca: Pca | None, n_images: int) -> Look:
    """Finds what there is among rows with the columns path and features, all or some of N images."""
    from sparkcider import findings
    from sparkcider.findings.vectors import with_features

    rows = with_features(rows)
    found = findings.find(rows, pca=pca)
    found.facts.update(of=n_images, sampled=len(rows) < n_images)
    shown = rows.select([name for name in ("path", "label", "thumbnail") if name in rows.column_names])
    if pca is not None:
        shown = shown.append_column("pca", pa.chunked_array([pca.transform(c) for c in rows["features"].chunks]))
    return Look(shown, found)


def _text(facts: dict[str, Any]) -> str:
    counts = [f"{found['images']:,} {kind}" for kind, found in facts["duplicates"].items()]
    suspects = "" if facts["knn_accuracy"] is None else f"; {facts['suspects']:,} suspect labels"
    return f"duplicates: {', '.join(counts)}{suspects}"


def write_report(summary: dict[str, Any], look: Look, partial: Partial, progress: Progress) -> None:
    """Writes `OUT/report.html`."""
    from sparkcider.report import render

    with progress.stage("report", REPORT) as done:
        html = render(summary, look.rows, look.findings)
        partial.write_text(REPORT, html)
        done(f"{len(html.encode()) / 1e6:,.1f} MB")

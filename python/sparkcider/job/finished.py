"""A finished result, read without Spark: its tables, its summary, its model."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider import FeatureExtractor
from sparkcider.findings.vectors import COLUMNS, image_table
from sparkcider.job.look import FOLDER, REPORT, is_sampled, look_at, sampled_share, write_findings
from sparkcider.job.results import SUMMARY
from sparkcider.job.tables import groups_of, open_part, parts_in
from sparkcider.pca.saved_model import from_arrays
from sparkcider.saved_stage import read_stage
from sparkcider.storage.files import ArrowFiles
from sparkcider.storage.uri import full_uri

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sparkcider._native import Pca


def summary_of(result: str) -> dict[str, Any] | None:
    """What `summary.json` says; None where there is none.

    Args:
        result: Folder or URI.
    """
    uri = full_uri(result)
    files = ArrowFiles(uri)
    if not files.exists(f"{uri}/{SUMMARY}"):
        return None
    summary: dict[str, Any] = json.loads(files.read(f"{uri}/{SUMMARY}"))
    return summary


def features_of(result: str, columns: Iterable[str] = COLUMNS, *, share: float = 1.0) -> pa.Table:
    """The rows that have features, sorted by path.

    Args:
        result: A result, or any Parquet file or folder with the columns path and features.
        columns: Those of `findings.vectors.COLUMNS` that are read, where there are such.
        share: Of all rows those that `look.is_sampled` says.

    Raises:
        FileNotFoundError: There is no Parquet file.
        ValueError: A column is missing.
        TypeError: A column is of another type.
    """
    columns = [name for name in COLUMNS if name in columns]
    found = []
    for group in _groups(result, columns):
        rows = group.filter(pc.is_valid(group["features"]))
        found.append(rows if share == 1.0 else rows.filter(is_sampled(rows["path"], share)))
    kinds = {str(rows["features"].type) for rows in found}
    if len(kinds) > 1:  # the files of several tools
        found = [rows.set_column(rows.column_names.index("features"), "features", _doubles(rows)) for rows in found]
    return pa.concat_tables(found).sort_by("path")


def _groups(result: str, columns: list[str]) -> Iterator[pa.Table]:
    """Those of some columns that there are, as `image_table` makes them, a group of rows at a time."""
    parts = feature_parts(result)
    with open_part(parts[0]) as first:
        names = first.schema_arrow.names
    if not {"path", "features"} <= set(names):
        raise ValueError(f"{parts[0]} must have the columns path and features; it has {', '.join(names)}")
    return map(image_table, groups_of(parts, [name for name in columns if name in names]))


def _doubles(rows: pa.Table) -> pa.ChunkedArray[Any]:
    return rows["features"].cast(pa.large_list(pa.float64()))


def feature_parts(result: str) -> list[str]:
    """The URIs of the Parquet files that hold the features of a result, or that are it.

    Raises:
        FileNotFoundError: There are none.
    """
    uri = full_uri(result)
    if not ArrowFiles(uri).exists(uri):
        raise FileNotFoundError(f"there is no result and no Parquet file at {result}")
    parts = [uri] if uri.endswith(".parquet") and not parts_in(uri) else parts_in(f"{uri}/features") or parts_in(uri)
    if not parts:
        raise FileNotFoundError(f"{result} holds no Parquet files, neither in features/ nor itself")
    return parts


def reopen_model(result: str, model: str | None = None) -> FeatureExtractor:
    """The model of a result, opened as it was.

    Args:
        result: Folder or URI of a result.
        model: Where the model is today. Default: where the summary says.

    Raises:
        ValueError: There is no summary, or the model is another one.
        FileNotFoundError: The model is not there.
    """
    summary = summary_of(result)
    if summary is None:
        raise ValueError(f"{result} has no {SUMMARY}, which says with which model and options images are embedded")
    found = FeatureExtractor(model or summary["config"]["model"], **summary["config"]["options"])
    if found.checksum != summary["model"]["checksum"]:
        raise ValueError(
            f"{result} was made with a model of checksum {summary['model']['checksum']}, got one of {found.checksum}: "
            "give the model that made it"
        )
    return found


def report_on(result: str, output: str | None = None, *, everything: bool = False) -> str:
    """Looks for findings in finished features, and writes the report; in a result the findings, too.

    Args:
        result: A result, or any Parquet file or folder with the columns path and features.
        output: Path or URI of the report. Default: `report.html` in the folder, or beside the file.
        everything: Look at all images. Default: at a sample where there are more than `look.MOST_ROWS`.

    Returns:
        The URI of the report.

    Raises:
        FileNotFoundError: There is no Parquet file.
        ValueError: A column is missing, or no row has features.
    """
    from sparkcider.report import render

    # of a large result only the sample comes into memory, with its thumbnails
    lengths = _lengths(result)
    if not lengths:
        raise ValueError(f"{result} has no row with features")
    share = 1.0 if everything else sampled_share(sum(lengths.values()), max(lengths))
    look = look_at(features_of(result, share=share), _pca_of(result), sum(lengths.values()))
    summary = {**(summary_of(result) or {"images": sum(lengths.values())}), "findings": look.findings.facts}
    source = full_uri(result)
    files = ArrowFiles(source)
    if files.exists(f"{source}/features"):
        write_findings(look.findings, files, f"{source}/{FOLDER}")
    uri = full_uri(output) if output is not None else _beside(source)
    ArrowFiles(uri).write(uri, render(summary, look.rows, look.findings).encode())
    return uri


def _lengths(result: str) -> Counter[int]:
    """How many rows have features of each length."""
    lengths: Counter[int] = Counter()
    for group in _groups(result, ["path", "features"]):
        lengths.update(pc.list_value_length(group["features"]).drop_null().to_pylist())
    return lengths


def _beside(uri: str) -> str:
    return f"{uri.rpartition('/')[0]}/{REPORT}" if uri.endswith(".parquet") and not parts_in(uri) else f"{uri}/{REPORT}"


def _pca_of(result: str) -> Pca | None:
    """The PCA of a result; None where it has none."""
    uri = f"{full_uri(result)}/pca-model"
    files = ArrowFiles(uri)
    return from_arrays(read_stage(files, uri).arrays).pca if files.exists(uri) else None

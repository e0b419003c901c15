"""What the report shows, as JSON.

Every image that is shown anywhere has a number; the points of the map come first. Numbers of points are packed as
base64 of little-endian arrays, and paths are cut into folder and name.
"""

from __future__ import annotations

import base64
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from sparkcider.findings import Findings

MOST_POINTS, MOST_PATH_BYTES = 30_000, 1_200_000
"""Points of the map, which a canvas redraws 30 times a second without a graphics card; and bytes of their names."""

MOST_THUMBNAILS, MOST_THUMBNAIL_BYTES = 3_000, 4_900_000
"""Of 1.2 kB each, a third more in base64."""

AXES = 5
"""Principal components that the map can show."""

GROUPS, MEMBERS, ROWS, NEIGHBORS = 200, 12, 200, 5
"""Groups of duplicates, images of each, rows of the other findings, and neighbours of each, that are shown."""

_SHOWN = (
    "engine", "input", "images", "errors", "errors_by_kind", "errors_by_reason", "by_label", "images_per_second",
    "seconds", "worker_seconds", "pca", "versions", "config", "model", "workers", "peak_memory_bytes",
)  # fmt: skip


def report_data(summary: dict[str, Any], rows: pa.Table, findings: Findings | None) -> dict[str, Any]:
    """Everything that the scripts of the page read.

    Args:
        summary: As for `render`.
        rows: As for `render`.
        findings: As for `render`.
    """
    path = rows["path"].to_pylist()
    label = rows["label"].to_pylist() if "label" in rows.column_names else [None] * len(path)
    row_of = {name: row for row, name in enumerate(path)}
    order = np.argsort([zlib.crc32(name.encode()) for name in path], kind="stable")  # any first part is a fair sample
    names_end = np.cumsum([len(path[row].rpartition("/")[2].encode()) + 3 for row in order[:MOST_POINTS]])
    points = np.sort(order[: np.searchsorted(names_end, MOST_PATH_BYTES, side="right")]).tolist()
    found = None if findings is None else _findings(findings, row_of)
    shown = points + sorted(_numbers(found) - set(points))
    number = {row: at for at, row in enumerate(shown)}
    thumbnails = _thumbnails(rows, _wanted(found, order.tolist(), label), number)
    names = sorted({name for name in label if name is not None})
    code = {name: at for at, name in enumerate(names)}
    folders, folder, name_of = _split([path[row] for row in shown])
    return {
        "summary": _finite({key: summary[key] for key in _SHOWN if key in summary}),
        "sample": summary.get("findings"),
        "n_rows": len(path),
        "n_points": len(points),
        "labels": names,
        "images": {
            "folders": folders,
            "folder": _packed(np.array(folder, "<u4")),
            "name": name_of,
            "label": _packed(np.array([code.get(label[row], -1) for row in shown], "<i4")),
            "thumbnail": thumbnails,
        },
        "axes": _axes(rows, points),
        "findings": None if found is None else _renumbered(found, number),
    }


def _axes(rows: pa.Table, points: list[int]) -> list[str]:
    """The first components of each point, a packed float32 array each."""
    if "pca" not in rows.column_names or not points:
        return []
    lists = rows["pca"].take(pa.array(points)).combine_chunks()
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    values = lists.flatten().to_numpy(zero_copy_only=False).reshape(len(points), -1).astype("<f4")
    return [_packed(np.ascontiguousarray(values[:, axis])) for axis in range(min(AXES, values.shape[1]))]


def _findings(findings: Findings, row_of: dict[str, int]) -> dict[str, Any]:
    """The findings that are shown, with rows in place of paths."""
    groups: dict[int, dict[str, Any]] = {}
    for row in findings.duplicates.to_pylist():
        group = groups.setdefault(row["group"], {"kind": row["kind"], "images": [], "scores": [], "size": 0})
        group["size"] += 1
        if group["size"] <= MEMBERS:
            group["images"].append(row_of[row["path"]])
            group["scores"].append(round(row["score"], 4))
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for group in groups.values():
        by_kind.setdefault(group["kind"], []).append(group)
    suspects = [row for row in findings.labels.slice(0, ROWS).to_pylist() if row["suspect"]]
    return {
        "facts": findings.facts,
        "duplicates": [group for kind in by_kind.values() for group in kind[: GROUPS // len(by_kind)]],
        "outliers": [
            {
                "images": [row_of[row["path"]]],
                "error": _rounded(row["reconstruction_error"]),
                "error_quantile": _rounded(row["reconstruction_error_quantile"]),
                "distance": _rounded(row["neighbor_distance"]),
                "distance_quantile": _rounded(row["neighbor_distance_quantile"]),
            }
            for row in findings.outliers.slice(0, ROWS).to_pylist()
        ],
        "suspects": [
            {
                "images": [row_of[name] for name in (row["path"], *row["neighbors"][:NEIGHBORS])],
                "vote": row["vote"],
                "confidence": _rounded(row["confidence"]),
                "support": _rounded(row["support"]),
            }
            for row in suspects
        ],
    }


def _numbers(found: dict[str, Any] | None) -> set[int]:
    """The rows of all images that findings show."""
    kinds = ("duplicates", "outliers", "suspects")
    return {row for kind in kinds if found is not None for item in found[kind] for row in item["images"]}


def _renumbered(found: dict[str, Any], number: dict[int, int]) -> dict[str, Any]:
    """The findings with the numbers of images in place of rows."""
    kinds = ("duplicates", "outliers", "suspects")
    lists = {
        kind: [{**item, "images": [number[row] for row in item["images"]]} for item in found[kind]] for kind in kinds
    }
    return {"facts": found["facts"], **lists}


def _wanted(found: dict[str, Any] | None, order: list[int], label: list[str | None]) -> list[int]:
    """Rows in the order in which they get thumbnails: those of findings, then one of each label in turn."""
    wanted = dict.fromkeys(row for kind in _in_turn(found) for row in kind)
    by_label: dict[str | None, list[int]] = {}
    for row in order:
        by_label.setdefault(label[row], []).append(row)
    lists = [by_label[name] for name in sorted(by_label, key=lambda name: (name is None, name or ""))]
    for turn in range(max(map(len, lists), default=0)):
        for rows in lists:
            if turn < len(rows):
                wanted.setdefault(rows[turn])
        if len(wanted) >= MOST_THUMBNAILS + len(order) // 2:
            break
    return list(wanted)


def _in_turn(found: dict[str, Any] | None) -> list[list[int]]:
    """The images of each finding, the first of each kind first."""
    if found is None:
        return []
    kinds = [found["suspects"], found["outliers"], found["duplicates"]]
    longest = max(map(len, kinds))
    return [kind[at]["images"] for at in range(longest) for kind in kinds if at < len(kind)]


def _thumbnails(rows: pa.Table, wanted: list[int], number: dict[int, int]) -> dict[int, str]:
    """base64 of at most `MOST_THUMBNAILS` JPEG files, by the numbers of their images."""
    if "thumbnail" not in rows.column_names:
        return {}
    taken = [row for row in wanted if row in number][: 2 * MOST_THUMBNAILS]
    found: dict[int, str] = {}
    size = 0
    for row, jpeg in zip(taken, rows["thumbnail"].take(pa.array(taken, pa.int64())).to_pylist()):
        if jpeg is None:
            continue
        text = base64.b64encode(jpeg).decode()
        size += len(text)
        if len(found) == MOST_THUMBNAILS or size > MOST_THUMBNAIL_BYTES:
            break
        found[number[row]] = text
    return found


def _split(paths: list[str]) -> tuple[list[str], list[int], list[str]]:
    """Folders, the folder of each path, and the rest of each path."""
    folders: dict[str, int] = {}
    cut = [path.rpartition("/") for path in paths]
    return_folder = [folders.setdefault(folder + slash, len(folders)) for folder, slash, _ in cut]
    return list(folders), return_folder, [name for _, _, name in cut]


def _finite(value: Any) -> Any:
    """The same without NaN and infinities, which JSON does not know: None in their place."""
    if isinstance(value, dict):
        return {name: _finite(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else float(f"{value:.6g}")

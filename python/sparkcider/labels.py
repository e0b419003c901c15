"""The label of an image, from its path; both engines and Spark's workers find it here."""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def labels_of(paths: Iterable[str | None], label_regex: str | None) -> list[str | None]:
    """The label of each path: the name of its folder, or the first group of the expression; None where there is none.

    Labels are in Unicode's form NFC: macOS writes the names of folders in NFD, which look the same and differ.

    Args:
        paths: Full paths or URIs.
        label_regex: Regular expression of Python's `re`, searched in the path in NFC; None: the folder's name.

    Example:
        >>> labels_of(["file:/photos/Lime/1.jpg", "1.jpg"], None)
        ['Lime', None]
        >>> labels_of(["file:/photos/Lime/1.jpg", None], "/([A-Z])[^/]*/")
        ['L', None]
        >>> len(labels_of(["file:/photos/Cafe\u0301/1.jpg"], None)[0])
        4
    """
    composed = (None if path is None else _composed(path) for path in paths)
    if label_regex is None:
        return [_folder(path) for path in composed]
    search = re.compile(_composed(label_regex)).search
    found = (None if path is None else search(path) for path in composed)
    return [match[1] or None if match else None for match in found]


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def check_label_regex(label_regex: str) -> None:
    """Raises ValueError for what `labels_of` cannot search with."""
    try:
        groups = re.compile(_composed(label_regex)).groups
    except re.error as error:
        raise ValueError(f"label_regex {label_regex} is not a regular expression of Python: {error}") from None
    if groups == 0:
        raise ValueError(f"label_regex {label_regex} must have a group, such as ([^/]+), for the label")


def _folder(path: str | None) -> str | None:
    parts = (path or "").rsplit("/", 2)
    return parts[-2] or None if len(parts) > 1 else None

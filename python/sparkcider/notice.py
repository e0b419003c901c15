"""Warnings that name the line of the caller's own code."""

from __future__ import annotations

import sys
import warnings

_BETWEEN = ("sparkcider", "pyspark")
"""Packages whose code stands between a caller and a warning."""


def warn(text: str) -> None:
    """Warns (UserWarning) where code outside of this package, and of pyspark, called it.

    Args:
        text: One line.
    """
    level, frame = 2, sys._getframe(1)  # noqa: SLF001 - `warnings` counts such frames, too
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _BETWEEN:
        level, frame = level + 1, frame.f_back
    warnings.warn(text, stacklevel=level)

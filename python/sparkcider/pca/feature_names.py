"""The names of the columns that a `Pca` was fitted to, by scikit-learn's rules and in its words."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkcider.columns import column_names

if TYPE_CHECKING:
    import numpy.typing as npt

_SHOWN = 5


def names_of(rows: Any) -> npt.NDArray[np.object_] | None:
    """The names of the columns of a data frame of numbers, all strings; None for other rows.

    Raises:
        TypeError: Some names are strings and some are not.
    """
    names = column_names(rows) or []
    types = sorted({type(name).__qualname__ for name in names})
    if len(types) > 1 and "str" in types:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{types} as feature name / column name types: X.columns = X.columns.astype(str) makes them strings"
        )
    return np.array(names, dtype=object) if types == ["str"] else None


def check_names(fitted: npt.NDArray[np.object_] | None, rows: Any) -> None:
    """Compares the names of rows with those of the fit; warns where one of the two has none.

    Raises:
        ValueError: The names, or their order, differ.
        TypeError: As `names_of`.
    """
    found = names_of(rows)
    if fitted is None and found is None:
        return
    if fitted is None:
        warnings.warn("X has feature names, but Pca was fitted without feature names", stacklevel=4)
    elif found is None:
        warnings.warn("X does not have valid feature names, but Pca was fitted with feature names", stacklevel=4)
    elif list(found) != list(fitted):
        raise ValueError(_difference(set(fitted), set(found)))


def _difference(fitted: set[str], found: set[str]) -> str:
    message = "The feature names should match those that were passed during fit.\n"
    if found - fitted:
        message += f"Feature names unseen at fit time:\n{_listed(found - fitted)}"
    if fitted - found:
        message += f"Feature names seen at fit time, yet now missing:\n{_listed(fitted - found)}"
    if fitted == found:
        message += "Feature names must be in the same order as they were in fit.\n"
    return message


def _listed(names: set[str]) -> str:
    lines = [f"- {name}\n" for name in sorted(names)]
    return "".join(lines[:_SHOWN]) + ("- ...\n" if len(lines) > _SHOWN else "")

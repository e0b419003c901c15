"""Pictures of a result: explained variance, images in the plane of two components, a grid of images.

Each function draws with matplotlib, gives back its Axes and leaves showing and saving to the caller. DataFrames are
Spark's, classic or Connect, or pandas'.
"""

from __future__ import annotations

import itertools
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sparkcider import FeatureExtractor, Pca
from sparkcider.arguments import found
from sparkcider.pca.attributes import fitted

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pyspark.sql import DataFrame

    from sparkcider.feature import PCAModel

LABEL = "label"
"""The column that is taken for labels where none is named."""
CONTENT, THUMBNAIL = "content", "thumbnail"
"""The columns that are taken for images where none is named: the first that there is."""

_SEED = 0
_MARKERS = "o^s"
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D31")
"""Colour-blind people tell them apart: M. Okabe and K. Ito, "Color Universal Design", 2008, with brown for yellow."""
_NAMED = len(_MARKERS) * len(_COLORS)  # labels that have a style of their own: the largest
_OTHERS = "#9A9A9A"
_MARKS = (0.8, 0.9, 0.95, 0.99)
_DOTTED = 40  # components; the dots of more would touch
_PER_ROW = 6  # images
_SIDE = 112  # pixels of a thumbnail
_WHITE = (255, 255, 255)


def explained_variance(model: PCAModel | Pca, *, ax: Axes | None = None) -> Axes:
    """Draws the share of the variance that each of k components holds, as bars, and their sum, as a line.

    Dotted lines mark 80, 90, 95 and 99 % of the variance where the components hold it, with how many do.

    Args:
        model: A fitted PCA of `sparkcider.feature` or of `sparkcider`.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: The model is something else.
        PcaError: It is not fitted yet.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("agg")
        >>> import pyarrow as pa
        >>> from sparkcider import Moments, Pca
        >>> moments = Moments()
        >>> moments.update(pa.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]]))
        3
        >>> explained_variance(Pca(k=2).fit(moments)).get_title()
        '100% of the variance in 2 components'
    """
    ratios = fitted(model).explained_variance_ratio_
    cumulative, components = np.cumsum(ratios), np.arange(1, len(ratios) + 1)
    ax = ax or _pyplot().figure(figsize=(6, 4), layout="constrained").add_subplot()
    ax.bar(components, ratios, color="C0", label="each")
    ax.plot(components, cumulative, color="C1", marker="." if len(ratios) < _DOTTED else None, label="together")
    for share in _MARKS:
        n = int(np.searchsorted(cumulative, share - 1e-9)) + 1
        if n <= len(ratios):
            ax.hlines(share, 0.5, n, colors="0.5", linestyles=":", linewidth=0.8)
            ax.annotate(f"{share:.0%}: {n}", (n, share), xytext=(3, -8), textcoords="offset points", fontsize=7)
    ax.set(xlabel="component", ylabel="share of the variance", ylim=(0, 1.02))
    ax.locator_params(axis="x", integer=True)
    ax.set_title(f"{cumulative[-1]:.0%} of the variance in {len(ratios)} component{'s' * (len(ratios) > 1)}")
    ax.legend(frameon=False, loc="center right")
    return ax


def scatter(
    df: DataFrame | pd.DataFrame,
    column: str = "pca",
    *,
    label: str | None = None,
    max_rows: int = 2000,
    ax: Axes | None = None,
) -> Axes:
    """Draws rows as points in the plane of their first two components, coloured by label.

    Of more than 21 labels the largest have a colour and a marker of their own; the others are grey.

    A Spark DataFrame is read once, and at most `max_rows` rows leave the executors, chosen at random there, with two
    components each; the title says when it is a sample. Rows whose components are null are left out.

    Args:
        df: The rows, such as `PCAModel.transform` gives them.
        column: Column of components, at least 2 per row: arrays or vectors.
        label: Column of labels; by default `label` where there is one.
        max_rows: Most rows to draw.
        ax: Where to draw; a new figure by default.

    Returns:
        The Axes; one collection of points per label that has a style, in the order of the labels, after that of the
        others.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: It is not such a DataFrame, or the Spark column holds no components.
        ValueError: There is no such column, a row has fewer than 2 components, or no row has any.
    """
    _check_frame(df)
    label = _label_of(df, column, label)
    rows = _sampled(df, column, label, max_rows + 1)
    sample, rows = len(rows) > max_rows, rows[:max_rows]
    if rows.empty:
        raise ValueError(f"column {column}: there is no row with components")
    points = [np.asarray(row, np.float64)[:2] for row in rows[column]]
    width = min(map(len, points))
    if width < 2:  # noqa: PLR2004 - a plane has two
        raise ValueError(f"column {column}: expected at least 2 components per row, got {width}")

    ax = ax or _pyplot().figure(figsize=(7, 4.5), layout="constrained").add_subplot()
    title = f"{'a sample of ' * sample}{len(points):,} row{'s' * (len(points) > 1)}"
    if label is None:
        ax.scatter(*_xy(np.array(points)), s=14, alpha=0.8)
    else:
        title += f", {_scatter_by_label(ax, np.array(points), _strings(rows[label])):,} labels"
    ax.set(xlabel="component 1", ylabel="component 2", title=title)
    return ax


def image_grid(
    df: DataFrame | pd.DataFrame,
    column: str | None = None,
    *,
    label: str | None = None,
    max_images: int = 12,
    figure: Figure | None = None,
) -> np.ndarray:
    """Draws the first rows' images beside one another, their labels above them.

    Images are decoded as `FeatureExtractor` decodes them, and shown whole, on white. One that cannot be decoded shows
    its reason in its place.

    Args:
        df: The rows; of a Spark DataFrame, the first `max_images` are fetched.
        column: Binary column of encoded images. Default: `content`, else `thumbnail`, which a job's features have.
        label: Column of labels; by default `label` where there is one.
        max_images: Most images to draw.
        figure: Where to draw; a new one by default.

    Returns:
        The Axes, (rows, columns), in the order of the images; those behind the last image are empty.

    Raises:
        ImportError: There is no matplotlib.
        TypeError: It is not such a DataFrame.
        ValueError: There is no such column, or no row.
    """
    _check_frame(df)
    if column is None:
        column = THUMBNAIL if THUMBNAIL in df.columns and CONTENT not in df.columns else CONTENT
    label = _label_of(df, column, label)
    rows = _first(df, [column, *_names(label)], max_images)
    if rows.empty:
        raise ValueError(f"column {column}: there is no row to draw")
    titles = [""] * len(rows) if label is None else _strings(rows[label])
    n_rows = -(-len(rows) // _PER_ROW)
    n_columns = -(-len(rows) // n_rows)
    figure = figure or _pyplot().figure(figsize=(1.5 * n_columns, 1.7 * n_rows), layout="constrained")
    axes: np.ndarray = figure.subplots(n_rows, n_columns, squeeze=False)
    for ax in axes.flat:
        ax.set_axis_off()
    for ax, title, (pixels, error) in zip(axes.flat, titles, _thumbnails(rows[column])):
        ax.set_title(title, fontsize=8)
        if pixels is not None:
            ax.imshow(pixels)
        else:
            reason = textwrap.fill(error, 18, max_lines=6)
            ax.text(0.5, 0.5, reason, size=7, color="C3", ha="center", va="center", transform=ax.transAxes)
    return axes


def _thumbnails(images: pd.Series[Any]) -> Iterator[tuple[np.ndarray | None, str]]:
    """Pixels (H, W, 3) u8 of each encoded image, or None and the reason why it has none."""
    encoded = pa.array([None if none else bytes(image) for image, none in zip(images, images.isna())], pa.binary())
    extractor = FeatureExtractor(
        "pixels", input_size=_SIDE, resize_mode="letterbox", background=_WHITE, normalization="raw"
    )
    for pixels, error in zip(*extractor.extract(encoded)):
        good = pixels.is_valid
        yield (np.reshape(pixels.as_py(), (_SIDE, _SIDE, 3)).astype(np.uint8) if good else None), error.as_py() or ""


def _scatter_by_label(ax: Axes, points: np.ndarray, labels: np.ndarray) -> int:
    """Points (N, 2), the largest labels in a style of their own, and a legend; gives back the number of labels."""
    names, counts = np.unique(labels, return_counts=True)
    largest = np.sort(names[np.argsort(-counts, kind="stable")[:_NAMED]])
    others = ~np.isin(labels, largest)
    if others.any():
        ax.scatter(*_xy(points[others]), s=8, alpha=0.4, color=_OTHERS, label=f"{len(names) - _NAMED:,} others")
    for name, (marker, color) in zip(largest, itertools.product(_MARKERS, _COLORS)):
        ax.scatter(*_xy(points[labels == name]), s=14, alpha=0.8, marker=marker, color=color, label=name)
    ax.legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return len(names)


def _xy(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return points[:, 0], points[:, 1]


def _pyplot() -> Any:
    try:
        from matplotlib import pyplot as plt
    except ModuleNotFoundError as error:
        raise ImportError("sparkcider.plots needs matplotlib: pip install matplotlib") from error
    return plt


def _is_spark(df: Any) -> bool:
    return hasattr(df, "toPandas")  # pyspark need not be there to ask


def _check_frame(df: Any) -> None:
    """Raises TypeError if this is not a DataFrame of Spark or pandas."""
    if not (_is_spark(df) or hasattr(df, "iloc")):
        hint = ""
        if hasattr(df, "to_pandas"):  # of Arrow, of Polars
            hint = ": pass .to_pandas()"
        elif hasattr(df, "__array__"):
            hint = ": pass pandas.DataFrame({'pca': list(rows)})"
        raise TypeError(f"expected a DataFrame of Spark or pandas, got {found(df)}{hint}")


def _label_of(df: Any, column: str, label: str | None) -> str | None:
    """The column of labels, or None; ValueError where a column that was named is not there."""
    names = list(df.columns)
    for wanted in (column, label):
        if wanted is not None and wanted not in names:
            raise ValueError(f"there is no column {wanted}; there are {', '.join(map(str, names))}")
    return LABEL if label is None and LABEL in names else label


def _strings(labels: pd.Series[Any]) -> np.ndarray:
    return np.array(["no label" if none else str(label) for label, none in zip(labels, labels.isna())])


def _first(df: Any, names: list[str], n: int) -> pd.DataFrame:
    """The first `n` rows of some columns."""
    rows: pd.DataFrame
    rows = df.select(*(f"`{name}`" for name in names)).limit(n).toPandas() if _is_spark(df) else df[names].head(n)
    return rows


def _sampled(df: Any, column: str, label: str | None, n: int) -> pd.DataFrame:
    """At most `n` rows of the components and labels, by chance and in any order; those of Spark with 2 components."""
    if not _is_spark(df):
        rows: pd.DataFrame = df[[column, *_names(label)]].dropna(subset=[column])
        return rows.sample(n, random_state=_SEED) if len(rows) > n else rows
    from sparkcider.spark.columns import as_array, find_features

    labels = [f"`{name}`" for name in _names(label)]
    components = as_array(find_features(df.schema, column, "scatter")).alias(column)
    valid = df.select(components, *labels).where(f"`{column}` IS NOT NULL")
    order = "_sparkcider_order"
    plane = valid.selectExpr(f"slice(`{column}`, 1, 2) AS `{column}`", *labels, f"rand({_SEED}) AS {order}")
    # Sorted and cut to n in each task, then once more: Spark never moves more than that.
    sampled: pd.DataFrame = plane.orderBy(order).limit(n).drop(order).toPandas()
    return sampled


def _names(label: str | None) -> list[str]:
    return [] if label is None else [label]

"""What `sparkcider.plots` draws: the data of its artists, from Spark, from pandas and without either."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

mpl = pytest.importorskip("matplotlib", reason="needs the extra sparkcider[notebooks]")
mpl.use("agg")

from matplotlib import pyplot as plt  # noqa: E402 - the backend comes first

from sparkcider import Moments, Pca, plots, samples  # noqa: E402 - likewise

if TYPE_CHECKING:
    from collections.abc import Iterator

LABELS = ["Kiwi", "Lemon", "Plum"]
BASELINES = Path(__file__).parents[1] / "data" / "plots"
"""Made by `SPARKCIDER_NEW_BASELINES=1 pytest tests/python/test_plots.py`, after a look at them."""


@pytest.fixture(autouse=True)
def _figures_end_with_the_test() -> Iterator[None]:
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def fitted() -> Pca:
    moments = Moments()
    moments.update(pa.array(np.random.default_rng(3).normal(size=(40, 5)).tolist()))
    return Pca(k=4).fit(moments)


@pytest.fixture(scope="module")
def images() -> list[bytes]:
    """A red, a green and a blue image, twice as wide as high; then no image."""
    colors = np.eye(3, dtype=np.uint8) * 200
    return [*(samples.encode_png(np.tile(color, (20, 40, 1))) for color in colors), b"no image"]


def rows_of(n: int) -> list[tuple[list[float], str]]:
    return [([float(n_row), -2.0 * n_row, 9.0], LABELS[n_row % 3]) for n_row in range(n)]


def points_by_label(ax) -> dict[str, list[list[float]]]:
    return {drawn.get_label(): np.sort(np.asarray(drawn.get_offsets()), axis=0).tolist() for drawn in ax.collections}


def test_the_explained_variance_is_bars_and_their_sum(fitted):
    ax = plots.explained_variance(fitted)
    ratios = fitted.explained_variance_ratio_
    assert [bar.get_height() for bar in ax.patches] == ratios.tolist()
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [1, 2, 3, 4]
    assert np.array_equal(line.get_ydata(), np.cumsum(ratios))
    assert ax.get_title() == f"{ratios.sum():.0%} of the variance in 4 components"


def test_a_model_of_feature_is_drawn_as_its_pca(spark):
    from sparkcider.feature import PCA

    frame = spark.createDataFrame([([1.0, 2.0, 0.5],), ([2.0, 1.0, 0.0],), ([0.0, 0.0, 1.0],)], "x array<double>")
    model = PCA(k=2, inputCol="x", outputCol="pca").fit(frame)
    ax = plots.explained_variance(model)
    assert [bar.get_height() for bar in ax.patches] == model.explainedVariance.toArray().tolist()


def test_a_plot_goes_where_it_is_told(fitted):
    figure, given = plt.subplots()
    assert plots.explained_variance(fitted, ax=given) is given
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(rows_of(3), columns=["pca", "label"])
    assert plots.scatter(frame, ax=given) is given
    other = plt.figure()
    axes = plots.image_grid(pandas.DataFrame({"content": [b"no image"]}), figure=other)
    assert axes[0, 0].figure is other
    assert figure.axes == [given]


@pytest.mark.parametrize("kind", ["array<float>", "array<double>", "vector", "pandas"])
def test_points_are_the_first_two_components_by_label(spark, kind):
    frame = spark.createDataFrame([*rows_of(6), (None, "Kiwi")], "pca array<double>, label string")
    if kind == "vector":
        from pyspark.ml.functions import array_to_vector

        frame = frame.where("pca IS NOT NULL").withColumn("pca", array_to_vector("pca"))
    elif kind == "pandas":
        frame = frame.toPandas()
    else:
        frame = frame.withColumn("pca", frame.pca.cast(kind))
    ax = plots.scatter(frame)
    assert points_by_label(ax) == {
        "Kiwi": [[0.0, -6.0], [3.0, 0.0]],
        "Lemon": [[1.0, -8.0], [4.0, -2.0]],
        "Plum": [[2.0, -10.0], [5.0, -4.0]],
    }
    assert ax.get_title() == "6 rows, 3 labels"
    assert [text.get_text() for text in ax.get_legend().get_texts()] == LABELS
    styles = {(tuple(drawn.get_facecolor()[0]), drawn.get_label()) for drawn in ax.collections}
    assert len({color for color, _ in styles}) == 3


def test_without_labels_all_points_are_alike(spark):
    frame = spark.createDataFrame([(row, label) for row, label in rows_of(4)], "reduced array<double>, fruit string")
    ax = plots.scatter(frame, "reduced")
    (drawn,) = ax.collections
    assert sorted(np.asarray(drawn.get_offsets())[:, 0]) == [0.0, 1.0, 2.0, 3.0]
    assert ax.get_legend() is None
    assert ax.get_title() == "4 rows"
    assert set(points_by_label(plots.scatter(frame, "reduced", label="fruit"))) == set(LABELS)


def test_a_null_label_has_a_name(spark):
    frame = spark.createDataFrame([([1.0, 2.0], None), ([3.0, 4.0], "Kiwi")], "pca array<double>, label string")
    for given in (frame, frame.toPandas()):
        assert points_by_label(plots.scatter(given)) == {"Kiwi": [[3.0, 4.0]], "no label": [[1.0, 2.0]]}


def test_no_more_than_the_sample_leaves_the_executors(spark, monkeypatch):
    frame = spark.range(5000).selectExpr("array(double(id), -double(id), 0d) AS pca", "id % 3 AS label")
    fetched = []
    ours = type(frame).toPandas
    monkeypatch.setattr(type(frame), "toPandas", lambda self: fetched.append(ours(self)) or fetched[-1])
    ax = plots.scatter(frame, max_rows=300)
    (rows,) = fetched
    assert len(rows) == 301  # one more: so it is known to be a sample
    assert {len(row) for row in rows.pca} == {2}
    drawn = np.concatenate([np.asarray(points.get_offsets()) for points in ax.collections])
    assert len(drawn) == len(np.unique(drawn[:, 0])) == 300
    assert ax.get_title() == "a sample of 300 rows, 3 labels"
    # By chance, from everywhere: the mean of 300 of 0 ... 4999 is within 4 deviations of theirs.
    assert abs(drawn[:, 0].mean() - 2499.5) < 4 * 1443 / np.sqrt(300)
    assert plots.scatter(rows, max_rows=300).get_title() == "a sample of 300 rows, 3 labels"


def test_of_many_labels_the_largest_have_a_style_of_their_own():
    pandas = pytest.importorskip("pandas")
    labels = [f"{n:03}" for n in range(141) for _ in range(1 + (n >= 120))]  # the last 21 have two rows
    frame = pandas.DataFrame({"pca": [[float(n), 0.0] for n in range(len(labels))], "label": labels})
    ax = plots.scatter(frame)
    entries = [text.get_text() for text in ax.get_legend().get_texts()]
    assert entries == ["120 others", *(f"{n:03}" for n in range(120, 141))]
    assert ax.get_title() == "162 rows, 141 labels"
    styles = {(tuple(drawn.get_facecolor()[0]), drawn.get_paths()[0].vertices.tobytes()) for drawn in ax.collections}
    assert len(styles) == 22
    assert sum(len(drawn.get_offsets()) for drawn in ax.collections) == 162


def test_half_a_million_rows_are_a_sample_and_said():
    pandas = pytest.importorskip("pandas")
    random = np.random.default_rng(0)
    frame = pandas.DataFrame({"pca": list(random.random((500_000, 2))), "label": random.integers(0, 141, 500_000)})
    first, second = (plots.scatter(frame, max_rows=3000) for _ in range(2))
    assert first.get_title() == "a sample of 3,000 rows, 141 labels"
    assert points_by_label(first) == points_by_label(second)


def test_marks_say_how_many_components_hold_a_share():
    moments = Moments()
    moments.update(
        pa.array((np.diag([6.0, 3.0, 2.0, 1.0]) @ np.random.default_rng(1).normal(size=(4, 300))).T.tolist())
    )
    pca = Pca(k=3).fit(moments)
    ax = plots.explained_variance(pca)
    sums = np.cumsum(pca.explained_variance_ratio_)
    expected = [f"{share:.0%}: {(sums < share).sum() + 1}" for share in (0.8, 0.9, 0.95, 0.99) if sums[-1] >= share]
    assert [text.get_text() for text in ax.texts] == expected
    assert len(ax.collections) == len(expected) >= 2


def test_the_grid_takes_the_thumbnails_of_a_job(images):
    pandas = pytest.importorskip("pandas")
    axes = plots.image_grid(pandas.DataFrame({"thumbnail": images[:2], "label": LABELS[:2]}))
    assert [len(ax.images) for ax in axes.flat] == [1, 1]
    with pytest.raises(ValueError, match="there is no column content"):
        plots.image_grid(pandas.DataFrame({"label": LABELS}))


PICTURES = {
    "variance": lambda: plots.explained_variance(Pca(k=4).fit(GENERATED[:, :5])).figure,
    "labels": lambda: plots.scatter(generated_frame()).figure,
}
GENERATED = np.random.default_rng(7).normal(size=(600, 6)) * [5, 3, 2, 1, 0.5, 0.2]
MOST_DIFFERENT = 12.0
"""Root mean square of levels: another release of matplotlib moves letters by a pixel; another picture differs by 30."""


def generated_frame():
    pandas = pytest.importorskip("pandas")
    return pandas.DataFrame({"pca": list(GENERATED[:, :2]), "label": [f"label {n % 30:02}" for n in range(600)]})


@pytest.mark.parametrize("name", PICTURES)
def test_pictures_look_as_their_baselines(name: str, tmp_path: Path):
    from matplotlib.testing.compare import compare_images

    with mpl.rc_context(mpl.rcParamsDefault | {"backend": "agg"}):
        PICTURES[name]().savefig(tmp_path / f"{name}.png", dpi=60)
    if os.environ.get("SPARKCIDER_NEW_BASELINES"):
        shutil.copy(tmp_path / f"{name}.png", BASELINES)
    different = compare_images(str(BASELINES / f"{name}.png"), str(tmp_path / f"{name}.png"), MOST_DIFFERENT)
    assert different is None, different


def test_what_cannot_be_drawn_is_said_in_one_line(spark):
    one = spark.createDataFrame([([1.0],)], "pca array<double>")
    with pytest.raises(ValueError, match=r"column pca: expected at least 2 components per row, got 1"):
        plots.scatter(one)
    for given in (one, one.toPandas()):
        with pytest.raises(ValueError, match=r"there is no column other; there are pca"):
            plots.scatter(given, "other")
        with pytest.raises(ValueError, match=r"there is no column fruit; there are pca"):
            plots.scatter(given, label="fruit")
        with pytest.raises(ValueError, match=r"column pca: there is no row with components"):
            plots.scatter(given.head(0) if given is not one else one.limit(0))
    with pytest.raises(TypeError, match=r"column pca: expected array<float>, array<double> or vector, got string"):
        plots.scatter(spark.createDataFrame([("1",)], "pca string"))
    with pytest.raises(ValueError, match=r"column content: there is no row to draw"):
        plots.image_grid(spark.createDataFrame([], "content binary"))


@pytest.mark.parametrize("kind", ["spark", "pandas"])
def test_the_grid_shows_each_image_whole_and_a_broken_one_by_its_reason(spark, images, kind):
    rows = [*zip(images, ["red", "green", "blue", "broken"]), (None, None)]
    frame = spark.createDataFrame(rows, "content binary, label string").coalesce(1)
    axes = plots.image_grid(frame if kind == "spark" else frame.toPandas())
    assert axes.shape == (1, 5)
    assert [ax.get_title() for ax in axes.flat] == ["red", "green", "blue", "broken", "no label"]
    for channel, ax in enumerate(axes.flat[:3]):
        (image,) = ax.images
        pixels = image.get_array()
        side = len(pixels)
        assert pixels.shape == (side, side, 3)
        assert pixels[side // 2, side // 2].tolist() == (200 * np.eye(3, dtype=int)[channel]).tolist()
        assert pixels[0, 0].tolist() == pixels[-1, -1].tolist() == [255, 255, 255]  # the image is wide: white above
    for ax, reason in zip(axes.flat[3:], ["unknown format", "null image"]):
        assert len(ax.images) == 0
        (text,) = ax.texts
        assert reason in " ".join(text.get_text().split())


def test_the_grid_stops_at_its_limit_and_leaves_the_rest_of_it_empty(images):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"content": images[:1] * 30})
    assert plots.image_grid(frame).shape == (2, 6)
    axes = plots.image_grid(frame, max_images=11)
    assert axes.shape == (2, 6)
    assert [len(ax.images) for ax in axes.flat] == [1] * 11 + [0]
    assert not any(ax.get_title() for ax in axes.flat)
    assert not any(ax.axison for ax in axes.flat)


def test_everything_can_be_saved(tmp_path: Path, fitted, images):
    pandas = pytest.importorskip("pandas")
    plots.explained_variance(fitted)
    plots.scatter(pandas.DataFrame(rows_of(9), columns=["pca", "label"]))
    plots.image_grid(pandas.DataFrame({"content": images}))
    for number in plt.get_fignums():
        plt.figure(number).savefig(tmp_path / f"{number}.png")
    assert len(list(tmp_path.glob("*.png"))) == 3


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
import numpy, pyarrow
from sparkcider import Moments, Pca, plots
moments = Moments()
moments.update(pyarrow.array([[0.0, 1.0], [1.0, 0.0]]))
try:
    plots.explained_variance(Pca(k=1).fit(moments))
except ImportError as error:
    print(error)
"""


def test_without_matplotlib_one_line_says_what_to_install():
    done = subprocess.run([sys.executable, "-c", WITHOUT_MATPLOTLIB], check=True, capture_output=True, text=True)
    assert done.stdout == "sparkcider.plots needs matplotlib: pip install matplotlib\n"


def test_importing_the_module_imports_neither_matplotlib_nor_spark():
    code = "import sys, sparkcider.plots; print({'matplotlib', 'pyspark', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "set()\n"

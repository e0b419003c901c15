"""Spark column functions: encoded images to embeddings, embeddings to principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, FloatType

from sparkcider import Pca
from sparkcider.spark.udf import features_column, projected_column

if TYPE_CHECKING:
    import os

    from pyspark.sql import Column
    from typing_extensions import Unpack

    from sparkcider.options import ExtractorOptions
    from sparkcider.spark.pca import PCAModel


def image_features(
    col: Column | str,
    *,
    model: str | os.PathLike[str],
    on_error: str = "null",
    with_error: bool = False,
    **options: Unpack[ExtractorOptions],
) -> Column:
    """Embeds a `binary` column of encoded images: `array<float>` of D values per row.

    The model is opened once here, so that a bad model or option fails before any job, and once in each Python worker.
    Spark evaluates the function exactly once per row and action; it also keeps filters that follow it behind it, so
    filter first.

    Args:
        col: Column of encoded images (JPEG, PNG, ...), as `spark.read.format("binaryFile")` gives in `content`.
        model: Name, path or URI as in `sparkcider.models.resolve`, or `"pixels"`.
        on_error: `null`: a bad image or null row gives null. `raise`: it stops the job with its reason.
        with_error: Give `struct<features: array<float>, error: string>`; error is null for a good image.
        **options: Those of `sparkcider.FeatureExtractor` (`input_size`, `normalization`, ...).

    Returns:
        The column. On Spark Connect it needs Spark >= 4.0 on both sides, unless the model is `"pixels"`.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: The file is no ONNX, or no network with one image input.
        ValueError: An option has a value that it cannot take.
        RuntimeError: There is no active Spark session.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> images = spark.createDataFrame([(None,)], "content binary")
        >>> features = image_features("content", model="pixels", with_error=True)
        >>> images.select(features.alias("f")).select("f.features", "f.error").first()
        Row(features=None, error='null image')
    """
    session = SparkSession.active()
    column, _ = features_column(session, col, model, on_error=on_error, with_error=with_error, options=dict(options))
    return column


def pca_project(
    col: Column | str,
    *,
    model: PCAModel | Pca,
    center: bool | None = None,
    whiten: bool | None = None,
    on_error: str = "null",
    element_type: str = "float",
) -> Column:
    """Projects a column of features onto principal components: k values per row.

    Args:
        col: Column of `array<float>` or `array<double>`, D values per row. For vectors use `PCAModel.transform`, or
            `vector_to_array` before and `array_to_vector` after.
        model: The fitted PCA.
        center: Subtract the mean (and divide by the scale of a standardised PCA) first. Default: as the model's own
            `transform` does: always for a `Pca`, with `standardize` or `whiten` only for a `PCAModel`.
        whiten: Divide each component by its deviation. Default: as the model's own `transform` does; a `Pca` does not.
        on_error: `null`: a null row, one with NaN or infinity or of another length gives null. `raise`: it stops.
        element_type: `float` or `double`: type of the values given back; Spark must know it before it sees the column.

    Returns:
        The column, `array<float>` or `array<double>`.

    Raises:
        ValueError: An option has a value that it cannot take.
        RuntimeError: There is no active Spark session.

    Example:
        >>> import numpy as np, pyarrow as pa
        >>> from pyspark.sql import SparkSession
        >>> from sparkcider import Moments, Pca
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> moments = Moments()
        >>> moments.update(pa.array([[0.0, 0.0], [2.0, 2.0]]))
        2
        >>> points = spark.createDataFrame([([2.0, 2.0],)], "xy array<double>")
        >>> along = pca_project("xy", model=Pca.fit(moments, k=1), element_type="double")
        >>> round(points.select(along.alias("a")).first().a[0], 3)
        1.414
    """
    elements = {"float": FloatType(), "double": DoubleType()}
    if element_type not in elements:
        raise ValueError(f"element_type must be float or double, got {element_type}")
    if isinstance(model, Pca):
        pca, own_center, own_whiten = model, True, False
    else:
        pca, own_center, own_whiten = model.pca, model.centers, model.getWhiten()
    return projected_column(
        SparkSession.active(),
        col,
        pca,
        center=own_center if center is None else center,
        whiten=own_whiten if whiten is None else whiten,
        on_error=on_error,
        element=elements[element_type],
    )

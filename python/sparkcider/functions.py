"""Spark column functions: encoded images to embeddings, embeddings to principal components."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TC002 - pandas_udf reads its functions' hints at run time
import pandas as pd  # noqa: TC002 - likewise
import pyarrow as pa  # noqa: TC002 - likewise
from pyspark import SparkFiles
from pyspark.sql import Column, SparkSession
from pyspark.sql.pandas import functions as pandas_functions
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, StringType, StructField, StructType

from sparkcider import FeatureExtractor, Pca, _worker
from sparkcider._delivery import deliver
from sparkcider._worker import ModelFile
from sparkcider.models import preplaced, resolve

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from typing_extensions import Unpack

    from sparkcider._options import ExtractorOptions
    from sparkcider.feature import PCAModel

FEATURES = ArrayType(FloatType())
FEATURES_AND_ERROR = StructType([StructField("features", FEATURES), StructField("error", StringType())])


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


def features_column(
    session: SparkSession,
    col: Column | str,
    model: str | os.PathLike[str],
    *,
    on_error: str,
    with_error: bool,
    options: dict[str, Any],
) -> tuple[Column, int]:
    """The column of `image_features`, for a given session, and D."""
    _check_on_error(on_error)
    options = {name: _hashable(value) for name, value in options.items()}
    path = resolve(model)
    extractor = FeatureExtractor(path, **options)
    reference = _model_file(session, path, extractor.checksum, options, send=not preplaced(model))

    def embed(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return _worker.embed(batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error)

    def embed_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return _worker.embed_pandas(batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error)

    returns = FEATURES_AND_ERROR if with_error else FEATURES
    return _iterator_udf(session, embed, embed_pandas, returns)(col), extractor.embedding_dim


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
        pca, own_center, own_whiten = model._pca, model._center, model.getWhiten()  # noqa: SLF001 - its face to Spark
    return projected_column(
        SparkSession.active(),
        col,
        pca,
        center=own_center if center is None else center,
        whiten=own_whiten if whiten is None else whiten,
        on_error=on_error,
        element=elements[element_type],
    )


def projected_column(
    session: SparkSession,
    col: Column | str,
    pca: Pca,
    *,
    to: str = "transform",
    on_error: str,
    element: DataType,
    **options: bool,
) -> Column:
    """The column of `pca_project`, for a given session; or of another of `Pca`'s calls, named by `to`."""
    _check_on_error(on_error)
    content = pca.to_bytes()
    file = f"sparkcider-{sha256(content).hexdigest()}.pca"
    deliver(session, file, lambda: content)

    def project(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return _worker.project(batches, file, SparkFiles.get, to=to, on_error=on_error, options=options)

    returns = element if to == "reconstruction_error" else ArrayType(element)
    return _iterator_udf(session, project, _for_pandas(project, element), returns)(col)


def scaled_column(
    session: SparkSession, col: Column | str, shift: np.ndarray, factor: np.ndarray, *, on_error: str, element: DataType
) -> Column:
    """(row - shift) * factor of each row: what `StandardScalerModel` adds."""

    def scale(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return _worker.scale(batches, shift, factor, on_error=on_error)

    return _iterator_udf(session, scale, _for_pandas(scale, element), ArrayType(element))(col)


def _for_pandas(work: Callable[..., Iterator[pa.Array]], element: DataType) -> Callable[..., Iterator[pd.Series]]:
    values = element.simpleString()

    def in_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return _worker.in_pandas(batches, values, work)

    return in_pandas


def _check_on_error(on_error: str) -> None:
    if on_error not in ("null", "raise"):
        raise ValueError(f"on_error must be null or raise, got {on_error}")


def _model_file(session: SparkSession, path: str, checksum: str, options: dict[str, Any], *, send: bool) -> ModelFile:
    name = path if Path(path).is_file() else None  # SparkFiles.get leaves an absolute path as it is
    if name is not None and send:
        name = f"sparkcider-{checksum}.onnx"
        deliver(session, name, Path(path).read_bytes)
    return ModelFile(name, checksum, tuple(sorted(options.items())))


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, (list, tuple)) else value


def _iterator_udf(session: SparkSession, arrow: Any, pandas: Any, returns: Any) -> Callable[..., Column]:
    # The server runs the function: its version counts, too, where a newer client talks to it.
    version = tuple(int(part) for part in session.version.split(".")[:2])
    arrow_udf: Any = getattr(pandas_functions, "arrow_udf", None)
    if arrow_udf is not None and version >= (4, 1):
        udf = arrow_udf(arrow, returns)
    else:
        udf = pandas_functions.pandas_udf(pandas, returns)
    # Spark calls a deterministic function again for each part of a struct and for each filter that it pushes down.
    once: Callable[..., Column] = udf.asNondeterministic()
    return once

"""Column builders: what Spark calls, and how models and fitted PCAs reach its workers."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np  # noqa: TC002 - pandas_udf reads its functions' hints at run time
import pandas as pd  # noqa: TC002 - likewise
import pyarrow as pa  # noqa: TC002 - likewise
from pyspark import SparkFiles
from pyspark.sql.pandas import functions as pandas_functions
from pyspark.sql.types import ArrayType, DataType, FloatType, StringType, StructField, StructType

from sparkcider import FeatureExtractor
from sparkcider.models import preplaced, resolve
from sparkcider.spark import worker
from sparkcider.spark.delivery import deliver
from sparkcider.spark.worker import ModelFile

if TYPE_CHECKING:
    import os
    from collections.abc import Callable

    from pyspark.sql import Column, SparkSession

    from sparkcider import Pca

FEATURES = ArrayType(FloatType())
FEATURES_AND_ERROR = StructType([StructField("features", FEATURES), StructField("error", StringType())])


def features_column(
    session: SparkSession,
    col: Column | str,
    model: str | os.PathLike[str],
    *,
    on_error: str,
    with_error: bool,
    options: dict[str, Any],
) -> tuple[Column, int]:
    """The column of `sparkcider.functions.image_features`, for a given session, and D."""
    _check_on_error(on_error)
    options = {name: _hashable(value) for name, value in options.items()}
    path = resolve(model)
    extractor = FeatureExtractor(path, **options)
    reference = _model_file(session, path, extractor.checksum, options, send=not preplaced(model))

    def embed(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return worker.embed(batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error)

    def embed_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return worker.embed_pandas(batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error)

    returns = FEATURES_AND_ERROR if with_error else FEATURES
    return _iterator_udf(session, embed, embed_pandas, returns)(col), extractor.embedding_dim


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
        return worker.project(batches, file, SparkFiles.get, to=to, on_error=on_error, options=options)

    returns = element if to == "reconstruction_error" else ArrayType(element)
    return _iterator_udf(session, project, _for_pandas(project, element), returns)(col)


def scaled_column(
    session: SparkSession, col: Column | str, shift: np.ndarray, factor: np.ndarray, *, on_error: str, element: DataType
) -> Column:
    """(row - shift) * factor of each row: what `StandardScalerModel` adds."""

    def scale(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return worker.scale(batches, shift, factor, on_error=on_error)

    return _iterator_udf(session, scale, _for_pandas(scale, element), ArrayType(element))(col)


def _for_pandas(work: Callable[..., Iterator[pa.Array]], element: DataType) -> Callable[..., Iterator[pd.Series]]:
    values = element.simpleString()

    def in_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return worker.in_pandas(batches, values, work)

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

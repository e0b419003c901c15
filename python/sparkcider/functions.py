"""Spark column functions: encoded images to embeddings, embeddings to principal components."""

from __future__ import annotations

from collections.abc import Iterator  # noqa: TC003 - pandas_udf and arrow_udf read the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd  # noqa: TC002 - likewise
import pyarrow as pa  # noqa: TC002 - likewise
from pyspark import SparkFiles
from pyspark.sql import Column, SparkSession
from pyspark.sql.pandas import functions as pandas_functions
from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType

from sparkcider import FeatureExtractor, _worker
from sparkcider._delivery import deliver
from sparkcider._worker import ModelFile

if TYPE_CHECKING:
    import os

    from sparkcider._options import ExtractorOptions, Unpack

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
        model: Path of an ONNX file on the driver, or `"pixels"`.
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
        >>> images = spark.createDataFrame([(b"no image",)], "content binary")
        >>> features = image_features("content", model="pixels", with_error=True)
        >>> images.select(features.alias("f")).select("f.features", "f.error").first()
        Row(features=None, error='unknown format: no image format recognised')
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
    if on_error not in ("null", "raise"):
        raise ValueError(f"on_error must be null or raise, got {on_error}")
    extractor = FeatureExtractor(model, **options)
    reference = _model_file(session, model, extractor.checksum, options)
    function = _embed_udf(session, reference, on_error=on_error, with_error=with_error)
    # Spark calls a deterministic function again for each part of a struct and for each filter that it pushes down.
    return function.asNondeterministic()(col), extractor.embedding_dim


def _model_file(
    session: SparkSession, model: str | os.PathLike[str], checksum: str, options: dict[str, Any]
) -> ModelFile:
    name = None
    if Path(model).is_file():
        name = f"sparkcider-{checksum}.onnx"
        deliver(session, name, Path(model).read_bytes)
    return ModelFile(name, checksum, tuple(sorted((key, _hashable(value)) for key, value in options.items())))


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, (list, tuple)) else value


def _has_arrow_udf(session: SparkSession) -> bool:
    # The server runs the function: its version counts, too, where a newer client talks to it.
    version = tuple(int(part) for part in session.version.split(".")[:2])
    return hasattr(pandas_functions, "arrow_udf") and version >= (4, 1)


def _embed_udf(session: SparkSession, model: ModelFile, *, on_error: str, with_error: bool) -> Any:
    returns = FEATURES_AND_ERROR if with_error else FEATURES

    def embed(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return _worker.embed(batches, model, SparkFiles.get, on_error=on_error, with_error=with_error)

    def embed_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return _worker.embed_pandas(batches, model, SparkFiles.get, on_error=on_error, with_error=with_error)

    if _has_arrow_udf(session):
        return pandas_functions.arrow_udf(embed, returns)  # type: ignore[call-overload] # returns varies
    return pandas_functions.pandas_udf(embed_pandas, returns)  # type: ignore[call-overload] # returns varies

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
from sparkcider.models import one_file, preplaced, resolve
from sparkcider.spark import worker
from sparkcider.spark.delivery import deliver
from sparkcider.spark.worker import OUTCOME, ModelFile
from sparkcider.spark.worker_python import ARROW, PANDAS, check_worker_python
from sparkcider.storage.fetch import IN_FLIGHT, check_in_flight

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence

    from pyspark.sql import Column, SparkSession

    from sparkcider import Pca
    from sparkcider.pca.rows import RowRules

EMBEDDING = "image_features"
"""The name of the function in Spark's plans."""

embedding_names = {EMBEDDING}
"""The names of the functions that embed, where `fit` looks for them in a plan: SQL's have names of the user's."""

FEATURES = ArrayType(FloatType())


def features_type(layers: Sequence[str] | None) -> DataType:
    """The type of the features of an image: an array, or a struct of one for each of several layers."""
    return FEATURES if layers is None else StructType([StructField(name, FEATURES) for name in layers])


def layers_of(layer: Any) -> list[str] | None:
    """The names of several layers; None where `layer` is one name or left out."""
    return None if layer is None or isinstance(layer, str) else list(layer)


def features_column(
    session: SparkSession, col: Column | str, model: str | os.PathLike[str], **how: Any
) -> tuple[Column, int]:
    """The column of `sparkcider.functions.image_features` as `features_function` makes it, and D."""
    function, dimension = features_function(session, model, **how)
    return function(col), dimension


def features_function(
    session: SparkSession,
    model: str | os.PathLike[str],
    *,
    on_error: str,
    with_error: bool,
    options: dict[str, Any],
    in_flight: int = IN_FLIGHT,
    many: bool = False,
) -> tuple[Any, int]:
    """The function of columns that embeds, for a given session, and D; or that takes `many` images per row."""
    check_on_error(on_error)
    check_in_flight(in_flight)
    reference, dimension = model_reference(session, model, options)

    def embed(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return worker.embed(
            batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error, in_flight=in_flight, many=many
        )

    def embed_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return worker.embed_pandas(
            batches, reference, SparkFiles.get, on_error=on_error, with_error=with_error, in_flight=in_flight, many=many
        )

    embed.__name__ = embed_pandas.__name__ = EMBEDDING
    fields = [features_type(layers_of(options.get("layer"))), StringType(), StringType()]
    if many:
        fields = [ArrayType(field) for field in fields]
    outcome = StructType([StructField(name, field) for name, field in zip(OUTCOME, fields)])
    return _iterator_udf(session, embed, embed_pandas, outcome if with_error else fields[0]), dimension


def model_reference(
    session: SparkSession, model: str | os.PathLike[str], options: dict[str, Any]
) -> tuple[ModelFile, int]:
    """Opens the model here, sends it to the executors, and gives what a task needs to open it there, and D."""
    options = {name: _hashable(value) for name, value in options.items()}
    path = resolve(model)
    extractor = FeatureExtractor(path, **options)
    options = dict(extractor.resolved_options)  # on executors no description is beside the model
    reference = _model_file(session, path, extractor.checksum, options, send=not preplaced(model))
    return reference, extractor.embedding_dim


def projected_column(
    session: SparkSession,
    col: Column | str,
    pca: Pca,
    *,
    to: str = "transform",
    rules: RowRules,
    element: DataType,
    **options: bool,
) -> Column:
    """The column of `pca_project`, for a given session; or of another of `Pca`'s calls, named by `to`."""
    content = pca.to_bytes()
    file = f"sparkcider-{sha256(content).hexdigest()}.pca"
    deliver(session, file, lambda: content)

    def project(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return worker.project(batches, file, SparkFiles.get, to=to, rules=rules, options=options)

    returns = element if to == "reconstruction_error" else ArrayType(element)
    column: Column = _iterator_udf(session, project, _for_pandas(project, element), returns)(col)
    return column


def scaled_column(
    session: SparkSession,
    col: Column | str,
    shift: np.ndarray,
    factor: np.ndarray,
    *,
    rules: RowRules,
    element: DataType,
) -> Column:
    """(row - shift) * factor of each row: what `StandardScalerModel` adds."""

    def scale(batches: Iterator[pa.Array]) -> Iterator[pa.Array]:
        return worker.scale(batches, shift, factor, rules=rules)

    column: Column = _iterator_udf(session, scale, _for_pandas(scale, element), ArrayType(element))(col)
    return column


def _for_pandas(work: Callable[..., Iterator[pa.Array]], element: DataType) -> Callable[..., Iterator[pd.Series]]:
    values = element.simpleString()

    def in_pandas(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        return worker.in_pandas(batches, values, work)

    return in_pandas


def check_on_error(on_error: str) -> None:
    """Raises ValueError for a word that `on_error` does not take."""
    if on_error not in ("null", "raise"):
        raise ValueError(f"on_error must be null or raise, got {on_error}")


def _model_file(session: SparkSession, path: str, checksum: str, options: dict[str, Any], *, send: bool) -> ModelFile:
    name = path if Path(path).is_file() else None  # SparkFiles.get leaves an absolute path as it is
    if name is not None and send:
        name = f"sparkcider-{checksum}.onnx"
        deliver(session, name, lambda: one_file(path).read_bytes())
    return ModelFile(name, checksum, tuple(sorted(options.items())))


def _hashable(value: Any) -> Any:
    return tuple(_hashable(item) for item in value) if isinstance(value, (list, tuple)) else value


def _iterator_udf(session: SparkSession, arrow: Any, pandas: Any, returns: Any) -> Any:
    # The server runs the function: its version counts, too, where a newer client talks to it.
    version = tuple(int(part) for part in session.version.split(".")[:2])
    arrow_udf: Any = getattr(pandas_functions, "arrow_udf", None)
    is_arrow = arrow_udf is not None and version >= (4, 1)
    check_worker_python(session, ARROW if is_arrow else PANDAS)
    udf: Any = arrow_udf(arrow, returns) if is_arrow else pandas_functions.pandas_udf(pandas, returns)
    # Spark calls a deterministic function again for each part of a struct and for each filter that it pushes down.
    return udf.asNondeterministic()

"""StandardScaler in the words of `pyspark.ml.feature.StandardScaler`; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml import Estimator, Model
from pyspark.ml.linalg import DenseVector
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import StructField

from sparkcider.spark.columns import (
    as_array,
    element_of,
    features_type,
    known_width,
    to_input_type,
    width_metadata,
    with_fields,
)
from sparkcider.spark.fit import no_rows
from sparkcider.spark.moments import collect_sketch, first_width
from sparkcider.spark.params import ScalerParams
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.udf import scaled_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self


class StandardScaler(ScalerParams, Estimator["StandardScalerModel"], MLReadable["StandardScaler"], MLWritable):
    """Features of mean 0 and deviation 1, fitted in one pass: `pyspark.ml.feature.StandardScaler`.

    The column may be `array<float>`, `array<double>` or a vector; the model gives back the kind that it reads. Before a
    PCA it is not needed: `PCA(standardize=True)` does both in one pass.

    Args:
        inputCol: Column of features, D per row.
        outputCol: Column that the model adds.
        withMean: Take the mean off. Default False, as Spark's.
        withStd: Divide by the sample standard deviation (N - 1); a constant feature becomes 0. Default True.
        handleInvalid: As in `PCA`; its default, `error`, stops at a NaN, where Spark's class gives NaN everywhere.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> points = spark.createDataFrame([([0.0, 3.0],), ([2.0, 3.0],), ([4.0, 3.0],)], "xy array<double>")
        >>> model = StandardScaler(withMean=True, inputCol="xy", outputCol="z").fit(points)
        >>> [[round(z, 6) for z in row.z] for row in model.transform(points).collect()]
        [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """

    def _fit(self, dataset: DataFrame) -> StandardScalerModel:
        self._check_columns()
        name = self.getInputCol()
        features = dataset.select(as_array(dataset, name))
        width = known_width(dataset.schema, name) or first_width(features)
        skip_invalid = self.getHandleInvalid() != "error"
        found = None if width is None else collect_sketch(features, width, None, skip_invalid=skip_invalid)
        if found is None or found.n_samples == 0:
            raise no_rows(name, features.count() if found is None else found.n_invalid)
        model = StandardScalerModel._fitted(found.mean, np.sqrt(found.variance))  # noqa: SLF001 - the estimator makes its model
        return self._copyValues(model._resetUid(self.uid))  # noqa: SLF001 - as pyspark.ml's estimators do

    def write(self) -> StageWriter:
        """A writer of this stage's Params."""
        return StageWriter(self)

    @classmethod
    def read(cls) -> StageReader[StandardScaler]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, _arrays: dict[str, bytes]) -> Self:
        return cls()


class StandardScalerModel(ScalerParams, Model, MLReadable["StandardScalerModel"], MLWritable):
    """A fitted scaler; `StandardScaler.fit` makes it."""

    _mean: np.ndarray
    _std: np.ndarray

    @classmethod
    def _fitted(cls, mean: np.ndarray, std: np.ndarray) -> Self:
        model = cls()
        model._mean, model._std = mean, std
        return model

    @property
    def mean(self) -> DenseVector:
        """Mean per feature: (D)."""
        return DenseVector(self._mean)

    @property
    def std(self) -> DenseVector:
        """Sample standard deviation per feature: (D)."""
        return DenseVector(self._std)

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol is no column of features.
            ValueError: There is no inputCol, outputCol exists already, or the two are the same.
        """
        self._check_columns()
        return with_fields(schema, [StructField(self.getOutputCol(), features_type(schema, self.getInputCol()))])

    def _transform(self, dataset: DataFrame) -> DataFrame:
        output = self.getOutputCol()
        kind = self.transformSchema(dataset.schema)[output].dataType
        ones = np.ones_like(self._std)
        column = scaled_column(
            dataset.sparkSession,
            as_array(dataset, self.getInputCol()),
            self._mean if self.getWithMean() else np.zeros_like(self._mean),
            np.divide(1.0, self._std, out=np.zeros_like(ones), where=self._std > 0) if self.getWithStd() else ones,
            on_error="raise" if self.getHandleInvalid() == "error" else "null",
            element=element_of(kind),
        )
        dataset = dataset.withColumn(output, column)
        dataset = dataset.withColumn(output, to_input_type(kind, F.col(output)))
        dataset = dataset.withMetadata(output, width_metadata(len(self._mean)))
        return dataset.where(F.col(output).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

    def write(self) -> StageWriter:
        """A writer of this model: Params, means and deviations."""
        return StageWriter(self, {"mean": self._mean.tobytes(), "std": self._std.tobytes()})

    @classmethod
    def read(cls) -> StageReader[StandardScalerModel]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, bytes]) -> Self:
        return cls._fitted(np.frombuffer(arrays["mean"]), np.frombuffer(arrays["std"]))

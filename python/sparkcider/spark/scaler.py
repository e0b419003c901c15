"""StandardScaler in the words of `pyspark.ml.feature.StandardScaler`; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.linalg import DenseVector
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import StructField

from sparkcider.arguments import names_checked
from sparkcider.spark.columns import add, as_array, element_of, find_features, known_width, quoted, with_fields
from sparkcider.spark.feature_params import ScalerParams
from sparkcider.spark.moments import collect_sketch
from sparkcider.spark.params import set_params_like
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.plans import warn_if_embedded_again
from sparkcider.spark.udf import scaled_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self


@names_checked
class StandardScaler(ScalerParams, Estimator["StandardScalerModel"], MLReadable["StandardScaler"], MLWritable):
    """Features of mean 0 and deviation 1, fitted in one pass: `pyspark.ml.feature.StandardScaler`.

    The column may be `array<float>`, `array<double>` or a vector; the model gives back the kind that it reads. Before a
    PCA it is not needed: `PCA(standardize=True)` does both in one pass. As for `PCA`, features of `ImageFeaturizer` are
    to be written or cached before.

    Args:
        inputCol: Column of features, D per row.
        outputCol: Column that the model adds.
        withMean: Take the mean off. Default False, as Spark's.
        withStd: Divide by the sample standard deviation (N - 1); a constant feature becomes 0. Default True.
        handleInvalid: As in `PCA`: null rows stay null, are left out or stop. A NaN always stops, where Spark's class
            gives NaN everywhere.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> points = spark.createDataFrame([([0.0, 3.0],), ([2.0, 3.0],), ([4.0, 3.0],)], "xy array<double>")
        >>> model = StandardScaler(withMean=True, inputCol="xy", outputCol="z").fit(points)
        >>> [[round(z, 6) for z in row.z] for row in model.transform(points).collect()]
        [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        withMean: bool | None = None,
        withStd: bool | None = None,
        handleInvalid: str | None = None,
    ) -> None:
        super().__init__()
        self._set_given(self._input_kwargs)

    setParams = set_params_like(__init__)

    def _fit(self, dataset: DataFrame) -> StandardScalerModel:
        self._check_params()
        name = self.getInputCol()
        column = find_features(dataset.schema, name, type(self).__name__)
        width = known_width(column.field)
        rules = self._rules(name, width)
        features = dataset.select(as_array(column))
        warn_if_embedded_again(features, "StandardScaler.fit")
        summed = collect_sketch(features, width, None, rules)
        found = summed.summary
        if found is None or found.n_samples == 0:
            raise rules.no_rows(summed.tally.n_null)
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
            TypeError: inputCol is not a column of features.
            ValueError: There is no inputCol, outputCol exists already, the two are the same, or rows are known not to
                have D values.
        """
        stage, name = type(self).__name__, self.getInputCol()
        self._check_params()
        field = find_features(schema, name, stage).field
        known = known_width(field)
        if known is not None and known != len(self._mean):
            raise ValueError(f"{stage}: column {name}: expected {len(self._mean)} values per row, got {known}")
        return with_fields(schema, {"outputCol": StructField(self.getOutputCol(), field.dataType)}, stage)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output = self.getInputCol(), self.getOutputCol()
        self.transformSchema(dataset.schema)
        found = find_features(dataset.schema, name, type(self).__name__)
        kind, ones = found.field.dataType, np.ones_like(self._std)
        column = scaled_column(
            dataset.sparkSession,
            as_array(found),
            self._mean if self.getWithMean() else np.zeros_like(self._mean),
            np.divide(1.0, self._std, out=np.zeros_like(ones), where=self._std > 0) if self.getWithStd() else ones,
            rules=self._rules(name),
            element=element_of(kind),
        )
        dataset = add(dataset, output, column, kind, len(self._mean))
        return dataset.where(F.col(quoted(output)).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

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

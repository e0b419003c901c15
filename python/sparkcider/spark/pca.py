"""PCA in the words of `pyspark.ml.feature.PCA`; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark import StorageLevel
from pyspark.ml import Estimator, Model
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import DoubleType, StructField

from sparkcider import Moments, Pca, PcaError
from sparkcider.spark.columns import (
    as_array,
    element_of,
    features_type,
    known_width,
    to_input_type,
    width_metadata,
    with_fields,
)
from sparkcider.spark.fit import Fitted, fit, solved
from sparkcider.spark.moments import collect_moments
from sparkcider.spark.params import PCAParams
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.udf import projected_column

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self

NOT_STORED = StorageLevel(False, False, False, False)  # noqa: FBT003 - as pyspark.ml spells it


class PCA(PCAParams, Estimator["PCAModel"], MLReadable["PCA"], MLWritable):
    """Principal components of a column of features, fitted in one pass: `pyspark.ml.feature.PCA`, and more.

    The column may be `array<float>`, `array<double>` or a vector; the model gives back the kind that it reads.

    Args:
        inputCol: Column of features, D per row.
        outputCol: Column of k components per row that the model adds.
        k: Number of components, at most D; or give `variance`.
        variance: Share of the variance in (0, 1]: the fewest components that hold it.
        standardize: Scale each feature to mean 0 and deviation 1 first, here and in `transform`. Default False.
        whiten: In `transform`, take the mean off and divide each component by its deviation. Default False.
        solver: `covariance` (D <= 16,384), `gram` (few rows), `randomized` (any D, a few passes), or `auto` (default):
            covariance up to D = 8,192, then gram for N <= 4,096 and 256 MB of rows in f64, then randomized.
        maxK: Most components that `variance` takes with the randomized solver. Default 256.
        reconstructionErrorCol: Column of double that the model adds: Euclidean distance of the centred (standardised)
            row to its part in the components; large for an outlier. Default: none.
        handleInvalid: What happens to null rows, rows with NaN or infinity and rows of another length. `error`
            (default) stops; `skip` leaves them out; `keep` leaves them out of the fit, and `transform` gives null.
            The length that counts is the one in the column's metadata, else the first row's.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> points = spark.createDataFrame([([0.0, 0.0],), ([1.0, 1.0],), ([2.0, 2.0],)], "xy array<double>")
        >>> model = PCA(k=1, inputCol="xy", outputCol="along").fit(points)
        >>> [round(float(share), 6) for share in model.explainedVariance]
        [1.0]
        >>> [round(row.along[0], 3) for row in model.transform(points).collect()]
        [0.0, 1.414, 2.828]
    """

    def setK(self, value: int) -> Self:
        """Asks for a number of components."""
        return self._set(k=value)

    def setVariance(self, value: float) -> Self:
        """Asks for a share of the variance."""
        return self._set(variance=value)

    def setStandardize(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether features are standardised first."""
        return self._set(standardize=value)

    def setWhiten(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether components are scaled to deviation 1."""
        return self._set(whiten=value)

    def setSolver(self, value: str) -> Self:
        """Chooses auto, covariance, gram or randomized."""
        return self._set(solver=value)

    def setMaxK(self, value: int) -> Self:
        """Bounds the components that `variance` takes with the randomized solver."""
        return self._set(maxK=value)

    def setReconstructionErrorCol(self, value: str) -> Self:
        """Names the column of reconstruction errors to add."""
        return self._set(reconstructionErrorCol=value)

    def _fit(self, dataset: DataFrame) -> PCAModel:
        self._check_columns()
        name = self.getInputCol()
        fitted = fit(
            dataset.select(as_array(dataset, name)),
            name,
            known_width(dataset.schema, name),
            self._spec(),
            cached=dataset.storageLevel != NOT_STORED,
        )
        model = PCAModel._fitted(fitted)  # noqa: SLF001 - the estimator makes its model
        return self._copyValues(model._resetUid(self.uid))  # noqa: SLF001 - as pyspark.ml's estimators do

    def write(self) -> StageWriter:
        """A writer of this stage's Params."""
        return StageWriter(self)

    @classmethod
    def read(cls) -> StageReader[PCA]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, _arrays: dict[str, bytes]) -> Self:
        return cls()


class PCAModel(PCAParams, Model, MLReadable["PCAModel"], MLWritable):
    """A fitted PCA; `PCA.fit` makes it.

    `transform` multiplies rows by `pc` as they are, as Spark's own does; with `standardize`, it subtracts the mean and
    divides by the deviation first. Saved, it keeps its components and the moments that they came from.
    """

    pca: Pca
    """The fitted PCA itself; it works without Spark."""

    _moments: Moments | None
    _n_invalid: int

    @classmethod
    def _fitted(cls, fitted: Fitted) -> Self:
        model = cls()
        model.pca, model._moments, model._n_invalid = fitted
        return model

    @property
    def pc(self) -> DenseMatrix:
        """Components as columns: (D, k)."""
        rows, columns = self.pca.components_.shape
        # A DenseMatrix lies column by column, so as components lie row by row.
        return DenseMatrix(columns, rows, np.ascontiguousarray(self.pca.components_).ravel())

    @property
    def explainedVariance(self) -> DenseVector:
        """Share of the variance per component: (k)."""
        return DenseVector(self.pca.explained_variance_ratio_)

    @property
    def mean(self) -> DenseVector:
        """Mean per feature: (D)."""
        return DenseVector(self.pca.mean_)

    @property
    def scale(self) -> DenseVector | None:
        """Sample standard deviation per feature: (D), 0 for a constant one; None without `standardize`."""
        return None if self.pca.scale_ is None else DenseVector(self.pca.scale_)

    @property
    def singularValues(self) -> DenseVector:
        """Singular values of the centred (standardised) rows: (k)."""
        return DenseVector(self.pca.singular_values_)

    @property
    def noiseVariance(self) -> float:
        """Mean of the min(N, D) - k variances left out, as scikit-learn's `noise_variance_`."""
        return self.pca.noise_variance_

    @property
    def fittedSolver(self) -> str:
        """The solver that found the components: `covariance`, `gram` or `randomized`."""
        return self.pca.solver_

    @property
    def numRows(self) -> int:
        """Rows that the fit counted."""
        return self.pca.n_samples_

    @property
    def numInvalid(self) -> int:
        """Rows that the fit left out."""
        return self._n_invalid

    def update(self, dataset: DataFrame) -> PCAModel:
        """The PCA of the rows that this model was fitted to and of new ones together; reads only the new ones.

        It is the PCA that a fit to all of them would give, up to rounding. This model stays as it is.

        Args:
            dataset: The new rows, in inputCol.

        Raises:
            PcaError: The randomized solver made this model, which keeps no moments; or a new row is invalid.
        """
        if self._moments is None:
            raise PcaError("a model of the randomized solver keeps no moments to add to: fit to all rows again")
        name = self.getInputCol()
        spec = self._spec()
        added = collect_moments(
            dataset.select(as_array(dataset, name)), self.pca.n_features_, skip_invalid=spec.skip_invalid
        )
        moments = Moments.from_bytes(self._moments.to_bytes())
        moments.merge(added)
        model = self._fitted(solved(moments, name, spec._replace(solver="auto")))
        return self._copyValues(model._resetUid(self.uid))  # noqa: SLF001 - as the estimator does

    def inverse_transform(self, dataset: DataFrame, outputCol: str) -> DataFrame:
        """Takes components back to features: adds a column of D values; what the components do not hold is lost.

        Args:
            dataset: Rows with this model's outputCol, as `transform` gives them.
            outputCol: Name of the column to add, of the kind of outputCol.

        Raises:
            TypeError: outputCol holds no components.
            ValueError: There is no such column, or the one to add exists.
        """
        given = self.getOutputCol()
        kind = features_type(dataset.schema, given)
        with_fields(dataset.schema, [StructField(outputCol, kind)])
        column = self._column(dataset, given, to="inverse_transform", center=self.centers, whiten=self.getWhiten())
        dataset = dataset.withColumn(outputCol, column)
        dataset = dataset.withColumn(outputCol, to_input_type(kind, F.col(outputCol)))
        return dataset.withMetadata(outputCol, width_metadata(self.pca.n_features_))

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol is no column of features.
            ValueError: There is no inputCol, outputCol or reconstructionErrorCol exists already, two of them are the
                same, or rows are known not to have D values.
        """
        self._check_columns()
        kind = features_type(schema, self.getInputCol())
        known = known_width(schema, self.getInputCol())
        if known is not None and known != self.pca.n_features_:
            raise ValueError(
                f"column {self.getInputCol()}: expected {self.pca.n_features_} values per row, got {known}"
            )
        added = [StructField(self.getOutputCol(), kind)]
        if self.isSet(self.reconstructionErrorCol):
            added.append(StructField(self.getOrDefault(self.reconstructionErrorCol), DoubleType()))
        return with_fields(schema, added)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output = self.getInputCol(), self.getOutputCol()
        kind = self.transformSchema(dataset.schema)[output].dataType
        columns = {output: self._column(dataset, name, to="transform", center=self.centers, whiten=self.getWhiten())}
        if self.isSet(self.reconstructionErrorCol):
            error = self._column(dataset, name, to="reconstruction_error")
            columns[self.getOrDefault(self.reconstructionErrorCol)] = error.cast("double")
        dataset = dataset.withColumns(columns)
        dataset = dataset.withColumn(output, to_input_type(kind, F.col(output)))
        dataset = dataset.withMetadata(output, width_metadata(self.pca.n_components_))
        return dataset.where(F.col(output).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

    @property
    def centers(self) -> bool:
        """Whether `transform` takes the mean off: with `standardize` or `whiten` only, as Spark's PCA does not."""
        # a scale without a centre, or deviations around something else, would mean nothing
        return self.getStandardize() or self.getWhiten()

    def _column(self, dataset: DataFrame, name: str, *, to: str, **options: bool) -> Column:
        return projected_column(
            dataset.sparkSession,
            as_array(dataset, name),
            self.pca,
            to=to,
            on_error="raise" if self.getHandleInvalid() == "error" else "null",
            element=element_of(features_type(dataset.schema, name)),
            **options,
        )

    def write(self) -> StageWriter:
        """A writer of this model: Params, components and moments."""
        arrays = {"pca": self.pca.to_bytes(), "invalid": str(self._n_invalid).encode()}
        return StageWriter(self, arrays if self._moments is None else {**arrays, "moments": self._moments.to_bytes()})

    @classmethod
    def read(cls) -> StageReader[PCAModel]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, bytes]) -> Self:
        moments = Moments.from_bytes(arrays["moments"]) if "moments" in arrays else None
        return cls._fitted(Fitted(Pca.from_bytes(arrays["pca"]), moments, int(arrays["invalid"])))

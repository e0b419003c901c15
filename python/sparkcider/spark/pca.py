"""PCA in the words of `pyspark.ml.feature.PCA`; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import StorageLevel, keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.linalg import DenseMatrix, DenseVector
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import DoubleType, StructField

from sparkcider import Moments, Pca, PcaError
from sparkcider.arguments import names_checked
from sparkcider.pca.fit import Fitted, solved
from sparkcider.pca.repr_html import pca_html
from sparkcider.pca.saved_model import from_arrays, to_arrays
from sparkcider.spark.columns import Found, add, as_array, element_of, find_features, known_width, quoted, with_fields
from sparkcider.spark.feature_params import PCAParams
from sparkcider.spark.fit import fit
from sparkcider.spark.moments import collect_moments
from sparkcider.spark.params import set_params_like
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.plans import warn_if_embedded_again
from sparkcider.spark.udf import projected_column

if TYPE_CHECKING:
    from pyspark.ml.param import Param
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self

    from sparkcider import _native

NOT_STORED = StorageLevel(False, False, False, False)  # noqa: FBT003 - as pyspark.ml spells it


@names_checked
class PCA(PCAParams, Estimator["PCAModel"], MLReadable["PCA"], MLWritable):
    """Principal components of a column of features, fitted in one pass: `pyspark.ml.feature.PCA`, and more.

    The column may be `array<float>`, `array<double>` or a vector; the model gives back the kind that it reads.

    Features of `ImageFeaturizer` are to be written or cached before: each use of them embeds every image, and `fit` and
    `transform` are two. On classic Spark `fit` warns; on Spark Connect it cannot see where the features come from.

    Args:
        inputCol: Column of features, D per row.
        outputCol: Column of k components per row that the model adds.
        k: Number of components, at most D; or give `variance`.
        variance: Share of the variance in (0, 1]: the fewest components that hold it.
        standardize: Scale each feature to mean 0 and deviation 1 first, here and in `transform`. Default False.
        center: In `transform`, take the mean off first, as `sparkcider.Pca.transform` and scikit-learn do. Default
            False, as Spark's PCA does not. With `standardize` or `whiten` the mean is always taken off. The components
            are those of the centred rows in any case.
        whiten: In `transform`, take the mean off and divide each component by its deviation. Default False.
        solver: `covariance` (D <= 16,384), `gram` (few rows), `randomized` (any D, a few passes), or `auto` (default):
            covariance up to D = 8,192, then gram for N <= 4,096 and 256 MB of rows in f64, then randomized.
        maxK: Most components that `variance` takes with the randomized solver. Default 256.
        reconstructionErrorCol: Column of double that the model adds: Euclidean distance of the centred (standardised)
            row to its part in the components; large for an outlier. Default: none.
        handleInvalid: What becomes of null rows, those of bad images. `keep` (default) leaves them out of the fit,
            which counts them, and `transform` gives null; `skip` leaves them out of both; `error` stops.

    Rows with a NaN, an infinity or a null among their values and rows of another length are bugs: a PcaError names the
    column and how many there are. The length that counts is the one in the column's metadata, else that of most rows.

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

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        k: int | None = None,
        variance: float | None = None,
        standardize: bool | None = None,
        center: bool | None = None,
        whiten: bool | None = None,
        solver: str | None = None,
        maxK: int | None = None,
        reconstructionErrorCol: str | None = None,
        handleInvalid: str | None = None,
    ) -> None:
        super().__init__()
        self._set_given(self._input_kwargs)

    setParams = set_params_like(__init__)

    def setK(self, value: int) -> Self:
        """Asks for a number of components."""
        return self._set(k=value)

    def setVariance(self, value: float) -> Self:
        """Asks for a share of the variance."""
        return self._set(variance=value)

    def setStandardize(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether features are standardised first."""
        return self._set(standardize=value)

    def setSolver(self, value: str) -> Self:
        """Chooses auto, covariance, gram or randomized."""
        return self._set(solver=value)

    def setMaxK(self, value: int) -> Self:
        """Bounds the components that `variance` takes with the randomized solver."""
        return self._set(maxK=value)

    def _fit(self, dataset: DataFrame) -> PCAModel:
        self._check_params()
        name, spec = self.getInputCol(), self._spec()
        found = find_features(dataset.schema, name, type(self).__name__)
        width = known_width(found.field)
        cached = dataset.storageLevel != NOT_STORED
        features = dataset.select(as_array(found))
        warn_if_embedded_again(features, "PCA.fit")
        fitted = fit(features, self._rules(name, width), width, spec, cached=cached)
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

    `transform` multiplies rows by `pc` as they are, as Spark's own does. With `center` it takes the mean off, with
    `standardize` it takes the mean off and divides by the deviation. `center` and `whiten` may be set on the fitted
    model, too; `standardize` may not, because the components are of standardised features or of others. Saved, it keeps
    its components and the moments that they came from.
    """

    _solved: _native.Pca
    _moments: Moments | None
    _n_invalid: int

    @classmethod
    def _fitted(cls, fitted: Fitted) -> Self:
        model = cls()
        model._solved, model._moments, model._n_invalid = fitted
        return model

    def _repr_html_(self) -> str:
        """What notebooks show: sizes, and the share of the variance by component."""
        return pca_html("PCAModel", self._solved)

    def getK(self) -> int:
        """Gives the number of components, whether k or variance was requested."""
        return self._solved.n_components_

    def getStandardize(self) -> bool:
        """Says whether the fit standardised features, and `transform` does.

        Raises:
            ValueError: The Param was changed since.
        """
        fitted = self._solved.scale_ is not None
        if super().getStandardize() != fitted:
            raise ValueError(
                f"{type(self).__name__}: standardize is {fitted} since the fit and cannot be {not fitted}: "
                f"fit PCA(standardize={not fitted}) instead"
            )
        return fitted

    def set(self, param: Param[Any], value: Any) -> None:
        """Sets a Param.

        Raises:
            ValueError: It is `standardize`, and another value than the fit's.
        """
        super().set(param, value)
        if param.name == "standardize":
            self.getStandardize()

    def _set(self, **kwargs: Any) -> Self:
        super()._set(**kwargs)
        if "standardize" in kwargs:
            self.getStandardize()
        return self

    @property
    def pca(self) -> Pca:
        """The fitted PCA itself, which works without Spark; it centres and whitens as `transform` does."""
        return Pca.of(self._solved, center=self.centers, whiten=self.getWhiten(), n_invalid=self._n_invalid)

    @property
    def pc(self) -> DenseMatrix:
        """Components as columns: (D, k)."""
        rows, columns = self._solved.components_.shape
        # A DenseMatrix is stored column by column: the components row by row.
        return DenseMatrix(columns, rows, np.ascontiguousarray(self._solved.components_).ravel())

    @property
    def explainedVariance(self) -> DenseVector:
        """Share of the variance per component: (k)."""
        return DenseVector(self._solved.explained_variance_ratio_)

    @property
    def mean(self) -> DenseVector:
        """Mean per feature: (D)."""
        return DenseVector(self._solved.mean_)

    @property
    def scale(self) -> DenseVector | None:
        """Sample standard deviation per feature: (D), 0 for a constant one; None without `standardize`."""
        return None if self._solved.scale_ is None else DenseVector(self._solved.scale_)

    @property
    def singularValues(self) -> DenseVector:
        """Singular values of the centred (standardised) rows: (k)."""
        return DenseVector(self._solved.singular_values_)

    @property
    def noiseVariance(self) -> float:
        """Mean of the min(N, D) - k variances left out, as scikit-learn's `noise_variance_`."""
        return self._solved.noise_variance_

    @property
    def fittedSolver(self) -> str:
        """The solver that found the components: `covariance`, `gram` or `randomized`."""
        return self._solved.solver_

    @property
    def numRows(self) -> int:
        """Rows that the fit counted."""
        return self._solved.n_samples_

    @property
    def numInvalid(self) -> int:
        """Null rows, which the fit left out."""
        return self._n_invalid

    def update(self, dataset: DataFrame) -> PCAModel:
        """The PCA of the rows that this model was fitted to and of new ones together; reads only the new ones.

        It is the PCA that a fit to all of them would give, up to rounding. This model stays as it is.

        Args:
            dataset: The new rows, in inputCol.

        Raises:
            PcaError: The randomized solver made this model, which keeps no moments; or a new row is wrong.
        """
        if self._moments is None:
            raise PcaError("a model of the randomized solver keeps no moments to add to: fit to all rows again")
        name, spec, width = self.getInputCol(), self._spec(), self._solved.n_features_
        rules = self._rules(name, width)
        found = find_features(dataset.schema, name, rules.stage)
        features = dataset.select(as_array(found))
        warn_if_embedded_again(features, "PCAModel.update")
        summed = collect_moments(features, width, rules)
        moments = Moments.from_bytes(self._moments.to_bytes())
        if summed.summary is not None:
            moments.merge(summed.summary)
        summed.summary = moments
        summed.tally.n_null += self._n_invalid
        model = self._fitted(solved(summed, rules, spec._replace(solver="auto")))
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
        given, stage = self.getOutputCol(), type(self).__name__
        found = find_features(dataset.schema, given, stage)
        kind = found.field.dataType
        with_fields(dataset.schema, {"outputCol": StructField(outputCol, kind)}, stage)
        column = self._column(
            dataset, found, given, to="inverse_transform", center=self.centers, whiten=self.getWhiten()
        )
        return add(dataset, outputCol, column, kind, self._solved.n_features_)

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol is not a column of features.
            ValueError: There is no inputCol, outputCol or reconstructionErrorCol exists already, two of them are the
                same, or rows are known not to have D values.
        """
        stage, name = type(self).__name__, self.getInputCol()
        self._check_params()
        field = find_features(schema, name, stage).field
        known = known_width(field)
        if known is not None and known != self._solved.n_features_:
            raise ValueError(f"{stage}: column {name}: expected {self._solved.n_features_} values per row, got {known}")
        added = {"outputCol": StructField(self.getOutputCol(), field.dataType)}
        error = self.getReconstructionErrorCol()
        if error is not None:
            added["reconstructionErrorCol"] = StructField(error, DoubleType())
        return with_fields(schema, added, stage)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        name, output, error = self.getInputCol(), self.getOutputCol(), self.getReconstructionErrorCol()
        self.transformSchema(dataset.schema)
        found = find_features(dataset.schema, name, type(self).__name__)
        projected = self._column(dataset, found, name, to="transform", center=self.centers, whiten=self.getWhiten())
        if error is not None:
            distance = self._column(dataset, found, name, to="reconstruction_error").cast("double")
            # both in one step: one pass of the rows through Python
            dataset = dataset.withColumns({output: projected, error: distance})
            projected = F.col(quoted(output))
        dataset = add(dataset, output, projected, found.field.dataType, self._solved.n_components_)
        return dataset.where(F.col(quoted(output)).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

    @property
    def centers(self) -> bool:
        """Whether `transform` takes the mean off: with `center`, `standardize` or `whiten`, as Spark's PCA does not."""
        # a scale without a centre, or deviations around something else, would mean nothing
        return self.getCenter() or self.getStandardize() or self.getWhiten()

    def _column(self, dataset: DataFrame, found: Found, name: str, *, to: str, **options: bool) -> Column:
        return projected_column(
            dataset.sparkSession,
            as_array(found),
            self.pca,
            to=to,
            rules=self._rules(name),
            element=element_of(found.field.dataType),
            **options,
        )

    def write(self) -> StageWriter:
        """A writer of this model: Params, components and moments."""
        return StageWriter(self, to_arrays(Fitted(self._solved, self._moments, self._n_invalid)))

    @classmethod
    def read(cls) -> StageReader[PCAModel]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, bytes]) -> Self:
        return cls._fitted(from_arrays(arrays))

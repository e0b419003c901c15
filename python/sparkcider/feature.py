"""pyspark.ml stages: ImageFeaturizer, and PCA in the words of `pyspark.ml.feature.PCA`.

from sparkcider.feature import PCA   # in place of pyspark.ml.feature
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from pyspark.ml import Estimator, Model, Transformer
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import DenseMatrix, DenseVector, VectorUDT
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import ArrayType, BinaryType, DataType, DoubleType, FloatType, StringType, StructField

from sparkcider import Moments, Pca, PcaError
from sparkcider._moments import collect_moments
from sparkcider._persistence import StageReader, StageWriter
from sparkcider.functions import FEATURES, features_column, projected_column
from sparkcider.params import ExtractorParams, PCAParams

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self


class ImageFeaturizer(ExtractorParams, Transformer, MLReadable["ImageFeaturizer"], MLWritable):
    """Embeds a `binary` column of encoded images: adds `array<float>` of D values; D is in the column's metadata.

    The model is opened on the driver when `transform` is called, so that a bad model or option fails before any job.
    A saved stage keeps the model's path, not the model.

    Args:
        inputCol: Column of encoded images.
        outputCol: Column of features to add.
        model: Name, path or URI of an ONNX file, as `sparkcider.models.resolve` takes it, or `pixels`.
        errorCol: Column to add with the reason why an image is bad; null for a good one. Default: none.
        handleInvalid: What happens to a bad image: `keep` (features are null; default), `skip` (the row is left out)
            or `error` (the job stops with an ImageDecodeError).
        inputSize, resizeMode, cropRatio, filter, normalization, layout, colorOrder, pooling, layer, intraThreads,
            applyExif, maxPixels, background: The options of `sparkcider.FeatureExtractor`.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> images = spark.createDataFrame([(None,)], "content binary")
        >>> featurizer = ImageFeaturizer(inputCol="content", outputCol="features", errorCol="why", model="pixels")
        >>> featurizer.transform(images).select("features", "why").first()
        Row(features=None, why='null image')
    """

    _DEFAULTS: ClassVar = {"handleInvalid": "keep"}

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol is not binary.
            ValueError: There is no inputCol, or outputCol or errorCol exists already.
        """
        if not isinstance(_type_of(schema, self.getInputCol()), BinaryType):
            found = _type_of(schema, self.getInputCol()).simpleString()
            raise TypeError(f"column {self.getInputCol()}: expected binary (encoded images), got {found}")
        added = [StructField(self.getOutputCol(), FEATURES)]
        if self.isSet(self.errorCol):
            added.append(StructField(self.getOrDefault(self.errorCol), StringType()))
        return _with_fields(schema, added)

    def _transform(self, dataset: DataFrame) -> DataFrame:
        self.transformSchema(dataset.schema)
        with_error = self.isSet(self.errorCol)
        column, dimension = features_column(
            dataset.sparkSession,
            dataset[self.getInputCol()],
            self.getModel(),
            on_error="raise" if self.getHandleInvalid() == "error" else "null",
            with_error=with_error,
            options=self.extractorOptions(),
        )
        output = self.getOutputCol()
        if with_error:
            outcome = f"{self.uid}_outcome"
            dataset = dataset.withColumn(outcome, column)
            dataset = dataset.withColumn(self.getOrDefault(self.errorCol), F.col(f"{outcome}.error"))
            dataset = dataset.withColumn(output, F.col(f"{outcome}.features")).drop(outcome)
        else:
            dataset = dataset.withColumn(output, column)
        dataset = dataset.withMetadata(output, _width(dimension))
        return dataset.where(F.col(output).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

    def write(self) -> StageWriter:
        """A writer of this stage's Params."""
        return StageWriter(self)

    @classmethod
    def read(cls) -> StageReader[ImageFeaturizer]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, _arrays: dict[str, bytes]) -> Self:
        return cls()


class PCA(PCAParams, Estimator["PCAModel"], MLReadable["PCA"], MLWritable):
    """Principal components of a column of features, fitted in one pass: `pyspark.ml.feature.PCA`, and more.

    The column may be `array<float>`, `array<double>` or a vector; the model gives back the kind that it reads.

    Args:
        inputCol: Column of features, D per row.
        outputCol: Column of k components per row that the model adds.
        k: Number of components, at most D; or give `variance`.
        variance: Share of the variance in (0, 1]: the fewest components that hold it.
        standardize: Scale each feature to mean 0 and deviation 1 first, here and in `transform`. Default False.
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

    def _fit(self, dataset: DataFrame) -> PCAModel:
        wanted = self._wanted()
        name = self.getInputCol()
        column = _as_array(dataset, name)
        width = _known_width(dataset.schema, name)
        if width is not None and self.isSet(self.k):
            _check_k(self.getK(), width)
        moments = collect_moments(dataset.select(column), width, skip_invalid=self.getHandleInvalid() != "error")
        if moments.n_samples == 0:
            left_out = f" ({moments.n_invalid} invalid ones left out)" if moments.n_invalid else ""
            raise PcaError(f"column {name} has no rows to fit a PCA to{left_out}")
        pca = Pca.fit(moments, **wanted, standardize=self.getStandardize())
        if pca.n_components_ >= pca.n_samples_:
            warnings.warn(
                f"{pca.n_components_} components of {pca.n_samples_} rows: the ratios past rank {pca.rank_} are 0",
                stacklevel=3,
            )
        model = PCAModel._fitted(pca, moments)  # noqa: SLF001 - the estimator makes its model
        return self._copyValues(model._resetUid(self.uid))  # noqa: SLF001 - as pyspark.ml's estimators do

    def _wanted(self) -> dict[str, Any]:
        if self.isSet(self.k) == self.isSet(self.variance):
            raise ValueError("give either k or variance")
        return {"k": self.getK()} if self.isSet(self.k) else {"variance": self.getVariance()}

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

    _pca: Pca
    _moments: Moments

    @classmethod
    def _fitted(cls, pca: Pca, moments: Moments) -> Self:
        model = cls()
        model._pca, model._moments = pca, moments
        return model

    @property
    def pc(self) -> DenseMatrix:
        """Components as columns: (D, k)."""
        rows, columns = self._pca.components_.shape
        # A DenseMatrix lies column by column, so as components lie row by row.
        return DenseMatrix(columns, rows, np.ascontiguousarray(self._pca.components_).ravel())

    @property
    def explainedVariance(self) -> DenseVector:
        """Share of the variance per component: (k)."""
        return DenseVector(self._pca.explained_variance_ratio_)

    @property
    def mean(self) -> DenseVector:
        """Mean per feature: (D)."""
        return DenseVector(self._pca.mean_)

    @property
    def numRows(self) -> int:
        """Rows that the fit counted."""
        return self._moments.n_samples

    @property
    def numInvalid(self) -> int:
        """Rows that the fit left out."""
        return self._moments.n_invalid

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol is no column of features.
            ValueError: There is no inputCol, outputCol exists already, or rows are known not to have D values.
        """
        kind = _kind(schema, self.getInputCol())
        known = _known_width(schema, self.getInputCol())
        if known is not None and known != self._pca.n_features_:
            raise ValueError(
                f"column {self.getInputCol()}: expected {self._pca.n_features_} values per row, got {known}"
            )
        return _with_fields(schema, [StructField(self.getOutputCol(), kind)])

    def _transform(self, dataset: DataFrame) -> DataFrame:
        output = self.getOutputCol()
        kind = self.transformSchema(dataset.schema)[output].dataType
        column = projected_column(
            dataset.sparkSession,
            _as_array(dataset, self.getInputCol()),
            self._pca,
            center=self.getStandardize(),
            on_error="raise" if self.getHandleInvalid() == "error" else "null",
            element=kind.elementType if isinstance(kind, ArrayType) else DoubleType(),
        )
        dataset = dataset.withColumn(output, column)
        if isinstance(kind, VectorUDT):
            dataset = dataset.withColumn(output, F.when(F.col(output).isNotNull(), array_to_vector(F.col(output))))
        dataset = dataset.withMetadata(output, _width(self._pca.n_components_))
        return dataset.where(F.col(output).isNotNull()) if self.getHandleInvalid() == "skip" else dataset

    def write(self) -> StageWriter:
        """A writer of this model: Params, components and moments."""
        return StageWriter(self, {"pca": self._pca.to_bytes(), "moments": self._moments.to_bytes()})

    @classmethod
    def read(cls) -> StageReader[PCAModel]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, bytes]) -> Self:
        return cls._fitted(Pca.from_bytes(arrays["pca"]), Moments.from_bytes(arrays["moments"]))


def _type_of(schema: StructType, name: str) -> DataType:
    if name not in schema.names:
        raise ValueError(f"there is no column {name}; there are {', '.join(schema.names)}")
    return schema[name].dataType


def _with_fields(schema: StructType, added: list[StructField]) -> StructType:
    for field in added:
        if field.name in schema.names:
            raise ValueError(f"column {field.name} exists already")
    return type(schema)([*schema.fields, *added])


def _kind(schema: StructType, name: str) -> DataType:
    found = _type_of(schema, name)
    if isinstance(found, VectorUDT) or (
        isinstance(found, ArrayType) and isinstance(found.elementType, (FloatType, DoubleType))
    ):
        return found
    raise TypeError(f"column {name}: expected array<float>, array<double> or vector, got {found.simpleString()}")


def _as_array(dataset: DataFrame, name: str) -> Column:
    kind, column = _kind(dataset.schema, name), F.col(f"`{name}`")
    if isinstance(kind, VectorUDT):
        return F.when(column.isNotNull(), vector_to_array(column)).alias(name)  # Spark's function takes no null
    return column


def _width(values: int) -> dict[str, Any]:
    return {"ml_attr": {"num_attrs": values}}  # where pyspark.ml keeps the length of its vectors


def _known_width(schema: StructType, name: str) -> int | None:
    width: int | None = schema[name].metadata.get("ml_attr", {}).get("num_attrs")
    return width


def _check_k(k: int, dimension: int) -> None:
    if k > dimension:
        raise ValueError(f"k must be from 1 to the number of features, {dimension}, got {k}")

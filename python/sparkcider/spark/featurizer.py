"""The stage that embeds images; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pyspark.ml import Transformer
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import BinaryType, StringType, StructField

from sparkcider.spark.columns import type_of, width_metadata, with_fields
from sparkcider.spark.params import ExtractorParams
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.udf import FEATURES, features_column

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
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
        inputSize, resizeMode, cropRatio, filter, normalization, layout, colorOrder, pooling, layer, layerLayout,
            intraThreads, applyExif, maxPixels, background: The options of `sparkcider.FeatureExtractor`.

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
            ValueError: There is no inputCol, outputCol or errorCol exists already, or two of them are the same.
        """
        self._check_columns()
        if not isinstance(type_of(schema, self.getInputCol()), BinaryType):
            found = type_of(schema, self.getInputCol()).simpleString()
            raise TypeError(f"column {self.getInputCol()}: expected binary (encoded images), got {found}")
        added = [StructField(self.getOutputCol(), FEATURES)]
        if self.isSet(self.errorCol):
            added.append(StructField(self.getOrDefault(self.errorCol), StringType()))
        return with_fields(schema, added)

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
        dataset = dataset.withMetadata(output, width_metadata(dimension))
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

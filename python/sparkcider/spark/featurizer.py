"""The stage that embeds images; `sparkcider.feature` has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml import Transformer
from pyspark.ml.linalg import VectorUDT
from pyspark.ml.util import MLReadable, MLWritable
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import ArrayType, StringType, StructField

from sparkcider.arguments import names_checked
from sparkcider.models import resolve
from sparkcider.models.descriptions import NONE
from sparkcider.spark.carried_model import CarriedModel, restored, saved_parts
from sparkcider.spark.columns import add, find, holds_many, quoted, with_fields
from sparkcider.spark.extractor_params import ExtractorParams
from sparkcider.spark.params import set_params_like
from sparkcider.spark.persistence import StageReader, StageWriter
from sparkcider.spark.udf import features_column, features_type, layers_of

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType
    from typing_extensions import Self

    from sparkcider.spark.preparation_params import Normalization, Size


@names_checked
class ImageFeaturizer(ExtractorParams, Transformer, MLReadable["ImageFeaturizer"], MLWritable):
    """Embeds a column of images: adds a column of D values per row; D is in the column's metadata.

    The column is `binary`, encoded images, or `string`, absolute paths and URIs of image files, which the Python
    workers fetch with their own credentials (`sparkcider.functions.image_features` says how). A column of
    `array<binary>` has many images per row, and gets an array of embeddings.

    The model is opened on the driver when `transform` is called, so that a bad model or option fails before any job.
    A saved stage holds the ONNX file, its checksum and how images are prepared. Loaded, it embeds with that file,
    whatever is at `model` by then, until `model` is set to another name.
    Each use of the features embeds the images again: write or cache them where they are used twice, as by `fit` and
    `transform` of a pipeline.

    Args:
        inputCol: Column of encoded images, or of paths; or the path of a field, such as `file.content`.
        outputCol: Column of features to add.
        model: Name, path or URI of an ONNX file, as `sparkcider.models.resolve` takes it, or `pixels`.
        outputType: `array` (default): `array<float>`. `vector`: the type that the classifiers of `pyspark.ml` read.
        errorCol: Column to add with the reason why an image is bad; null for a good one. Default: none. Not with
            `handleInvalid="skip"`, which would leave out each row with a reason.
        errorKindCol: Column to add with what is wrong with a bad image in one word, of those in
            `sparkcider.error_kinds`. Default: none. Not with `handleInvalid="skip"` either.
        handleInvalid: What becomes of a bad image: `keep` (default): its features are null; `skip`: its row is left
            out, as classifiers want it; `error`: the job stops with an ImageDecodeError. Of many images in a row,
            `skip` leaves out a row with a bad one.
        saveModel: Save the ONNX file inside the stage. Default True. False saves its checksum only: the file must then
            be found by `model` where the stage is loaded, and be the same.
        inFlight: Files of a column of paths that one worker fetches at a time, 1 to 1,024. Default 32.
        layer: Name of one layer, or of several: outputCol is a struct with an array for each then, of one pass.
        inputSize: This and the others are the options of `sparkcider.FeatureExtractor`; `explainParams` says their
            units and defaults.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> images = spark.createDataFrame([(None,)], "content binary")
        >>> featurizer = ImageFeaturizer(inputCol="content", outputCol="features", errorCol="why", model="pixels")
        >>> featurizer.transform(images).select("features", "why").first()
        Row(features=None, why='null image')
    """

    _carried: CarriedModel | None = None
    """The network that a loaded stage was saved with."""

    @keyword_only
    def __init__(
        self,
        *,
        inputCol: str | None = None,
        outputCol: str | None = None,
        model: str | os.PathLike[str] | None = None,
        outputType: str | None = None,
        errorCol: str | None = None,
        errorKindCol: str | None = None,
        handleInvalid: str | None = None,
        saveModel: bool | None = None,
        inFlight: int | None = None,
        inputSize: Size | None = None,
        resizeMode: str | None = None,
        resizeSize: Size | None = None,
        cropRatio: float | None = None,
        filter: str | None = None,
        rounding: str | None = None,
        resizeDtype: str | None = None,
        fillColor: Sequence[int] | None = None,
        normalization: Normalization | None = None,
        layout: str | None = None,
        colorOrder: str | None = None,
        pooling: str | None = None,
        prefixTokens: int | None = None,
        layer: str | Sequence[str] | None = None,
        layerLayout: str | None = None,
        l2Normalize: bool | None = None,
        intraThreads: int | None = None,
        decode: str | None = None,
        applyExif: bool | None = None,
        maxPixels: int | None = None,
        background: Sequence[int] | None = None,
        preprocessing: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__()
        self._set_given(self._input_kwargs)

    setParams = set_params_like(__init__)

    def transformSchema(self, schema: StructType) -> StructType:
        """The schema after `transform`.

        Raises:
            TypeError: inputCol holds no images.
            ValueError: There is no inputCol, a column to add exists already, two of them are the same, or one of errors
                would always be null.
        """
        self._check_params()
        many = self._many(schema)
        one = VectorUDT() if self.getOutputType() == "vector" else features_type(layers_of(self.getLayer()))
        kinds = {"outputCol": one, "errorCol": StringType(), "errorKindCol": StringType()}
        added = {
            name: StructField(self.getOrDefault(name), ArrayType(kind) if many else kind)
            for name, kind in kinds.items()
            if name == "outputCol" or self.isSet(name)
        }
        return with_fields(schema, added, type(self).__name__)

    def _many(self, schema: StructType) -> bool:
        """Whether a row has many images; what inputCol holds is checked here."""
        stage, name = type(self).__name__, self.getInputCol()
        many = holds_many(find(schema, name, stage), name, stage)
        layers = layers_of(self.getLayer())
        if layers is not None and self.getOutputType() == "vector":
            field = f"{self.getOutputCol()}.{layers[0]}" if layers else self.getOutputCol()
            raise TypeError(
                f"{stage}: layer names {len(layers)} layers, and outputCol can hold only one vector: use "
                f"outputType='array' and pyspark.ml.functions.array_to_vector({field!r})"
            )
        if many and self.getOutputType() == "vector":
            raise TypeError(
                f"{stage}: column {name} holds an array of images, and a row can have only one vector: use "
                "outputType='array', or one image a row (pyspark.sql.functions.explode)"
            )
        return many

    def _transform(self, dataset: DataFrame) -> DataFrame:
        schema = self.transformSchema(dataset.schema)
        stage, output, errors = type(self).__name__, self.getOutputCol(), self._error_columns()
        outcome, dimension = features_column(
            dataset.sparkSession,
            find(dataset.schema, self.getInputCol(), stage).column,
            self._model_reference(),
            on_error="raise" if self.getHandleInvalid() == "error" else "null",
            with_error=bool(errors),
            options=self._options(),
            in_flight=self.getInFlight(),
            many=self._many(dataset.schema),
        )
        if errors:
            whole = f"{self.uid}_outcome"
            dataset = dataset.withColumn(whole, outcome)
            outcome = F.col(quoted(whole)).getField("features")
            dataset = add(dataset, output, outcome, schema[output].dataType, dimension)
            for field, name in errors.items():
                dataset = dataset.withColumn(name, F.col(quoted(whole)).getField(field))
            dataset = dataset.drop(whole)
        else:
            dataset = add(dataset, output, outcome, schema[output].dataType, dimension)
        return self._without_bad(dataset) if self.getHandleInvalid() == "skip" else dataset

    def _without_bad(self, dataset: DataFrame) -> DataFrame:
        features = F.col(quoted(self.getOutputCol()))
        layers = layers_of(self.getLayer())

        def is_bad(image: Column) -> Column:
            return image.isNull() if layers is None else image.getField(layers[0]).isNull()

        if self._many(dataset.schema):
            return dataset.where(features.isNotNull() & ~F.exists(features, is_bad))
        return dataset.where(~is_bad(features))

    def _model_reference(self) -> str:
        """What `resolve` takes: the model that was saved with the stage, or the Param."""
        carried = self._carried
        return self.getModel() if carried is None or carried.name != self.getModel() else carried.reference

    def _options(self) -> dict[str, Any]:
        """The options; those of a network that was saved with the stage have the description that it was saved with."""
        options = self.extractorOptions()
        carried = self._carried
        if carried is None or (carried.name, carried.preprocessing) != (self.getModel(), self.getPreprocessing()):
            return options
        return options if carried.reference == "pixels" else {**options, "preprocessing": carried.description or NONE}

    def _error_columns(self) -> dict[str, str]:
        """The columns of errors to add, by the field of the outcome that each holds."""
        params = {"error": self.errorCol, "error_kind": self.errorKindCol}
        return {field: str(self.getOrDefault(param)) for field, param in params.items() if self.isSet(param)}

    def write(self) -> StageWriter:
        """A writer of this stage's Params and of its model.

        Raises:
            FileNotFoundError: There is no such model file; without `saveModel`, too, as its checksum is saved.
            ModelError: The file is not a network with one image input.
            ValueError: An option has a value that it cannot take.
        """
        if not self.isSet(self.model):
            return StageWriter(self)
        path = resolve(self._model_reference())
        return StageWriter(self, *saved_parts(path, self._options(), whole=self.getSaveModel()))

    @classmethod
    def read(cls) -> StageReader[ImageFeaturizer]:
        """A reader of what `write` wrote."""
        return StageReader(cls)

    @classmethod
    def _from_arrays(cls, _arrays: dict[str, bytes]) -> Self:
        return cls()

    def _restored(self, arrays: dict[str, bytes], facts: dict[str, Any] | None, uri: str) -> None:
        if self.isSet(self.model):
            self._carried = restored(self.getModel(), self.extractorOptions(), arrays, facts, uri)

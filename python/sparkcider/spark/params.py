"""The Params that ImageFeaturizer, PCA and PCAModel share, in pyspark.ml's spelling."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol

from sparkcider.options import FILTERS, LAYOUTS, POOLINGS, PRESETS, RESIZE_MODES
from sparkcider.spark.solver_choice import PcaSpec

if TYPE_CHECKING:
    from typing_extensions import Self


def one_of(*names: str) -> Any:
    """A Param converter that takes only these names."""

    def convert(value: Any) -> str:
        if value not in names:
            raise ValueError(f"expected one of {', '.join(names)}, got {value!r}")
        return str(value)

    return convert


def _choices(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


def _size(value: Any) -> int | list[int]:
    return TypeConverters.toInt(value) if isinstance(value, int) else TypeConverters.toListInt(value)


def _normalization(value: Any) -> str | list[list[float]]:
    return value if isinstance(value, str) else [TypeConverters.toListFloat(part) for part in value]


def _k(value: Any) -> int:
    k = TypeConverters.toInt(value)
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    return k


def _variance(value: Any) -> float:
    variance = TypeConverters.toFloat(value)
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be over 0 and at most 1, got {variance:g}")
    return variance


def _param(name: str, doc: str, convert: Any) -> Param[Any]:
    return Param(Params._dummy(), name, doc, typeConverter=convert)  # noqa: SLF001 - as pyspark.ml declares its own


class InOutParams(HasInputCol, HasOutputCol):
    """inputCol, outputCol and handleInvalid, and how Params are set by keyword."""

    handleInvalid: Param[str] = _param(
        "handleInvalid",
        "what happens to an invalid row: keep (null), skip (left out) or error (the job stops)",
        one_of("keep", "skip", "error"),
    )

    _DEFAULTS: ClassVar[dict[str, Any]] = {}
    _COLUMNS: ClassVar[tuple[str, ...]] = ("inputCol", "outputCol")

    def __init__(self, **params: Any) -> None:
        super().__init__()
        self._setDefault(**self._DEFAULTS)
        self.setParams(**params)

    def setParams(self, **params: Any) -> Self:
        """Sets Params by name; None leaves one as it is."""
        for name in params:
            if not self.hasParam(name):
                raise TypeError(f"{type(self).__name__} has no Param {name}")
        self._set(**{name: value for name, value in params.items() if value is not None})
        self._check_columns()
        return self

    def _check_columns(self) -> None:
        """Raises ValueError if two Params name the same column: one would replace the other."""
        seen: dict[str, str] = {}
        for param in self._COLUMNS:
            if self.isDefined(param):
                column = str(self.getOrDefault(param))
                if column in seen:
                    stage = type(self).__name__
                    raise ValueError(f"{stage}: {seen[column]} and {param} must be two columns, got {column} for both")
                seen[column] = param

    def setInputCol(self, value: str) -> Self:
        """Names the column to read."""
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> Self:
        """Names the column to add."""
        return self._set(outputCol=value)

    def setHandleInvalid(self, value: str) -> Self:
        """Chooses keep, skip or error."""
        return self._set(handleInvalid=value)

    def getHandleInvalid(self) -> str:
        """Gives keep, skip or error."""
        return str(self.getOrDefault(self.handleInvalid))


class ExtractorParams(InOutParams):
    """The model and the options of `sparkcider.FeatureExtractor`, in camelCase."""

    _COLUMNS: ClassVar = ("inputCol", "outputCol", "errorCol")

    model: Param[str] = _param("model", "name, path or URI of an ONNX file, or pixels", TypeConverters.toString)
    errorCol: Param[str] = _param(
        "errorCol", "column to add with the reason why an image is bad; null for a good one", TypeConverters.toString
    )
    inputSize: Param[Any] = _param("inputSize", "side or [height, width] in pixels", _size)
    resizeMode: Param[str] = _param("resizeMode", _choices(RESIZE_MODES), TypeConverters.toString)
    cropRatio: Param[float] = _param(
        "cropRatio", "for center_crop: input size over the short side before the cut, 0.01 to 1", TypeConverters.toFloat
    )
    filter: Param[str] = _param("filter", _choices(FILTERS), TypeConverters.toString)
    normalization: Param[Any] = _param(
        "normalization", f"{', '.join(PRESETS)} or [mean, std] of RGB in [0, 1]", _normalization
    )
    layout: Param[str] = _param("layout", _choices(LAYOUTS), TypeConverters.toString)
    colorOrder: Param[str] = _param("colorOrder", "RGB or BGR", TypeConverters.toString)
    pooling: Param[str] = _param("pooling", f"{_choices(POOLINGS)}, for a feature map", TypeConverters.toString)
    layer: Param[str] = _param("layer", "name of the output to take", TypeConverters.toString)
    layerLayout: Param[str] = _param(
        "layerLayout",
        f"{_choices(LAYOUTS)}: where an output that is a feature map has its channels, if its graph does not tell",
        TypeConverters.toString,
    )
    intraThreads: Param[int] = _param("intraThreads", "threads inside one operator", TypeConverters.toInt)
    applyExif: Param[bool] = _param("applyExif", "turn images upright as EXIF says", TypeConverters.toBoolean)
    maxPixels: Param[int] = _param("maxPixels", "refuse images over this many pixels", TypeConverters.toInt)
    background: Param[list[int]] = _param(
        "background", "RGB colour under transparent pixels and letterbox bars", TypeConverters.toListInt
    )

    _NOT_OPTIONS = frozenset({"inputCol", "outputCol", "errorCol", "handleInvalid", "model"})

    def setModel(self, value: str) -> Self:
        """Names the model."""
        return self._set(model=value)

    def getModel(self) -> str:
        """Gives the model's path or name."""
        return str(self.getOrDefault(self.model))

    def setErrorCol(self, value: str) -> Self:
        """Names the column of reasons to add."""
        return self._set(errorCol=value)

    def extractorOptions(self) -> dict[str, Any]:
        """The Params that were set, as keyword arguments of `FeatureExtractor`."""
        given = {param.name: value for param, value in self.extractParamMap().items()}
        return {
            re.sub("[A-Z]", lambda capital: "_" + capital.group().lower(), name): value
            for name, value in given.items()
            if name not in self._NOT_OPTIONS
        }


class PCAParams(InOutParams):
    """How many components, of what, found how, and what `transform` gives."""

    k: Param[int] = _param("k", "number of components; or give variance", _k)
    variance: Param[float] = _param(
        "variance", "take as many components as hold this share of the variance, in (0, 1]; or give k", _variance
    )
    standardize: Param[bool] = _param(
        "standardize", "scale each feature to mean 0 and deviation 1 first", TypeConverters.toBoolean
    )
    whiten: Param[bool] = _param(
        "whiten", "take the mean off and divide each component by its deviation", TypeConverters.toBoolean
    )
    solver: Param[str] = _param(
        "solver", "auto, covariance, gram or randomized", one_of("auto", "covariance", "gram", "randomized")
    )
    maxK: Param[int] = _param("maxK", "most components that variance takes with the randomized solver", _k)
    reconstructionErrorCol: Param[str] = _param(
        "reconstructionErrorCol",
        "column to add with the distance of a row to its part in the components",
        TypeConverters.toString,
    )

    _COLUMNS: ClassVar = ("inputCol", "outputCol", "reconstructionErrorCol")
    _DEFAULTS: ClassVar = {
        "handleInvalid": "error",
        "standardize": False,
        "whiten": False,
        "solver": "auto",
        "maxK": 256,
    }

    def _spec(self) -> PcaSpec:
        if self.isSet(self.k) == self.isSet(self.variance):
            raise ValueError("give either k or variance")
        return PcaSpec(
            k=self.getK() if self.isSet(self.k) else None,
            variance=self.getVariance() if self.isSet(self.variance) else None,
            standardize=self.getStandardize(),
            solver=self.getSolver(),
            max_k=self.getMaxK(),
            skip_invalid=self.getHandleInvalid() != "error",
        )

    def getK(self) -> int:
        """Gives the number of components that was asked for."""
        return int(self.getOrDefault(self.k))

    def getVariance(self) -> float:
        """Gives the share of the variance that was asked for."""
        return float(self.getOrDefault(self.variance))

    def getStandardize(self) -> bool:
        """Says whether features are standardised first."""
        return bool(self.getOrDefault(self.standardize))

    def getWhiten(self) -> bool:
        """Says whether components are scaled to deviation 1."""
        return bool(self.getOrDefault(self.whiten))

    def getSolver(self) -> str:
        """Gives the solver that was asked for."""
        return str(self.getOrDefault(self.solver))

    def getMaxK(self) -> int:
        """Gives the most components that `variance` takes with the randomized solver."""
        return int(self.getOrDefault(self.maxK))


class ScalerParams(InOutParams):
    """What a StandardScaler does."""

    withMean: Param[bool] = _param("withMean", "take the mean off", TypeConverters.toBoolean)
    withStd: Param[bool] = _param("withStd", "divide by the sample standard deviation", TypeConverters.toBoolean)

    _DEFAULTS: ClassVar = {"handleInvalid": "error", "withMean": False, "withStd": True}

    def setWithMean(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether the mean is taken off."""
        return self._set(withMean=value)

    def setWithStd(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether features are divided by their deviation."""
        return self._set(withStd=value)

    def getWithMean(self) -> bool:
        """Says whether the mean is taken off."""
        return bool(self.getOrDefault(self.withMean))

    def getWithStd(self) -> bool:
        """Says whether features are divided by their deviation."""
        return bool(self.getOrDefault(self.withStd))

"""The Params of `ImageFeaturizer`: model, columns, and the options of `sparkcider.FeatureExtractor` in camelCase."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar

from pyspark.ml.param import Param, TypeConverters

from sparkcider.options import LAYOUTS, POOLINGS
from sparkcider.spark.params import choices, one_of, param
from sparkcider.spark.preparation_params import PreparationParams, reference
from sparkcider.storage.fetch import IN_FLIGHT, check_in_flight

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from typing_extensions import Self

OUTPUT_TYPES = ("array", "vector")


def _layer(value: Any) -> str | list[str]:
    return TypeConverters.toString(value) if isinstance(value, str) else TypeConverters.toListString(value)


def _in_flight(value: Any) -> int:
    in_flight = TypeConverters.toInt(value)
    check_in_flight(in_flight)
    return in_flight


class ExtractorParams(PreparationParams):
    """The Params, with a setter and a getter each. A getter gives None for an option that is left to the model file."""

    _COLUMNS: ClassVar = ("inputCol", "outputCol", "errorCol", "errorKindCol")
    _DEFAULTS: ClassVar = {
        "handleInvalid": "keep",
        "outputType": "array",
        "saveModel": True,
        "inFlight": IN_FLIGHT,
    }

    model: Param[str] = param("model", "name, path or URI of an ONNX file with one image input, or pixels", reference)
    outputType: Param[str] = param(
        "outputType",
        "type of outputCol: array (of float) or vector (of double, as the classifiers of pyspark.ml take it)",
        one_of("outputType", *OUTPUT_TYPES),
    )
    errorCol: Param[str] = param(
        "errorCol",
        "column to add with the reason why an image is bad; null for a good one. Default: no such column",
        TypeConverters.toString,
    )
    errorKindCol: Param[str] = param(
        "errorKindCol",
        "column to add with what is wrong with a bad image in one word, of those in sparkcider.error_kinds; null for a "
        "good one. Default: no such column",
        TypeConverters.toString,
    )
    saveModel: Param[bool] = param(
        "saveModel", "save the ONNX file inside the stage, not only its checksum", TypeConverters.toBoolean
    )
    inFlight: Param[int] = param(
        "inFlight", "files of a column of paths that one worker fetches at a time, 1 to 1,024", _in_flight
    )
    pooling: Param[str] = param(
        "pooling",
        f"{choices(POOLINGS)}: how a feature map, or the tokens of a transformer, become a vector. Default: as the "
        "model file says, else avg of a map, and of last_hidden_state as the library of the model does, or cls where "
        "the graph shows a class token; required for other tokens",
        one_of("pooling", *POOLINGS),
    )
    prefixTokens: Param[int] = param(
        "prefixTokens",
        "for mean_tokens only: tokens before those of the patches, 0 to 1,024. Default: as the graph tells; required "
        "where it does not",
        TypeConverters.toInt,
    )
    layer: Param[Any] = param(
        "layer",
        "name of the output, or of a tensor inside the graph, to take; or several, in one pass: outputCol is a struct "
        "with a field for each. Default: image_embeds, pooler_output, last_hidden_state, else the first output; "
        "required where that is one of several maps or tensors of tokens",
        _layer,
    )
    layerLayout: Param[str] = param(
        "layerLayout",
        f"{choices(LAYOUTS)}: where an output that is a feature map has its channels. Default: as the graph tells; "
        "required where it does not",
        one_of("layerLayout", *LAYOUTS),
    )
    l2Normalize: Param[bool] = param(
        "l2Normalize",
        "divide each vector by its Euclidean norm. Default: as the model file says, else False",
        TypeConverters.toBoolean,
    )
    intraThreads: Param[int] = param(
        "intraThreads",
        "threads inside one operator, 1 to 1,024. Default: 1, as a Spark task is one core",
        TypeConverters.toInt,
    )
    _NOT_OPTIONS = frozenset({*_COLUMNS, "outputType", "handleInvalid", "model", "saveModel", "inFlight"})

    def _check_params(self) -> None:
        """Refuses a column of errors that would always be null, too."""
        super()._check_params()
        for name in ("errorCol", "errorKindCol"):
            if self.isSet(name) and self.getHandleInvalid() == "skip":
                raise ValueError(
                    f"{type(self).__name__}: {name} is always null with handleInvalid='skip', which leaves bad rows "
                    f"out: choose handleInvalid='keep' to see the reasons, or leave {name} out"
                )

    def extractorOptions(self) -> dict[str, Any]:
        """The Params that were set, as keyword arguments of `FeatureExtractor`."""
        given = {param.name: value for param, value in self.extractParamMap().items()}
        return {
            re.sub("[A-Z]", lambda capital: "_" + capital.group().lower(), name): value
            for name, value in given.items()
            if name not in self._NOT_OPTIONS
        }

    def setModel(self, value: str | os.PathLike[str]) -> Self:
        """Names the model."""
        return self._set(model=value)

    def getModel(self) -> str:
        """Gives the model's name, path or URI, as it was set."""
        return str(self.getOrDefault(self.model))

    def setOutputType(self, value: str) -> Self:
        """Chooses array or vector."""
        return self._set(outputType=value)

    def getOutputType(self) -> str:
        """Gives array or vector."""
        return str(self.getOrDefault(self.outputType))

    def setErrorCol(self, value: str) -> Self:
        """Names the column of reasons to add."""
        return self._set(errorCol=value)

    def getErrorCol(self) -> str | None:
        """Gives the column of reasons; None: there is none."""
        return self._or_none(self.errorCol)

    def setErrorKindCol(self, value: str) -> Self:
        """Names the column of kinds of errors to add."""
        return self._set(errorKindCol=value)

    def getErrorKindCol(self) -> str | None:
        """Gives the column of kinds of errors; None: there is none."""
        return self._or_none(self.errorKindCol)

    def setSaveModel(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether the ONNX file is saved inside the stage."""
        return self._set(saveModel=value)

    def getSaveModel(self) -> bool:
        """Says whether the ONNX file is saved inside the stage."""
        return bool(self.getOrDefault(self.saveModel))

    def setInFlight(self, value: int) -> Self:
        """Bounds the files that one worker fetches at a time."""
        return self._set(inFlight=value)

    def getInFlight(self) -> int:
        """Gives the most files that one worker fetches at a time."""
        return int(self.getOrDefault(self.inFlight))

    def setPooling(self, value: str) -> Self:
        """Chooses how a feature map becomes a vector."""
        return self._set(pooling=value)

    def getPooling(self) -> str | None:
        """Gives how a feature map becomes a vector."""
        return self._or_none(self.pooling)

    def setPrefixTokens(self, value: int) -> Self:
        """Says how many tokens come before those of the patches."""
        return self._set(prefixTokens=value)

    def getPrefixTokens(self) -> int | None:
        """Gives how many tokens come before those of the patches."""
        return self._or_none(self.prefixTokens)

    def setLayer(self, value: str | Sequence[str]) -> Self:
        """Names the output to take, or several."""
        return self._set(layer=value)

    def getLayer(self) -> str | list[str] | None:
        """Gives the output to take, or several."""
        return self._or_none(self.layer)

    def setLayerLayout(self, value: str) -> Self:
        """Says where the output has its channels."""
        return self._set(layerLayout=value)

    def getLayerLayout(self) -> str | None:
        """Gives where the output has its channels."""
        return self._or_none(self.layerLayout)

    def setL2Normalize(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether each vector is divided by its norm."""
        return self._set(l2Normalize=value)

    def getL2Normalize(self) -> bool | None:
        """Says whether each vector is divided by its norm."""
        return self._or_none(self.l2Normalize)

    def setIntraThreads(self, value: int) -> Self:
        """Sets the threads inside one operator."""
        return self._set(intraThreads=value)

    def getIntraThreads(self) -> int | None:
        """Gives the threads inside one operator."""
        return self._or_none(self.intraThreads)

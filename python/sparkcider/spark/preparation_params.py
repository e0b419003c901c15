"""The Params of `ImageFeaturizer` about how images are prepared: options of `FeatureExtractor` in camelCase."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pyspark.ml.param import Param, TypeConverters

from sparkcider.options import (
    COLOR_ORDERS,
    DECODINGS,
    FILTERS,
    LAYOUTS,
    PRESETS,
    RESIZE_DTYPES,
    RESIZE_MODES,
    ROUNDINGS,
)
from sparkcider.spark.params import StageParams, choices, one_of, param

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self, TypeAlias

    Size: TypeAlias = int | Sequence[int]  # side, or (height, width)
    Normalization: TypeAlias = str | Sequence[Sequence[float]]  # a preset's name, or (mean, std) of R, G, B


def _size(value: Any) -> int | list[int]:
    return TypeConverters.toInt(value) if isinstance(value, int) else TypeConverters.toListInt(value)


def _normalization(value: Any) -> str | list[list[float]]:
    if isinstance(value, str):
        return value if value.startswith("mean ") else one_of("normalization", *PRESETS)(value)
    return [TypeConverters.toListFloat(part) for part in value]


def reference(value: Any) -> str:
    """Converts a path to the text of a Param."""
    return TypeConverters.toString(os.fspath(value) if isinstance(value, os.PathLike) else value)


class PreparationParams(StageParams):
    """The Params, with a setter and a getter each. A getter gives None for an option that is left to the model file."""

    inputSize: Param[Any] = param(
        "inputSize",
        "side, or [height, width], in pixels that images are resized to, 1 to 4,096. Default: as the model file says; "
        "20 for pixels",
        _size,
    )
    resizeMode: Param[str] = param(
        "resizeMode",
        f"{choices(RESIZE_MODES)}: how images of another shape fit. Default: as the model file says, else squash",
        one_of("resizeMode", *RESIZE_MODES),
    )
    resizeSize: Param[Any] = param(
        "resizeSize",
        "side, or [height, width], in pixels that the whole image is resized to before its middle is cut out, or laid "
        "into the middle. Default: as the model file says, else inputSize, over cropRatio for center_crop",
        _size,
    )
    cropRatio: Param[float] = param(
        "cropRatio",
        "for center_crop without resizeSize only: inputSize over the short side in pixels before the cut, 0.01 to 1. "
        "Default: as the model file says, else 0.875",
        TypeConverters.toFloat,
    )
    filter: Param[str] = param(
        "filter",
        f"{choices(FILTERS)}: how images are resized. Default: as the model file says, else bicubic; "
        "nearest for pixels",
        one_of("filter", *FILTERS),
    )
    rounding: Param[str] = param(
        "rounding",
        f"{choices(ROUNDINGS)}: whose rules decide the fractions of a pixel. Default: as the model file says, else "
        "torchvision",
        one_of("rounding", *ROUNDINGS),
    )
    resizeDtype: Param[str] = param(
        "resizeDtype",
        f"{choices(RESIZE_DTYPES)}: resize as Pillow, or as torchvision resizes float tensors. Default: as the model "
        "file says, else uint8",
        one_of("resizeDtype", *RESIZE_DTYPES),
    )
    fillColor: Param[list[int]] = param(
        "fillColor",
        "[R, G, B], levels of 0 to 255, of what the image leaves free. Default: as the model file says, else "
        "background, else black",
        TypeConverters.toListInt,
    )
    normalization: Param[Any] = param(
        "normalization",
        f"{choices(PRESETS)}, or [mean, std] of R, G, B in [0, 1]: the scale of the network's input. Default: as the "
        "model file says; required where it does not; unit for pixels",
        _normalization,
    )
    layout: Param[str] = param(
        "layout",
        f"{choices(LAYOUTS)}: axes of the network's input. Default: those of its graph",
        one_of("layout", *LAYOUTS),
    )
    colorOrder: Param[str] = param(
        "colorOrder",
        f"{choices(COLOR_ORDERS)}: order of the channels. Default: as the model file says, else that of the "
        "normalization",
        one_of("colorOrder", *COLOR_ORDERS),
    )
    decode: Param[str] = param(
        "decode",
        f"{choices(DECODINGS)}: whether JPEGs are decoded whole, or at the scale that the resize needs. Default: exact",
        one_of("decode", *DECODINGS),
    )
    applyExif: Param[bool] = param(
        "applyExif", "turn images upright as their EXIF orientation says. Default: True", TypeConverters.toBoolean
    )
    maxPixels: Param[int] = param(
        "maxPixels",
        "refuse images of more pixels (width x height) by their header. Default: 178,956,970, Pillow's error limit",
        TypeConverters.toInt,
    )
    background: Param[list[int]] = param(
        "background",
        "[R, G, B], levels of 0 to 255, under transparent pixels and letterbox bars. Default: alpha is dropped, bars "
        "are black",
        TypeConverters.toListInt,
    )
    preprocessing: Param[str] = param(
        "preprocessing",
        "path or URI of a JSON file that describes the preparation, or none. Default: such a file beside the model, "
        "where the model does not say its normalization itself",
        reference,
    )

    def setInputSize(self, value: Size) -> Self:
        """Sets the side, or (height, width), in pixels."""
        return self._set(inputSize=value)

    def getInputSize(self) -> int | list[int] | None:
        """Gives the side, or [height, width], in pixels."""
        return self._or_none(self.inputSize)

    def setResizeMode(self, value: str) -> Self:
        """Chooses squash, center_crop or letterbox."""
        return self._set(resizeMode=value)

    def getResizeMode(self) -> str | None:
        """Gives how images of another shape fit."""
        return self._or_none(self.resizeMode)

    def setResizeSize(self, value: Size) -> Self:
        """Sets the side, or (height, width), in pixels before the cut."""
        return self._set(resizeSize=value)

    def getResizeSize(self) -> int | list[int] | None:
        """Gives the side, or [height, width], in pixels before the cut."""
        return self._or_none(self.resizeSize)

    def setCropRatio(self, value: float) -> Self:
        """Sets inputSize over the short side before the cut."""
        return self._set(cropRatio=value)

    def getCropRatio(self) -> float | None:
        """Gives inputSize over the short side before the cut."""
        return self._or_none(self.cropRatio)

    def setFilter(self, value: str) -> Self:
        """Chooses the filter of the resize."""
        return self._set(filter=value)

    def getFilter(self) -> str | None:
        """Gives the filter of the resize."""
        return self._or_none(self.filter)

    def setRounding(self, value: str) -> Self:
        """Chooses torchvision, transformers or timm."""
        return self._set(rounding=value)

    def getRounding(self) -> str | None:
        """Gives whose rules decide the fractions of a pixel."""
        return self._or_none(self.rounding)

    def setResizeDtype(self, value: str) -> Self:
        """Chooses uint8 or float32."""
        return self._set(resizeDtype=value)

    def getResizeDtype(self) -> str | None:
        """Gives uint8 or float32."""
        return self._or_none(self.resizeDtype)

    def setFillColor(self, value: Sequence[int]) -> Self:
        """Sets the colour of what the image leaves free."""
        return self._set(fillColor=value)

    def getFillColor(self) -> list[int] | None:
        """Gives the colour of what the image leaves free."""
        return self._or_none(self.fillColor)

    def setNormalization(self, value: Normalization) -> Self:
        """Sets the scale of the network's input."""
        return self._set(normalization=value)

    def getNormalization(self) -> str | list[list[float]] | None:
        """Gives the scale of the network's input."""
        return self._or_none(self.normalization)

    def setLayout(self, value: str) -> Self:
        """Chooses the axes of the network's input."""
        return self._set(layout=value)

    def getLayout(self) -> str | None:
        """Gives the axes of the network's input."""
        return self._or_none(self.layout)

    def setColorOrder(self, value: str) -> Self:
        """Chooses the order of the channels."""
        return self._set(colorOrder=value)

    def getColorOrder(self) -> str | None:
        """Gives the order of the channels."""
        return self._or_none(self.colorOrder)

    def setDecode(self, value: str) -> Self:
        """Chooses exact or scaled."""
        return self._set(decode=value)

    def getDecode(self) -> str | None:
        """Gives exact or scaled."""
        return self._or_none(self.decode)

    def setApplyExif(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether images are turned as EXIF says."""
        return self._set(applyExif=value)

    def getApplyExif(self) -> bool | None:
        """Says whether images are turned as EXIF says."""
        return self._or_none(self.applyExif)

    def setMaxPixels(self, value: int) -> Self:
        """Bounds the pixels of an image."""
        return self._set(maxPixels=value)

    def getMaxPixels(self) -> int | None:
        """Gives the most pixels of an image."""
        return self._or_none(self.maxPixels)

    def setBackground(self, value: Sequence[int]) -> Self:
        """Sets the colour under transparent pixels."""
        return self._set(background=value)

    def getBackground(self) -> list[int] | None:
        """Gives the colour under transparent pixels."""
        return self._or_none(self.background)

    def setPreprocessing(self, value: str | os.PathLike[str]) -> Self:
        """Names the file that describes the preparation, or none."""
        return self._set(preprocessing=value)

    def getPreprocessing(self) -> str | None:
        """Gives the file that describes the preparation."""
        return self._or_none(self.preprocessing)

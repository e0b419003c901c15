"""What the Params of all stages have in common, in pyspark.ml's spelling: setting, checking, and what is not set."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCol, HasOutputCol

from sparkcider.arguments import check_given, check_names, check_whole
from sparkcider.pca.rows import RowRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from typing_extensions import Concatenate, ParamSpec, Self

    P = ParamSpec("P")
    Stage = TypeVar("Stage", bound="StageParams")

Value = TypeVar("Value")


def param(name: str, doc: str, convert: Callable[[Any], Any]) -> Param[Any]:
    """Declares a Param, as pyspark.ml declares its own."""
    return Param(Params._dummy(), name, doc, typeConverter=convert)  # noqa: SLF001


def choices(names: tuple[str, ...]) -> str:
    """Names as a sentence lists them."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


def one_of(name: str, *names: str) -> Callable[[Any], str]:
    """A converter that takes only these words."""

    def convert(value: Any) -> str:
        if value not in names:
            raise ValueError(f"{name} must be {choices(names)}, got {value!r}")
        return str(value)

    return convert


def set_params_like(init: Callable[Concatenate[Stage, P], None]) -> Callable[Concatenate[Stage, P], Stage]:
    """The method `setParams`, with the keywords and types of a constructor, which pyspark.ml writes out twice."""

    def setParams(self: Stage, /, *args: P.args, **given: P.kwargs) -> Stage:
        """Sets Params by name; None leaves one as it is."""
        check_given("setParams", known, args)
        check_names(type(self).__name__, given, known)
        return self._set_given(given)

    signature = inspect.signature(init).replace(return_annotation="Self")
    known = [*signature.parameters][1:]
    setParams.__signature__ = signature  # type: ignore[attr-defined]
    return setParams


class StageParams(HasInputCol, HasOutputCol):
    """inputCol, outputCol and handleInvalid, and how Params are set by keyword."""

    handleInvalid: Param[str] = param(
        "handleInvalid",
        "what becomes of the row of a bad image, or of null features: keep (null), skip (the row is left out) or error "
        "(the job stops)",
        one_of("handleInvalid", "keep", "skip", "error"),
    )

    _input_kwargs: dict[str, Any]
    """What `pyspark.keyword_only` was given."""

    _DEFAULTS: ClassVar[dict[str, Any]] = {}
    _COLUMNS: ClassVar[tuple[str, ...]] = ("inputCol", "outputCol")

    def __init__(self) -> None:
        super().__init__()
        self._setDefault(**self._DEFAULTS)

    def _set_given(self, given: Mapping[str, Any]) -> Self:
        """Sets Params by name; None leaves one as it is."""
        self._set(**{name: value for name, value in given.items() if value is not None})
        self._check_params()
        return self

    def _check_params(self) -> None:
        """Raises ValueError if Params contradict each other: two that name one column, one of which would be lost."""
        seen: dict[str, str] = {}
        for name in self._COLUMNS:
            if self.isDefined(name):
                column = str(self.getOrDefault(name))
                key = column.lower()  # as Spark compares names
                if key in seen:
                    stage = type(self).__name__
                    raise ValueError(f"{stage}: {seen[key]} and {name} must be two columns, got {column} for both")
                seen[key] = name

    def getOrDefault(self, param: Any) -> Any:
        """Gives the value of a Param, or its default.

        Raises:
            ValueError: It has neither; the message names the stage and how to set it.
        """
        try:
            return super().getOrDefault(param)
        except KeyError:
            raise self._missing(self._resolveParam(param).name) from None

    def _missing(self, name: str) -> ValueError:
        stage, setter = type(self).__name__, f"set{name[0].upper()}{name[1:]}"
        remedies = [
            f"{stage.removesuffix('Model')}({name}=...)",
            *([f"{setter}(...)"] if hasattr(self, setter) else []),
        ]
        return ValueError(f"{stage}: {name} is not set: give it by {' or '.join(remedies)}")

    def _or_none(self, param: Param[Value]) -> Value | None:
        return self.getOrDefault(param) if self.isDefined(param) else None

    def _restored(self, arrays: dict[str, bytes], facts: dict[str, Any] | None, uri: str) -> None:
        """Is called when a stage has been loaded, with what was saved beside its Params."""

    def _rules(self, column: str, width: int | None = None) -> RowRules:
        return RowRules(type(self).__name__, column, self.getHandleInvalid() != "error", width)

    def setInputCol(self, value: str) -> Self:
        """Names the column to read."""
        return self._set(inputCol=value)

    def setOutputCol(self, value: str) -> Self:
        """Names the column to add."""
        return self._set(outputCol=value)

    def setHandleInvalid(self, value: str) -> Self:
        """Chooses what becomes of a bad image or of null features: keep, skip or error."""
        return self._set(handleInvalid=value)

    def getHandleInvalid(self) -> str:
        """Gives keep, skip or error."""
        return str(self.getOrDefault(self.handleInvalid))


def whole_number(name: str, share: str = "") -> Callable[[Any], int]:
    """A converter that takes whole numbers from 1 on; `share` is the Param that takes a number from 0 to 1."""

    def convert(value: Any) -> int:
        if isinstance(value, float) and value.is_integer():  # pyspark.ml takes those
            value = int(value)
        check_whole(name, value, share=share)
        return TypeConverters.toInt(value)

    return convert

"""Fields of a description: each is read by its name, and none is passed over without being known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Union

from sparkcider._native import ModelError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from typing_extensions import TypeAlias

Sides: TypeAlias = "tuple[int, int]"
"""(height, width) in pixels."""
Entries: TypeAlias = "dict[str, str]"
"""What a description says, under the names and in the spelling of the metadata of a model file."""
Color: TypeAlias = "tuple[int, int, int]"
Three: TypeAlias = "tuple[float, float, float]"
Number = Union[int, float]

RGB = 3

REMEDY = "give the options of the preparation yourself, with preprocessing='none'"


class Fields:
    """The fields of one object of a JSON file; null is as if the field were left out.

    Args:
        file: The file, for messages.
        values: Its fields.
        prefix: What stands before a field's name in messages, such as `pretrained_cfg.`.
    """

    def __init__(self, file: str, values: Mapping[str, Any], prefix: str = "") -> None:
        self._file, self._prefix = file, prefix
        self._values = {name: value for name, value in values.items() if value is not None}
        self._known: set[str] = set()

    def refusal(self, name: str, expected: str) -> ModelError:
        """The error of a field whose value cannot be followed."""
        found = repr(self._values[name]) if name in self._values else "no such field"
        return ModelError(f"{self._file}: {self._prefix}{name} must be {expected}, got {found}; or {REMEDY}")

    def get(self, name: str, default: Any = None) -> Any:
        """The value of a field, or its default."""
        self._known.add(name)
        return self._values.get(name, default)

    def flag(self, name: str, default: bool | None) -> bool:  # noqa: FBT001 - the default of a flag
        """A field that is true or false."""
        value = self.get(name, default)
        if not isinstance(value, (bool, type(None))):
            raise self.refusal(name, "true or false")
        return bool(value)

    def number(self, name: str, default: float) -> float:
        """A field that is a number."""
        value = self.get(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refusal(name, "a number")
        return float(value)

    def word(self, name: str, default: str | None, choices: Collection[str]) -> str:
        """A field that is one of some words."""
        value = self.get(name, default)
        if not isinstance(value, str) or value not in choices:
            raise self.refusal(name, " or ".join(choices))
        return value

    def three(self, name: str, default: Three) -> Three:
        """A field with a number for each of R, G and B, or one for all."""
        value = self.get(name, default)
        numbers = [value] * RGB if isinstance(value, (int, float)) else value
        if isinstance(numbers, (list, tuple)) and len(numbers) == 1:
            numbers = list(numbers) * RGB
        if not isinstance(numbers, (list, tuple)) or len(numbers) != RGB:
            raise self.refusal(name, "a number, or three for R, G and B")
        if any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers):
            raise self.refusal(name, "a number, or three for R, G and B")
        red, green, blue = (float(number) for number in numbers)
        return red, green, blue

    def sides(self, name: str, value: Any) -> Sides:
        """The value of a field as (height, width): a side, [side] or [height, width]."""
        if is_side(value):
            return value, value
        if isinstance(value, (list, tuple)) and len(value) in (1, 2) and all(map(is_side, value)):
            return value[0], value[-1]
        raise self.refusal(name, "a side or [height, width] in pixels")

    def unsupported(self, names: Iterable[str]) -> None:
        """Refuses fields that change pixels in a way that is not supported, unless they say no."""
        for name in names:
            if self.get(name):
                raise self.refusal(name, "left out: it is not supported")

    def finish(self, without_effect: Collection[str]) -> None:
        """Refuses the first field that is neither read by now nor known to change no pixel."""
        for name in self._values:
            if name not in self._known and name not in without_effect:
                raise self.refusal(name, "left out: it is not known")


def is_side(value: Any) -> bool:
    """Whether a value can be a side in pixels."""
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def entries(
    *,
    input_size: Sides,
    resize_mode: str,
    resize_size: Sides | None = None,
    filter: str,
    rounding: str,
    mean: Three,
    std: Three,
    color_order: str = "RGB",
    resize_dtype: str = "uint8",
    fill_color: Color | None = None,
    background: Color | None = None,
) -> Entries:
    """What a description says, spelled as metadata are; a `resize_size` that is the `input_size` is left out."""
    said = {
        "input_size": _sides(input_size),
        "resize_mode": resize_mode,
        "filter": filter,
        "resize_dtype": resize_dtype,
        "normalization": _normalization(mean, std),
        "color_order": color_order,
    }
    if resize_size is not None and resize_size != input_size:
        said["resize_size"] = _sides(resize_size)
    elif resize_mode == "center_crop":
        said["crop_ratio"] = "1"
    if "resize_size" in said or resize_mode != "squash":
        said["rounding"] = rounding
    if "resize_size" in said or resize_mode == "letterbox":
        said["fill_color"] = _numbers(fill_color or (0, 0, 0))
    if background is not None:
        said["background"] = _numbers(background)
    return said


def _normalization(mean: Three, std: Three) -> str:
    """A preset where there is one: levels as they are would lose a bit on their way over [0, 1]."""
    if not any(mean) and set(std) in ({1 / 255}, {1.0}):
        return "unit" if std[0] == 1 else "raw"
    return f"mean {_numbers(mean)} std {_numbers(std)}"


def _sides(sides: Sides) -> str:
    return f"{sides[0]}x{sides[1]}"


def _numbers(numbers: Iterable[Number]) -> str:
    return ",".join(map(repr, numbers))

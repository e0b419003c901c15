"""torchvision's presets as a dictionary: the attributes of `weights.transforms()` of a classifier, on a PIL image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.models.descriptions.fields import Fields, entries, is_side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.models.descriptions.fields import Entries

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
FILTERS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def read(file: str, values: Mapping[str, Any]) -> Entries:
    """What the attributes of an `ImageClassification` preset say.

    Args:
        file: For messages.
        values: Its attributes; `interpolation` by its value (`bilinear`) or as `InterpolationMode.BILINEAR`.

    Raises:
        ModelError: A field is not known, or changes pixels in a way that is not supported.
    """
    word = values.get("interpolation")
    if isinstance(word, str):
        values = {**values, "interpolation": word.rpartition(".")[2].lower()}
    # the rest of what vars() gives is nn.Module's own
    own = {name: value for name, value in values.items() if name != "training" and not name.startswith("_")}
    fields = Fields(file, own)
    if not fields.flag("antialias", default=True):
        raise fields.refusal("antialias", "true, as it always is for PIL images")
    size = fields.get("resize_size", 256)
    resized = fields.sides("resize_size", size)
    said = entries(
        input_size=fields.sides("crop_size", fields.get("crop_size")),
        resize_mode="center_crop" if is_side(size) or len(size) == 1 else "squash",
        resize_size=resized,
        filter=fields.word("interpolation", "bilinear", FILTERS),
        rounding="torchvision",
        mean=fields.three("mean", MEAN),
        std=fields.three("std", STD),
    )
    fields.finish(())
    return said

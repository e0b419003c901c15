"""open_clip's `open_clip_config.json`: `open_clip.image_transform` as `create_model_and_transforms` calls it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.models.descriptions.fields import Fields, entries

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.models.descriptions.fields import Entries

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
MODES = {"shortest": "center_crop", "longest": "letterbox", "squash": "squash"}
FILTERS = {"bicubic": "bicubic", "bilinear": "bilinear", "random": "bicubic"}
"""`random` is for training; open_clip takes bicubic elsewhere."""
WHITE = 255


def read(file: str, values: Mapping[str, Any], model: Mapping[str, Any] | None = None) -> Entries:
    """What a `preprocess_cfg` says.

    Args:
        file: For messages.
        values: Its fields.
        model: The `model_cfg` beside it: its `vision_cfg.image_size` overrides `size`, as in open_clip.

    Raises:
        ModelError: A field is not known, or changes pixels in a way that is not supported.
    """
    fields = Fields(file, values, "preprocess_cfg.")
    vision = Fields(file, (model or {}).get("vision_cfg") or {}, "model_cfg.vision_cfg.")
    size = fields.sides("size", fields.get("size", 224))
    if (own := vision.get("image_size")) is not None:
        size = vision.sides("image_size", own)
    fields.word("mode", "RGB", ("RGB",))
    mode = fields.word("resize_mode", "shortest", MODES)
    name = FILTERS[fields.word("interpolation", "bicubic", FILTERS)]
    if mode == "shortest" and size[0] != size[1]:
        name = "bicubic"  # open_clip passes no filter on there
    fill = fields.get("fill_color", 0)
    if isinstance(fill, bool) or not isinstance(fill, int) or not 0 <= fill <= WHITE:
        raise fields.refusal("fill_color", "a level from 0 to 255")
    said = entries(
        input_size=size,
        resize_mode=MODES[mode],
        filter=name,
        rounding="timm",
        mean=fields.three("mean", MEAN),
        std=fields.three("std", STD),
        fill_color=(fill, fill, fill) if mode == "longest" else None,
    )
    fields.finish(())
    return said

"""timm's `config.json` with a `pretrained_cfg`: `timm.data.create_transform(**resolve_data_config(...))`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sparkcider.models.descriptions.fields import RGB, Fields, entries, is_side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.models.descriptions.fields import Entries

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CROP_PCT = 0.875
FILTERS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")
MODES = {"center": "center_crop", "squash": "squash", "border": "letterbox"}

# The other fields of timm's PretrainedCfg: weights, classifier, papers; `test_*` are taken only where one asks for it.
_WITHOUT_EFFECT = frozenset(
    {
        "architecture", "classifier", "custom_load", "description", "file", "first_conv", "fixed_input_size",
        "hf_hub_filename", "hf_hub_id", "label_descriptions", "label_names", "label_offset", "license",
        "min_input_size", "notes", "num_classes", "origin_url", "paper_ids", "paper_name", "pool_size", "source",
        "state_dict", "tag", "test_crop_pct", "test_input_size", "test_pool_size", "url",
    }
)  # fmt: skip


def read(file: str, values: Mapping[str, Any], prefix: str = "pretrained_cfg.") -> Entries:
    """What a `pretrained_cfg` says.

    Args:
        file: For messages.
        values: Its fields.
        prefix: What stands before their names in messages.

    Raises:
        ModelError: A field is not known, or changes pixels in a way that is not supported.
    """
    fields = Fields(file, values, prefix)
    size = fields.get("input_size", (RGB, 224, 224))
    if not isinstance(size, (list, tuple)) or len(size) != RGB or size[0] != RGB or not all(map(is_side, size)):
        raise fields.refusal("input_size", "[3, height, width]")
    fields.unsupported(("crop_border_pixels",))
    crop_pct = fields.number("crop_pct", CROP_PCT) or CROP_PCT  # as timm takes 0
    if crop_pct <= 0:
        raise fields.refusal("crop_pct", "over 0")
    mode = fields.word("crop_mode", "center", MODES)
    mean, std = fields.three("mean", MEAN), fields.three("std", STD)
    said = entries(
        input_size=(size[1], size[2]),
        resize_mode=MODES[mode],
        resize_size=(math.floor(size[1] / crop_pct), math.floor(size[2] / crop_pct)),
        filter=fields.word("interpolation", "bicubic", FILTERS),
        rounding="timm",
        mean=mean,
        std=std,
        fill_color=(round(255 * mean[0]), round(255 * mean[1]), round(255 * mean[2])) if mode == "border" else None,
    )
    fields.finish(_WITHOUT_EFFECT)
    return said

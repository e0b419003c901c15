"""How the models of transformers pool `last_hidden_state`, by the `model_type` of the `config.json` beside the file.

The source is `modeling_*.py` of transformers 5.24: what each class gives as `pooler_output`, and where it gives none,
what its classifier takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.models.descriptions.fields import Entries

CONFIG = "config.json"


class Family(NamedTuple):
    """How the models of one `model_type` make a vector of their last hidden state.

    Attributes:
        pooling: The word of our option; None where none of them does it.
        behind: What the library does beside the pooling, which a file that ends in `last_hidden_state` lacks.
    """

    pooling: str | None
    behind: str = ""


_CLASS, _MEAN = Family("cls"), Family("avg")
_CLASS_NORM = Family("cls", "a LayerNorm of the pooled vector")
_MEAN_NORM = Family("avg", "a LayerNorm of the pooled vector")
_CLASS_DENSE = Family("cls", "a dense layer with tanh behind the class token")
_PATCHES_NORM = Family("mean_tokens", "a LayerNorm of the pooled vector")
_NORM_MEAN = Family("avg", "a normalization before the mean")
_ATTENTION = Family(None, "pools by an attention head: export pooler_output")

FAMILIES: Mapping[str, Family] = {
    "aimv2_vision_model": _ATTENTION,
    "altclip_vision_model": _CLASS_NORM,
    "beit": _PATCHES_NORM,
    "bit": _MEAN,
    "blip_vision_model": _CLASS_NORM,
    "chinese_clip_vision_model": _CLASS_NORM,
    "clip_vision_model": _CLASS_NORM,
    "clipseg_vision_model": _CLASS_NORM,
    "convnext": _MEAN_NORM,
    "convnextv2": _MEAN_NORM,
    "cvt": Family(None, "takes a LayerNorm of cls_token_value: export that output"),
    "data2vec-vision": _PATCHES_NORM,
    "deit": _CLASS_DENSE,
    "dinat": _MEAN,
    "dinov2": _CLASS,
    "dinov2_with_registers": _CLASS,
    "dinov3_convnext": _CLASS,
    "dinov3_vit": _CLASS,
    "donut-swin": _MEAN,
    "efficientnet": _MEAN,
    "focalnet": _MEAN,
    "hiera": _MEAN_NORM,
    "ijepa": _MEAN,
    "levit": _MEAN,
    "metaclip_2_vision_model": _CLASS_NORM,
    "mlcd_vision_model": _CLASS_NORM,
    "mobilenet_v1": _MEAN,
    "mobilenet_v2": _MEAN,
    "mobilevit": _MEAN,
    "mobilevitv2": _MEAN,
    "pixio": Family(None, "takes the mean of its class tokens: export pooler_output"),
    "poolformer": _NORM_MEAN,
    "pvt": _CLASS,
    "pvt_v2": _MEAN,
    "regnet": _MEAN,
    "resnet": _MEAN,
    "segformer": _MEAN,
    "siglip2_vision_model": _ATTENTION,
    "siglip_vision_model": _ATTENTION,
    "swiftformer": _NORM_MEAN,
    "swin": _MEAN,
    "swinv2": _MEAN,
    "tipsv2_vision_model": _CLASS,
    "vit": _CLASS_DENSE,
    "vit_msn": _CLASS,
    "yolos": _CLASS_DENSE,
}
"""By `model_type`; of a model of images and texts by that of its `vision_config`."""


def family(config: Mapping[str, Any]) -> tuple[str, Family] | None:
    """The `model_type` of a `config.json` and how its library pools; None where it is not in the table.

    Example:
        >>> family({"model_type": "swin"})
        ('swin', Family(pooling='avg', behind=''))
    """
    vision = config.get("vision_config")
    kind = vision.get("model_type") if isinstance(vision, dict) else config.get("model_type")
    found = FAMILIES.get(str(kind))
    if found is None:
        return None
    if found is _PATCHES_NORM and config.get("use_mean_pooling") is False:
        found = _CLASS
    if kind == "efficientnet" and config.get("pooling_type") == "max":
        found = Family("max")
    return str(kind), found


def read(config: Mapping[str, Any]) -> Entries:
    """What a `config.json` says of the pooling, as entries of a description."""
    found = family(config)
    if found is None:
        return {}
    kind, (pooling, behind) = found
    return {"pooling": pooling} if pooling is not None else {"library": f"the library of {kind} {behind}"}

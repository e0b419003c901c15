"""`preprocessor_config.json`: the image processors of transformers, whose classes have the defaults.

The reference is the class on Pillow of transformers 5 (`...ImageProcessorPil`); DINOv3 has none, so there it is the
class on torchvision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider.models.descriptions.fields import Fields, entries, is_side

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.models.descriptions.fields import Entries, Sides, Three

HALF = (0.5, 0.5, 0.5)
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CLIP = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Pillow's numbers."""


class Processor(NamedTuple):
    """The class attributes of an image processor.

    Attributes:
        size: As in the file.
        mean: Of R, G and B.
        std: Likewise.
        resample: Pillow's number of the filter.
        square: `default_to_square`: what a `size` that is one number means.
        crop: `do_center_crop`.
        crop_size: Side of what is cut out, where the class has one.
        convert: `do_convert_rgb`: an image with transparency is laid on white.
    """

    size: Mapping[str, int]
    mean: Three = HALF
    std: Three = HALF
    resample: int = 3
    square: bool = True
    crop: bool = False
    crop_size: int | None = None
    convert: bool = False


def _square(side: int) -> Mapping[str, int]:
    return {"height": side, "width": side}


def _shortest(side: int) -> Mapping[str, int]:
    return {"shortest_edge": side}


_CLIP = Processor(_shortest(224), *CLIP, square=False, crop=True, crop_size=224, convert=True)
_MOBILENET = Processor(_shortest(256), resample=2, square=False, crop=True, crop_size=224)

PROCESSORS: Mapping[str, Processor] = {
    "BeitImageProcessor": Processor(_square(224), crop_size=224),
    "BitImageProcessor": _CLIP,
    "BlipImageProcessor": Processor(_square(384), *CLIP, convert=True),
    "ChineseCLIPImageProcessor": _CLIP,
    "CLIPImageProcessor": _CLIP,
    "ConvNextImageProcessor": Processor(_shortest(384), square=False),
    "DINOv3ViTImageProcessor": Processor(_square(224), *IMAGENET, resample=2),
    "DeiTImageProcessor": Processor(_square(256), crop=True, crop_size=224),
    "EfficientNetImageProcessor": Processor(_square(346), crop_size=289),
    "LevitImageProcessor": Processor(_shortest(224), *IMAGENET, square=False, crop=True, crop_size=224),
    "MobileNetV1ImageProcessor": _MOBILENET,
    "MobileNetV2ImageProcessor": _MOBILENET,
    "MobileViTImageProcessor": Processor(_shortest(224), square=False, crop=True, crop_size=256),
    "PvtImageProcessor": Processor(_square(224), *IMAGENET),
    "SiglipImageProcessor": Processor(_square(224), square=False, convert=True),
    "ViTImageProcessor": Processor(_square(224), resample=2),
}
"""Those that prepare an image as one tensor of a fixed size."""

# Bookkeeping of transformers; what batches, labels and tensors of other frameworks are like.
_WITHOUT_EFFECT = frozenset(
    {
        "_processor_class", "_valid_processor_keys", "data_format", "device", "disable_grouping", "do_reduce_labels",
        "feature_extractor_type", "image_processor_type", "image_seq_length", "input_data_format", "model_input_names",
        "processor_class", "reduce_labels", "return_tensors", "transformers_version",
    }
)  # fmt: skip

_NAFLEX = ("patch_size", "max_num_patches")

_WARPED_FROM = 384
"""ConvNeXT's processor squashes from this side on, and cuts below it."""

_LEVELS = 255.0


def read(file: str, values: Mapping[str, Any]) -> Entries:
    """What a `preprocessor_config.json` says.

    Args:
        file: For messages.
        values: Its fields.

    Raises:
        ModelError: A field is not known, or changes pixels in a way that is not supported.
    """
    fields = Fields(file, values)
    kind = _kind(fields)
    processor = PROCESSORS[kind]
    fields.unsupported(("auto_map", "do_pad", "pad_size", "size_divisor", "max_size", "use_square_size"))
    if not fields.flag("do_resize", default=True):
        raise fields.refusal("do_resize", "true: a network takes images of one size")
    geometry = _geometry(fields, kind, processor)
    mean, std = _scale(fields, kind, processor)
    resample = fields.get("resample", processor.resample)
    if not isinstance(resample, int) or resample not in FILTERS:
        raise fields.refusal("resample", "Pillow's number of a filter, 0 to 5")
    flips = fields.flag("do_flip_channel_order", default=kind == "MobileViTImageProcessor")
    if flips and kind != "MobileViTImageProcessor":
        raise fields.refusal("do_flip_channel_order", f"left out: {kind} does not know it")
    convert = fields.flag("do_convert_rgb", processor.convert)
    fields.finish(_WITHOUT_EFFECT)
    return entries(
        **geometry,
        filter=FILTERS[resample],
        rounding="transformers",
        mean=mean,
        std=std,
        color_order="BGR" if flips else "RGB",
        resize_dtype="float32" if kind == "DINOv3ViTImageProcessor" else "uint8",
        background=(255, 255, 255) if convert else None,
    )


def _kind(fields: Fields) -> str:
    """The class, in whatever spelling and of whatever backend the file names it."""
    name = "image_processor_type" if fields.get("image_processor_type") is not None else "feature_extractor_type"
    kind = str(fields.get(name, "")).replace("FeatureExtractor", "ImageProcessor")
    kind = kind.removesuffix("Fast").removesuffix("Pil")
    naflex = [field for field in _NAFLEX if fields.get(field) is not None]
    if kind.startswith("Siglip2") or naflex:
        raise fields.refusal(
            naflex[0] if naflex else name,
            "left out: NaFlex makes patches of images in their own shape, and only models with one size of images are "
            "supported, such as SigLIP 2 with a SiglipImageProcessor",
        )
    if kind not in PROCESSORS:
        raise fields.refusal(name, f"one of {', '.join(sorted(PROCESSORS))}")
    return kind


def _geometry(fields: Fields, kind: str, processor: Processor) -> dict[str, Any]:
    """Sizes and mode, as keywords of `entries`."""
    mode, resized = _resized(fields, processor)
    crops = fields.flag("do_center_crop", processor.crop)
    crop = fields.get("crop_size", processor.crop_size)
    if kind == "ConvNextImageProcessor":
        return _convnext(fields, mode, resized[0], crops=crops)
    if kind == "LevitImageProcessor" and mode == "center_crop":
        side = int((256 / 224) * resized[0])  # as its class writes it
        resized = (side, side)
    if not crops:
        if mode == "center_crop":
            raise fields.refusal("do_center_crop", "true, as size is the shortest edge: images would have any size")
        return {"resize_mode": mode, "input_size": resized}
    if crop is None:
        raise fields.refusal("crop_size", "given, as do_center_crop is true")
    target = _crop(fields, crop)
    if kind == "DINOv3ViTImageProcessor" and (mode != "squash" or target[0] > resized[0] or target[1] > resized[1]):
        raise fields.refusal("crop_size", "at most size, which must have a height and a width")
    return {"resize_mode": mode, "resize_size": resized, "input_size": target}


def _resized(fields: Fields, processor: Processor) -> tuple[str, Sides]:
    """The mode, and the size that it takes before a cut."""
    square = fields.flag("default_to_square", processor.square)
    size = fields.get("size", processor.size)
    if is_side(size):
        return "squash" if square else "center_crop", (size, size)
    if isinstance(size, dict):
        size = {name: side for name, side in size.items() if side is not None}
        if set(size) == {"shortest_edge"} and is_side(size["shortest_edge"]):
            return "center_crop", (size["shortest_edge"], size["shortest_edge"])
        if set(size) == {"height", "width"} and all(map(is_side, size.values())):
            return "squash", (size["height"], size["width"])
        raise fields.refusal("size", "of a height and a width, or of a shortest_edge")
    return "squash", fields.sides("size", size)


def _crop(fields: Fields, crop: Any) -> Sides:
    if isinstance(crop, dict):
        if set(crop) != {"height", "width"} or not all(map(is_side, crop.values())):
            raise fields.refusal("crop_size", "of a height and a width")
        return crop["height"], crop["width"]
    return fields.sides("crop_size", crop)


def _convnext(fields: Fields, mode: str, side: int, *, crops: bool) -> dict[str, Any]:
    crop_pct = fields.number("crop_pct", 224 / 256)
    if mode != "center_crop":
        raise fields.refusal("size", "of a shortest_edge")
    if crops:
        raise fields.refusal("do_center_crop", "false: this processor cuts by crop_pct")
    if side >= _WARPED_FROM:
        return {"resize_mode": "squash", "input_size": (side, side)}
    if not 0 < crop_pct <= 1:
        raise fields.refusal("crop_pct", "over 0 and at most 1")
    resized = int(side / crop_pct)
    return {"resize_mode": mode, "resize_size": (resized, resized), "input_size": (side, side)}


def _scale(fields: Fields, kind: str, processor: Processor) -> tuple[Three, Three]:
    """Rescaling and normalisation as one mean and std of levels in [0, 1]."""
    factor = fields.number("rescale_factor", 1 / _LEVELS)
    factor = factor if fields.flag("do_rescale", default=True) else 1.0
    mean, std = fields.three("image_mean", processor.mean), fields.three("image_std", processor.std)
    # MobileViT's class reads do_normalize, image_mean and image_std and uses none of them
    normalizes = fields.flag("do_normalize", default=True) and kind != "MobileViTImageProcessor"
    offset, again = 0.0, False
    if kind == "EfficientNetImageProcessor":
        offset = -1.0 if fields.flag("rescale_offset", default=False) and fields.flag("do_rescale", default=True) else 0
        again = fields.flag("include_top", default=True)  # divides by the std once more
    for name, values in (("rescale_factor", [factor]), ("image_std", std)):
        if not all(values):
            raise fields.refusal(name, "other than 0")
    if not normalizes:
        mean, divisors = (0.0, 0.0, 0.0), (std if again else (1.0, 1.0, 1.0))
    else:
        divisors = (std[0] ** 2, std[1] ** 2, std[2] ** 2) if again else std
    levels = factor * _LEVELS
    red, green, blue = (((value - offset) / levels, divisor / levels) for value, divisor in zip(mean, divisors))
    return (red[0], green[0], blue[0]), (red[1], green[1], blue[1])

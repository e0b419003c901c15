"""The networks that `export` can build, by name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Backbone(NamedTuple):
    """A network of `keras.applications` that `export` can build.

    Attributes:
        module: Its module there, which has its `preprocess_input`.
        application: The function that builds it.
        side: Height and width in pixels that its ImageNet weights were trained for (its `default_size` in Keras).
    """

    module: str
    application: str
    side: int


REGISTRY: Mapping[str, Backbone] = {
    "convnext_tiny": Backbone("convnext", "ConvNeXtTiny", 224),
    "convnext_small": Backbone("convnext", "ConvNeXtSmall", 224),
    "convnext_base": Backbone("convnext", "ConvNeXtBase", 224),
    "convnext_large": Backbone("convnext", "ConvNeXtLarge", 224),
    "convnext_xlarge": Backbone("convnext", "ConvNeXtXLarge", 224),
    "densenet121": Backbone("densenet", "DenseNet121", 224),
    "densenet169": Backbone("densenet", "DenseNet169", 224),
    "densenet201": Backbone("densenet", "DenseNet201", 224),
    "efficientnet_b0": Backbone("efficientnet", "EfficientNetB0", 224),
    "efficientnet_b1": Backbone("efficientnet", "EfficientNetB1", 240),
    "efficientnet_b2": Backbone("efficientnet", "EfficientNetB2", 260),
    "efficientnet_b3": Backbone("efficientnet", "EfficientNetB3", 300),
    "efficientnet_b4": Backbone("efficientnet", "EfficientNetB4", 380),
    "efficientnet_b5": Backbone("efficientnet", "EfficientNetB5", 456),
    "efficientnet_b6": Backbone("efficientnet", "EfficientNetB6", 528),
    "efficientnet_b7": Backbone("efficientnet", "EfficientNetB7", 600),
    "efficientnet_v2_b0": Backbone("efficientnet_v2", "EfficientNetV2B0", 224),
    "efficientnet_v2_b1": Backbone("efficientnet_v2", "EfficientNetV2B1", 240),
    "efficientnet_v2_b2": Backbone("efficientnet_v2", "EfficientNetV2B2", 260),
    "efficientnet_v2_b3": Backbone("efficientnet_v2", "EfficientNetV2B3", 300),
    "efficientnet_v2_s": Backbone("efficientnet_v2", "EfficientNetV2S", 384),
    "efficientnet_v2_m": Backbone("efficientnet_v2", "EfficientNetV2M", 480),
    "efficientnet_v2_l": Backbone("efficientnet_v2", "EfficientNetV2L", 480),
    "inception_resnet_v2": Backbone("inception_resnet_v2", "InceptionResNetV2", 299),
    "inception_v3": Backbone("inception_v3", "InceptionV3", 299),
    "mobilenet": Backbone("mobilenet", "MobileNet", 224),
    "mobilenet_v2": Backbone("mobilenet_v2", "MobileNetV2", 224),
    "mobilenet_v3_large": Backbone("mobilenet_v3", "MobileNetV3Large", 224),
    "mobilenet_v3_small": Backbone("mobilenet_v3", "MobileNetV3Small", 224),
    "nasnet_large": Backbone("nasnet", "NASNetLarge", 331),
    "nasnet_mobile": Backbone("nasnet", "NASNetMobile", 224),
    "resnet50": Backbone("resnet50", "ResNet50", 224),
    "resnet50_v2": Backbone("resnet_v2", "ResNet50V2", 224),
    "resnet101": Backbone("resnet", "ResNet101", 224),
    "resnet101_v2": Backbone("resnet_v2", "ResNet101V2", 224),
    "resnet152": Backbone("resnet", "ResNet152", 224),
    "resnet152_v2": Backbone("resnet_v2", "ResNet152V2", 224),
    "vgg16": Backbone("vgg16", "VGG16", 224),
    "vgg19": Backbone("vgg19", "VGG19", 224),
    "xception": Backbone("xception", "Xception", 299),
}
"""Every application of Keras, by its name in snake case; `MobileNetV2` and `mobilenetv2` are found, too."""


def comparable(name: str) -> str:
    """The name without what spellings differ in: case and all that is not a letter or digit."""
    return re.sub("[^a-z0-9]", "", name.lower())

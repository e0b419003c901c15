"""The output that is taken where nobody names one: none of several maps, and a classifier's with a warning."""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hub_networks import OPTIONS, described, matrix, onnx, save
from onnx_nets import Net, new_net

from sparkcider import FeatureExtractor, models
from sparkcider.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM, CLASSES, KIND = 8, 5, onnx.TensorProto.FLOAT
INPUT: dict[str, Any] = {"image": (KIND, ["N", 3, 48, 48])}


def stages(path: Path, outputs: dict[str, list[Any]]) -> Path:
    """Two maps and their mean, as `features_only` of timm gives maps."""
    made = new_net()
    first = made.add("Conv", ["image", made.floats(DIM, 3, 4, 4)], "stem", kernel_shape=[4, 4], strides=[4, 4])
    made.add("Conv", [first, made.floats(DIM, DIM, 2, 2)], "stage", kernel_shape=[2, 2], strides=[2, 2])
    made.add("Flatten", [made.add("GlobalAveragePool", ["stage"], "pool")], "vector")
    return save(made, path, INPUT, {name: (KIND, axes) for name, axes in outputs.items()})


STEM, STAGE = ["N", DIM, 12, 12], ["N", DIM, None, None]


def test_of_several_maps_the_user_must_name_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = stages(tmp_path / "x.onnx", {"stem": STEM, "stage": STAGE})
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        FeatureExtractor(path, **OPTIONS)
    assert str(caught.value) == (
        f"layer is required (the name of a tensor): {path} has several outputs, stem (N, 8, 12, 12), "
        "stage (N, 8, ?, ?), and none is called image_embeds, pooler_output, last_hidden_state"
    )
    assert FeatureExtractor(path, layer="stage", **OPTIONS).outputs == {"stage": "avg"}
    assert FeatureExtractor(path, layer=["stem", "stage"], **OPTIONS).embedding_dim == 2 * DIM
    assert models.show(path).output is None
    assert main(["model", "show", str(path)]) == 0
    assert "features from   several outputs: give layer" in capsys.readouterr().out.splitlines()
    assert "stage" in [layer.name for layer in models.layers(path)]
    assert FeatureExtractor(described(path, output_name="stage"), **OPTIONS).outputs == {"stage": "avg"}


@pytest.mark.parametrize(
    ("outputs", "taken"),
    [
        ({"stage": STAGE}, {"stage": "avg"}),
        ({"vector": ["N", DIM], "stage": STAGE}, {"vector": None}),
        ({"stem": STEM, "stage": STAGE, "pooler_output": ["N", DIM]}, {"pooler_output": None}),
    ],
    ids=["one map", "a vector first", "a known name"],
)
def test_what_is_certain_need_not_be_named(tmp_path: Path, outputs: dict[str, list[Any]], taken: dict[str, str | None]):
    path = stages(tmp_path / "x.onnx", outputs if "pooler_output" not in outputs else {"stem": STEM, "stage": STAGE})
    if "pooler_output" in outputs:
        model = onnx.load(path)
        model.graph.node.append(onnx.helper.make_node("Identity", ["vector"], ["pooler_output"]))
        model.graph.output.append(onnx.helper.make_tensor_value_info("pooler_output", KIND, ["N", DIM]))
        onnx.save(model, path)
    assert FeatureExtractor(path, **OPTIONS).outputs == taken


# Classifiers


def classifier(path: Path, head: Callable[[Net, str], str], name: str) -> Path:
    made = new_net()
    words = {"kernel_shape": [16, 16], "strides": [16, 16]}
    pool = made.add(
        "GlobalAveragePool", [made.add("Conv", ["image", made.floats(DIM, 3, 16, 16)], "map", **words)], "pool"
    )
    made.add("Identity", [head(made, made.add("Flatten", [pool], "flat"))], name)
    return save(made, path, INPUT, {name: (KIND, ["N", CLASSES])})


def product(made: Net, name: str) -> str:
    return made.add("MatMul", [name, made.floats(DIM, CLASSES)], "product")


def with_bias(made: Net, name: str) -> str:
    return made.add("Add", [product(made, name), made.floats(CLASSES)], "biased")


def softmax(made: Net, name: str) -> str:
    return made.add("Softmax", [with_bias(made, name)], "soft")


def reshaped(made: Net, name: str) -> str:
    return made.add("Reshape", [softmax(made, name), made.weight(np.array([0, -1]))], "reshaped")


def quantized(made: Net, name: str) -> str:
    scale, zero = made.weight(np.float32(0.1)), made.weight(np.uint8(0))
    weights = made.weight(np.ones((DIM, CLASSES), np.uint8))
    return made.add("MatMul", [name, made.add("DequantizeLinear", [weights, scale, zero], "weights")], "product")


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (product, "logits"),
        (with_bias, "probabilities"),
        (with_bias, "model/Logits:0"),
        (quantized, "logits"),
        (softmax, "output"),
        (reshaped, "output"),
    ],
)
def test_a_classifiers_output_is_taken_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], head: Callable[[Net, str], str], name: str
):
    path = classifier(tmp_path / "x.onnx", head, name)
    doubt = f"'{name}' is the output of a classifier, its classes: layer='flat' takes its last hidden layer"
    with pytest.warns(UserWarning, match="classifier") as caught:
        extractor = FeatureExtractor(path, **OPTIONS)
    assert [(str(warning.message), warning.filename) for warning in caught] == [
        (f"features of {path}: {doubt}", __file__)
    ]
    assert extractor.embedding_dim == CLASSES
    assert main(["model", "show", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["features_from"] == doubt
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extractor.twin()
        assert FeatureExtractor(path, layer="flat", **OPTIONS).embedding_dim == DIM
        named = FeatureExtractor(path, layer=name, **OPTIONS)
        np.testing.assert_array_equal(matrix(named), matrix(extractor))
        assert FeatureExtractor(described(path, output_name=name), **OPTIONS).embedding_dim == CLASSES
    assert models.show(path).doubt is None


def test_what_is_no_classifier_gives_no_warning(tmp_path: Path):
    for head, name in ((product, "embedding"), (product, "catalogits")):
        assert FeatureExtractor(classifier(tmp_path / "x.onnx", head, name), **OPTIONS).embedding_dim == CLASSES

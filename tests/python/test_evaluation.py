"""Graphs that draw random numbers, or were exported in training mode, are refused; what only looks like it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hub_networks import OPTIONS, matrix, onnx, save
from onnx_nets import Net, new_net

from sparkcider import FeatureExtractor, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DIM, KIND = 8, onnx.TensorProto.FLOAT
CHANCE = r": on the way to 'pooler_output' it draws random numbers \({}\), so .*; export it without masking, noise and "
TRAINING = (
    r": on the way to 'pooler_output' it was exported in training mode \({}\), .*; export it in evaluation mode, "
)


def network(path: Path, middle: Callable[[Net, str], str], opset: int = 17) -> Path:
    """A convolution, what `middle` adds behind it, and the mean over the map."""
    made = new_net()
    words = {"kernel_shape": [16, 16], "strides": [16, 16]}
    map_ = middle(made, made.add("Conv", ["pixel_values", made.floats(DIM, 3, 16, 16)], "map", **words))
    made.add("Flatten", [made.add("GlobalAveragePool", [map_], "pool")], "pooler_output")
    save(made, path, {"pixel_values": (KIND, ["N", 3, 48, 48])}, {"pooler_output": (KIND, ["N", DIM])})
    model = onnx.load(path)
    model.opset_import[0].version = opset
    onnx.save(model, path)
    return path


def truth(made: Net, *, value: bool, how: str) -> str:
    """A constant of one boolean: a weight or the result of a Constant, its values raw or not."""
    made_by = (
        onnx.numpy_helper.from_array
        if "raw" in how
        else lambda array, name: onnx.helper.make_tensor(name, onnx.TensorProto.BOOL, [], [bool(array)])
    )
    tensor = made_by(np.array(value), "training")
    if "weight" in how:
        made.weights.append(tensor)
        return "training"
    return made.add("Constant", [], "training", value=tensor)


def chance(operator: str, **words: Any) -> Callable[[Net, str], str]:
    def middle(made: Net, name: str) -> str:
        if operator in ("RandomNormal", "RandomUniform"):
            drawn = made.add(operator, [], "drawn", shape=[1, DIM, 3, 3])
        elif operator == "Multinomial":
            flat = made.add("Reshape", [name, made.weight(np.array([-1, DIM * 9]))], "flat")
            chosen = made.add("Cast", [made.add(operator, [flat], "chosen", sample_size=1)], "cast", to=KIND)
            drawn = made.add("Reshape", [chosen, made.weight(np.array([-1, 1, 1, 1]))], "drawn")
        else:
            given = made.add("Sigmoid", [name], "given") if operator == "Bernoulli" else name
            drawn = made.add(operator, [given], "drawn", **words)
        return made.add("Mul", [name, drawn], "masked")

    return middle


@pytest.mark.parametrize(
    "operator",
    ["RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"],
)
def test_random_operators_on_the_way_to_the_output_are_refused(tmp_path: Path, operator: str):
    path = network(tmp_path / "x.onnx", chance(operator))
    with pytest.raises(ModelError, match=CHANCE.format(operator)):
        FeatureExtractor(path, **OPTIONS)
    assert FeatureExtractor(path, layer="map", **OPTIONS).outputs == {"map": "avg"}


def test_a_seed_does_not_help(tmp_path: Path):
    path = network(tmp_path / "x.onnx", chance("RandomUniformLike", seed=1.0))
    with pytest.raises(ModelError, match=CHANCE.format("RandomUniformLike")):
        FeatureExtractor(path, **OPTIONS)


def test_random_operators_inside_of_others_are_found(tmp_path: Path):
    value, node = onnx.helper.make_tensor_value_info, onnx.helper.make_node

    def branch(made: Net, name: str) -> str:
        inner = [node("RandomNormalLike", [name], ["noise"]), node("Add", [name, "noise"], ["out"])]
        chosen = onnx.helper.make_graph(inner, "then", [], [value("out", KIND, None)])
        other = onnx.helper.make_graph([node("Identity", [name], ["same"])], "else", [], [value("same", KIND, None)])
        made.nodes.append(
            node("If", [truth(made, value=False, how="weight")], ["either"], then_branch=chosen, else_branch=other)
        )
        return "either"

    with pytest.raises(ModelError, match=CHANCE.format("RandomNormalLike")):
        FeatureExtractor(network(tmp_path / "x.onnx", branch), **OPTIONS)


@pytest.mark.parametrize("value", [True, False])
def test_functions_of_the_file_are_looked_through(tmp_path: Path, *, value: bool):
    path = network(tmp_path / "x.onnx", lambda made, name: made.add("outer", [name], "called", domain="local"))
    model, node = onnx.load(path), onnx.helper.make_node
    opset = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("local", 1)]
    mode = node("Constant", [], ["mode"], value=onnx.numpy_helper.from_array(np.array(value), ""))
    inner = [mode, node("Dropout", ["x", "", "mode"], ["y"])]
    model.functions.extend(
        [
            onnx.helper.make_function("local", "inner", ["x"], ["y"], inner, opset[:1]),
            onnx.helper.make_function(
                "local", "outer", ["x"], ["y"], [node("inner", ["x"], ["y"], domain="local")], opset
            ),
        ]
    )
    model.opset_import.append(opset[1])
    onnx.save(model, path)
    if value:
        with pytest.raises(ModelError, match=TRAINING.format("Dropout")):
            FeatureExtractor(path, **OPTIONS)
    else:
        np.testing.assert_array_equal(
            matrix(FeatureExtractor(path, **OPTIONS)), matrix(FeatureExtractor(path, **OPTIONS))
        )


@pytest.mark.parametrize("how", ["raw weight", "weight", "raw constant", "constant"])
@pytest.mark.parametrize("value", [True, False])
def test_dropout_is_refused_in_training_mode_only(tmp_path: Path, how: str, *, value: bool):
    def middle(made: Net, name: str) -> str:
        return made.add("Dropout", [name, "", truth(made, value=value, how=how)], "dropped")

    path = network(tmp_path / "x.onnx", middle)
    if value:
        with pytest.raises(ModelError, match=TRAINING.format("Dropout")):
            FeatureExtractor(path, **OPTIONS)
    else:
        assert FeatureExtractor(path, **OPTIONS).embedding_dim == DIM


def test_dropout_whose_mode_is_computed_is_refused(tmp_path: Path):
    def middle(made: Net, name: str) -> str:
        size = made.add("Gather", [made.add("Shape", [name], "shape"), made.weight(np.array(0))], "n")
        mode = made.add("Greater", [size, made.weight(np.array(1))], "mode")
        return made.add("Dropout", [name, "", mode], "dropped")

    with pytest.raises(ModelError, match=TRAINING.format("Dropout")):
        FeatureExtractor(network(tmp_path / "x.onnx", middle), **OPTIONS)
    plain = network(tmp_path / "y.onnx", lambda made, name: made.add("Dropout", [name], "dropped"))
    assert FeatureExtractor(plain, **OPTIONS).embedding_dim == DIM


def norm(outputs: int, **words: Any) -> Callable[[Net, str], str]:
    def middle(made: Net, name: str) -> str:
        scales = [made.weight(np.full(DIM, value, np.float32)) for value in (1, 0, 0, 1)]
        names = [f"n{at}" for at in range(outputs)]
        made.nodes.append(onnx.helper.make_node("BatchNormalization", [name, *scales], names, **words))
        return names[0]

    return middle


@pytest.mark.parametrize(
    ("opset", "outputs", "words"), [(17, 3, {"training_mode": 1}), (13, 5, {}), (9, 5, {})], ids=["17", "13", "9"]
)
def test_batch_normalisation_in_training_mode_is_refused(
    tmp_path: Path, opset: int, outputs: int, words: dict[str, int]
):
    path = network(tmp_path / "x.onnx", norm(outputs, **words), opset)
    with pytest.raises(ModelError, match=TRAINING.format("BatchNormalization")):
        FeatureExtractor(path, **OPTIONS)
    plain = network(tmp_path / "y.onnx", norm(1), opset)
    assert FeatureExtractor(plain, **OPTIONS).embedding_dim == DIM

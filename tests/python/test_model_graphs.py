"""Graphs as hubs have them, against onnxruntime's own tensors on the same input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hub_networks import (
    AXES,
    DIM,
    OPTIONS,
    PATCH,
    PATCHES,
    SIDE,
    clip,
    described,
    images,
    matrix,
    onnx,
    pooled,
    reference,
    save,
    tokens_of,
    vit,
)
from onnx_nets import new_net

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

# The axes of the input


@pytest.mark.parametrize("image", ["pixel_values", "image"])
def test_an_input_of_dynamic_axes_is_channels_first_by_its_name_or_its_convolution(tmp_path: Path, image: str) -> None:
    path = vit(tmp_path / "vit.onnx", image=image)
    extractor = FeatureExtractor(path, **OPTIONS)
    assert extractor.preprocessing["layout"] == "NCHW"
    np.testing.assert_array_equal(matrix(extractor), reference(path, extractor, "pooler_output"))


def before_the_convolution(path: Path, operators: list[str]) -> Path:
    made, name = new_net(), "x"
    for at, operator in enumerate(operators):
        value = made.weight(np.float32(2)) if operator in ("Mul", "Sub", "Div", "Add") else None
        words = {"to": onnx.TensorProto.FLOAT} if operator == "Cast" else {}
        words |= {"perm": [0, 3, 1, 2]} if operator == "Transpose" else {}
        name = made.add(operator, [name, value] if value else [name], f"v{at}", **words)
    pooled(made, tokens_of(made, name))
    kind = onnx.TensorProto.FLOAT
    return save(made, path, {"x": (kind, AXES)}, {"pooler_output": (kind, ["N", DIM])})


def test_the_convolution_is_found_behind_changes_of_values_alone(tmp_path: Path) -> None:
    plain = before_the_convolution(tmp_path / "values.onnx", ["Cast", "Identity", "Div", "Sub", "Mul", "Add"])
    assert FeatureExtractor(plain, **OPTIONS).preprocessing["layout"] == "NCHW"
    moved = before_the_convolution(tmp_path / "moved.onnx", ["Transpose"])
    with pytest.raises(ValueError, match=r"^layout is required \(NCHW or NHWC\): the input \(N, \?, \?, \?\) of "):
        FeatureExtractor(moved, **OPTIONS)
    assert FeatureExtractor(moved, layout="NHWC", **OPTIONS).embedding_dim == DIM


def test_the_users_layout_wins_over_the_name(tmp_path: Path) -> None:
    made = new_net()
    name = made.add("Transpose", ["pixel_values"], "turned", perm=[0, 3, 1, 2])
    pooled(made, tokens_of(made, name))
    kind = onnx.TensorProto.FLOAT
    path = save(made, tmp_path / "x.onnx", {"pixel_values": (kind, AXES)}, {"pooler_output": (kind, ["N", DIM])})
    assert FeatureExtractor(path, layout="NHWC", **OPTIONS).preprocessing["layout"] == "NHWC"


# The output that is taken


def test_the_usual_outputs_go_before_the_first(tmp_path: Path) -> None:
    path = vit(tmp_path / "vit.onnx")
    assert [name for name, _ in models.show(path).outputs] == ["last_hidden_state", "pooler_output"]
    assert FeatureExtractor(path, **OPTIONS).outputs == {"pooler_output": None}
    bare = vit(tmp_path / "bare.onnx", pooler=False)
    assert FeatureExtractor(bare, **OPTIONS).outputs == {"last_hidden_state": "cls"}
    described(path, output_name="hidden", pooling="max")
    assert FeatureExtractor(path, **OPTIONS).outputs == {"hidden": "max"}
    assert FeatureExtractor("pixels").outputs == {}


def test_outputs_of_several_layers_say_how_each_is_pooled(tmp_path: Path) -> None:
    path = vit(tmp_path / "vit.onnx")
    extractor = FeatureExtractor(
        path, layer=["last_hidden_state", "pooler_output", "patches"], pooling="avg", **OPTIONS
    )
    assert extractor.outputs == {"last_hidden_state": "avg", "pooler_output": None, "patches": "avg"}
    assert extractor.layer_dims == {"last_hidden_state": DIM, "pooler_output": DIM, "patches": DIM}


# Tokens


@pytest.mark.parametrize("prefix", [(1,), (4, 1)], ids=["class", "class and registers"])
def test_tokens_are_pooled_as_numpy_pools_them(tmp_path: Path, prefix: tuple[int, ...]) -> None:
    path = vit(tmp_path / "vit.onnx", pooler=False, prefix=prefix)
    plain = FeatureExtractor(path, **OPTIONS)
    tokens = reference(path, plain, "last_hidden_state")
    assert tokens.shape == (3, PATCHES + sum(prefix), DIM)
    np.testing.assert_array_equal(matrix(plain), tokens[:, 0])
    np.testing.assert_array_equal(
        matrix(FeatureExtractor(path, pooling="flatten", **OPTIONS)), tokens.reshape(len(tokens), -1)
    )
    np.testing.assert_array_equal(matrix(FeatureExtractor(path, pooling="max", **OPTIONS)), tokens.max(axis=1))
    for pooling, expected in (("mean_tokens", tokens[:, sum(prefix) :]), ("avg", tokens)):
        found = matrix(FeatureExtractor(path, pooling=pooling, **OPTIONS))
        np.testing.assert_allclose(found, expected.mean(axis=1), rtol=0, atol=1e-6)


def test_tokens_behind_the_patches_must_be_counted_by_the_user(tmp_path: Path) -> None:
    path = vit(tmp_path / "vit.onnx", pooler=False, prefix=(2,), patches_last=False)
    with pytest.raises(
        ValueError,
        match=r"^prefix_tokens is required \(a number\): output 'last_hidden_state' of .* has tokens, \(N, 11, 24\), "
        r"and its graph does not tell how many of them \(class, registers\) come before those of the patches$",
    ):
        FeatureExtractor(path, pooling="mean_tokens", **OPTIONS)
    said = FeatureExtractor(path, pooling="mean_tokens", prefix_tokens=3, **OPTIONS)
    expected = reference(path, said, "last_hidden_state")[:, 3:].mean(axis=1)
    np.testing.assert_allclose(matrix(said), expected, rtol=0, atol=1e-6)
    described(path, prefix_tokens="3", pooling="mean_tokens")
    np.testing.assert_array_equal(matrix(FeatureExtractor(path, **OPTIONS)), matrix(said))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pooling": "mean_tokens", "prefix_tokens": 5},
            "prefix_tokens must be 1, as 9 of the 10 tokens of 'last_hidden_state' are patches in FILE, got 5",
        ),
        (
            {"prefix_tokens": 1},
            (
                "prefix_tokens must be left out, as output 'last_hidden_state' of FILE has tokens, and pooling is not "
                "mean_tokens, got 1"
            ),
        ),
        (
            {"layer_layout": "NCHW"},
            (
                "layer_layout must be left out, as output 'last_hidden_state' of FILE has tokens, and pooling is not "
                "mean_tokens, got NCHW"
            ),
        ),
        (
            {"layer": "hidden"},
            (
                "pooling is required (cls, mean_tokens, avg, max or flatten): output 'hidden' of FILE has tokens, "
                "(N, 10, 24)"
            ),
        ),
        (
            {"layer": "patches", "pooling": "cls"},
            "pooling must be avg, max or flatten, as output 'patches' of FILE is a feature map, got cls",
        ),
        ({"prefix_tokens": -1}, "prefix_tokens must be a whole number from 0 to 1024, got -1"),
    ],
    ids=str,
)
def test_what_tokens_cannot_take_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = vit(tmp_path / "vit.onnx", pooler=False)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        FeatureExtractor(path, **options, **OPTIONS)
    assert str(caught.value).replace(str(path), "FILE") == message


def test_a_transformer_without_class_token_has_none_to_take(tmp_path: Path) -> None:
    path = vit(tmp_path / "vit.onnx", pooler=False, prefix=())
    with pytest.raises(
        ValueError, match=r"^pooling is required \(cls, mean_tokens, .*\): .* has tokens, \(N, 9, 24\)$"
    ):
        FeatureExtractor(path, **OPTIONS)
    with pytest.raises(ValueError, match=r"^pooling must be mean_tokens, avg, .* none before its patches, got cls$"):
        FeatureExtractor(path, pooling="cls", **OPTIONS)
    mean = matrix(FeatureExtractor(path, pooling="mean_tokens", **OPTIONS))
    np.testing.assert_array_equal(mean, matrix(FeatureExtractor(path, pooling="avg", **OPTIONS)))


def test_a_wrong_number_of_prefix_tokens_in_a_file_is_the_files_fault(tmp_path: Path) -> None:
    path = described(vit(tmp_path / "vit.onnx", pooler=False), prefix_tokens="two")
    with pytest.raises(
        ModelError, match=r"metadata sparkcider\.prefix_tokens must be a whole number from 0 to 1024, got"
    ):
        FeatureExtractor(path, **OPTIONS)


def test_what_a_file_says_of_its_tokens_is_not_about_another_layer(tmp_path: Path) -> None:
    path = described(vit(tmp_path / "vit.onnx", pooler=False), pooling="mean_tokens", prefix_tokens="1")
    assert FeatureExtractor(path, **OPTIONS).outputs == {"last_hidden_state": "mean_tokens"}
    assert FeatureExtractor(path, layer="patches", **OPTIONS).outputs == {"patches": "avg"}
    with pytest.raises(ValueError, match=r"^pooling is required \(cls, mean_tokens, .*\): output 'hidden'"):
        FeatureExtractor(path, layer="hidden", **OPTIONS)
    described(path, output_name="patches", pooling="cls")
    with pytest.raises(
        ModelError, match=r"metadata sparkcider\.pooling must be avg, max or flatten, as output 'patches'"
    ):
        FeatureExtractor(path, **OPTIONS)


# Length one


def test_vectors_are_divided_by_their_norm(tmp_path: Path) -> None:
    path = vit(tmp_path / "vit.onnx")
    plain, unit = (FeatureExtractor(path, l2_normalize=chosen, **OPTIONS) for chosen in (False, True))
    assert (plain.l2_normalize, unit.l2_normalize) == (False, True)
    rows = matrix(plain)
    np.testing.assert_allclose(matrix(unit), rows / np.linalg.norm(rows, axis=1, keepdims=True), rtol=1e-6)
    np.testing.assert_array_equal(matrix(unit._inputs()), matrix(plain._inputs()))
    np.testing.assert_array_equal(matrix(unit.twin()), matrix(unit))


def test_each_layer_and_pixels_are_divided_by_their_own_norm(tmp_path: Path) -> None:
    path, layers = vit(tmp_path / "vit.onnx"), ["pooler_output", "patches"]
    several = FeatureExtractor(path, layer=layers, l2_normalize=True, **OPTIONS).extract(images())[0]
    for layer in layers:
        alone = FeatureExtractor(path, layer=layer, l2_normalize=True, **OPTIONS)
        found = several.field(layer).flatten().to_numpy().reshape(3, -1)
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-6)
        np.testing.assert_allclose(found, matrix(alone), rtol=1e-5, atol=1e-7)
    pixels = matrix(FeatureExtractor("pixels", l2_normalize=True))
    np.testing.assert_allclose(np.linalg.norm(pixels, axis=1), 1, rtol=1e-6)
    black = pa.array([encode_png(np.zeros((4, 4, 3), np.uint8))])
    assert FeatureExtractor("pixels", l2_normalize=True).extract(black)[0].flatten().to_numpy().any() == np.False_


def test_a_file_can_say_that_its_vectors_have_length_one(tmp_path: Path) -> None:
    path = described(vit(tmp_path / "vit.onnx"), l2_normalize="true")
    assert FeatureExtractor(path, **OPTIONS).l2_normalize
    assert not FeatureExtractor(path, l2_normalize=False, **OPTIONS).l2_normalize
    described(path, l2_normalize="yes")
    with pytest.raises(ModelError, match=r"metadata sparkcider\.l2_normalize must be true or false, got 'yes'$"):
        FeatureExtractor(path, **OPTIONS)


# Images and texts


def test_the_image_branch_is_cut_out_of_a_joint_network(tmp_path: Path) -> None:
    path = clip(tmp_path / "clip.onnx")
    extractor = FeatureExtractor(path, **OPTIONS)
    assert extractor.outputs == {"image_embeds": None}
    words = np.zeros((1, 4), np.int64)
    expected = reference(path, extractor, "image_embeds", input_ids=words, attention_mask=words)
    np.testing.assert_array_equal(matrix(extractor), expected)
    np.testing.assert_array_equal(matrix(extractor.twin()), expected)
    inner = FeatureExtractor(path, layer="last_hidden_state", **OPTIONS)
    assert inner.outputs == {"last_hidden_state": "cls"}


@pytest.mark.parametrize(
    ("joint_only", "options", "message"),
    [
        (
            False,
            {"layer": "logits_per_image"},
            (
                "expects one image input, found 3 that 'logits_per_image' depends on: input_ids, pixel_values, "
                "attention_mask; outputs that depend on one, which layer can name: image_embeds (of pixel_values)"
            ),
        ),
        (
            True,
            {},
            (
                "expects one image input, found 3 that 'logits_per_image' depends on: input_ids, pixel_values, "
                "attention_mask; no output depends on one alone"
            ),
        ),
    ],
    ids=["another output can", "none can"],
)
def test_what_cannot_be_cut_is_refused_by_name(
    tmp_path: Path, *, joint_only: bool, options: dict[str, Any], message: str
) -> None:
    path = clip(tmp_path / "clip.onnx", joint_only=joint_only)
    with pytest.raises(ModelError) as caught:
        FeatureExtractor(path, **options, **OPTIONS)
    assert str(caught.value) == f"model {path}: {message}"


def test_layers_of_a_joint_network_are_those_of_the_image(tmp_path: Path) -> None:
    found = models.layers(clip(tmp_path / "clip.onnx"), input_size=SIDE)
    shapes = {layer.name: layer.shape for layer in found}
    assert shapes["last_hidden_state"] == (PATCHES + 1, DIM)
    assert shapes["image_embeds"] == (DIM,)
    assert shapes["patches"] == (DIM, 3, 3)
    assert not shapes.keys() & {"words", "text_embeds", "logits_per_image"}


# Other types than float32


def test_a_float16_network_gives_what_onnxruntime_gives(tmp_path: Path) -> None:
    path = vit(tmp_path / "half.onnx", dtype=np.float16)
    extractor = FeatureExtractor(path, **OPTIONS)
    expected = reference(path, extractor, "pooler_output")
    assert expected.dtype == np.float16
    np.testing.assert_array_equal(matrix(extractor), expected.astype(np.float32))
    np.testing.assert_array_equal(matrix(extractor.twin()), matrix(extractor))
    assert ("last_hidden_state", (PATCHES + 1, DIM)) in [layer[::2] for layer in models.layers(path, input_size=SIDE)]


def levels(path: Path, **metadata: str) -> Path:
    """A network that takes levels and gives levels beside floats."""
    made, uint8, kind = new_net(), onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT
    image = made.add("Cast", ["pixels"], "cast", to=kind)
    made.add("ReduceMean", [image], "mean", axes=[2, 3], keepdims=0)
    made.add("Cast", ["mean"], "rounded", to=uint8)
    outputs: dict[str, Any] = {"mean": (kind, ["N", 3]), "rounded": (uint8, ["N", 3])}
    return described(save(made, path, {"pixels": (uint8, ["N", 3, SIDE, SIDE])}, outputs), **metadata)


def test_a_network_of_levels_needs_no_normalization_and_takes_no_other_than_raw(tmp_path: Path) -> None:
    path = levels(tmp_path / "levels.onnx")
    extractor = FeatureExtractor(path)
    assert extractor.preprocessing["normalization"] == "raw"
    np.testing.assert_array_equal(matrix(extractor), reference(path, extractor, "mean"))
    np.testing.assert_array_equal(
        matrix(FeatureExtractor(path, layer="rounded")), reference(path, extractor, "rounded")
    )
    np.testing.assert_array_equal(matrix(extractor.twin()), matrix(extractor))
    with pytest.raises(
        ValueError, match=r"^normalization must be raw or left out, as .* takes levels \(uint8\), got torch$"
    ):
        FeatureExtractor(path, normalization="torch")
    described(path, normalization="unit")
    with pytest.raises(ModelError, match=r"metadata sparkcider\.normalization must be raw or left out, .* got unit$"):
        FeatureExtractor(path)


def of_bfloat16(path: Path, operator: str) -> Path:
    """A network of one operator on bfloat16 between two casts."""
    made, kind = new_net(), onnx.TensorProto.BFLOAT16
    flat = (
        made.add("Flatten", ["image"], "flat") if operator == "Identity" else made.add(operator, ["image", "w"], "flat")
    )
    if operator != "Identity":
        made.weights.append(onnx.helper.make_tensor("w", kind, [DIM, 3, PATCH, PATCH], [0.5] * (DIM * 3 * PATCH**2)))
    made.add("Identity", [flat], "out")
    return save(made, path, {"image": (kind, ["N", 3, SIDE, SIDE])}, {"out": (kind, None)})


def test_bfloat16_crosses_and_what_has_no_kernel_is_refused_with_what_helps(tmp_path: Path) -> None:
    path = of_bfloat16(tmp_path / "flat.onnx", "Identity")
    extractor = FeatureExtractor(path, normalization="torch")
    pixels = matrix(extractor._inputs())
    np.testing.assert_allclose(matrix(extractor), pixels, rtol=2.0**-8, atol=0)
    assert (matrix(extractor) != pixels).any()
    path = of_bfloat16(tmp_path / "conv.onnx", "Conv")
    with pytest.raises(ModelError, match=r"its weights are bfloat16, for which .* save it as float32 or float16$"):
        FeatureExtractor(path, normalization="torch")

"""How tokens become a vector where neither the user nor the file says it: as the library of the model does."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hub_networks import (
    AXES,
    DIM,
    OPTIONS,
    PATCHES,
    clip,
    described,
    matrix,
    merged,
    of_type,
    onnx,
    reference,
    save,
    vit,
)
from onnx_nets import new_net

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.cli import main
from sparkcider.models.descriptions.families import FAMILIES, family
from sparkcider.models.export.huggingface import pooled_as
from sparkcider.models.quantize import _metadata

ASKED = r"^pooling is required \(cls, mean_tokens, avg, max or flatten\): output 'last_hidden_state' of .* has tokens, "


def test_tokens_of_which_nothing_is_known_are_not_pooled(tmp_path: Path):
    path = merged(tmp_path / "model.onnx")
    with pytest.raises(ValueError, match=ASKED + r"\(N, 9, 24\)$"):
        FeatureExtractor(path, **OPTIONS)
    with pytest.raises(ValueError, match=ASKED):
        FeatureExtractor(of_type(path, model_type="another"), **OPTIONS)
    assert FeatureExtractor(path, pooling="cls", **OPTIONS).outputs == {"last_hidden_state": "cls"}
    assert FeatureExtractor(described(path, pooling="max"), **OPTIONS).outputs == {"last_hidden_state": "max"}


@pytest.mark.parametrize("kind", ["swin", "swinv2", "levit", "hiera", "focalnet"])
def test_tokens_without_a_class_are_averaged_where_the_library_does_so(tmp_path: Path, kind: str):
    path = of_type(merged(tmp_path / "model.onnx"), model_type=kind)
    extractor = FeatureExtractor(path, **OPTIONS)
    assert extractor.outputs == {"last_hidden_state": "avg"}
    expected = reference(path, extractor, "last_hidden_state").mean(axis=1)
    np.testing.assert_allclose(matrix(extractor), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["pvt", "yolos", "dinov3_convnext"])
def test_a_class_token_that_the_graph_does_not_show_is_taken_where_the_library_does_so(tmp_path: Path, kind: str):
    path = of_type(merged(tmp_path / "model.onnx", first=True), model_type=kind)
    extractor = FeatureExtractor(path, **OPTIONS)
    np.testing.assert_array_equal(matrix(extractor), reference(path, extractor, "last_hidden_state")[:, 0])


def test_beit_takes_the_mean_of_its_patches_unless_its_config_says_the_class(tmp_path: Path):
    path = vit(tmp_path / "model.onnx", pooler=False)
    assert FeatureExtractor(path, **OPTIONS).outputs == {"last_hidden_state": "cls"}
    for kind in ("beit", "data2vec-vision"):
        extractor = FeatureExtractor(of_type(path, model_type=kind), **OPTIONS)
        assert extractor.outputs == {"last_hidden_state": "mean_tokens"}
        expected = reference(path, extractor, "last_hidden_state")[:, 1:].mean(axis=1)
        np.testing.assert_allclose(matrix(extractor), expected, rtol=0, atol=1e-6)
        of_type(path, model_type=kind, use_mean_pooling=False)
        assert FeatureExtractor(path, **OPTIONS).outputs == {"last_hidden_state": "cls"}


def test_a_pooling_that_none_of_the_options_is_is_told(tmp_path: Path):
    path = of_type(
        merged(tmp_path / "model.onnx"), model_type="siglip", vision_config={"model_type": "siglip_vision_model"}
    )
    told = "; the library of siglip_vision_model pools by an attention head: export pooler_output$"
    with pytest.raises(ValueError, match=ASKED + r"\(N, 9, 24\)" + told):
        FeatureExtractor(path, **OPTIONS)
    assert FeatureExtractor(path, pooling="avg", **OPTIONS).embedding_dim == DIM


def test_where_the_graph_lacks_the_class_token_of_the_library_the_user_is_asked(tmp_path: Path):
    path = of_type(vit(tmp_path / "model.onnx", pooler=False, prefix=()), model_type="vit")
    told = r"\(N, 9, 24\), and not the class token that the library of its model_type takes$"
    with pytest.raises(ValueError, match=ASKED + told):
        FeatureExtractor(path, **OPTIONS)


def test_the_users_pooling_and_the_files_go_before_the_librarys(tmp_path: Path):
    path = of_type(merged(tmp_path / "model.onnx"), model_type="swin")
    assert FeatureExtractor(path, pooling="max", **OPTIONS).outputs == {"last_hidden_state": "max"}
    assert FeatureExtractor(described(path, pooling="cls"), **OPTIONS).outputs == {"last_hidden_state": "cls"}
    with pytest.raises(ValueError, match=ASKED):
        FeatureExtractor(merged(path), preprocessing="none", **OPTIONS)


def test_a_library_says_nothing_of_vectors_maps_and_other_layers(tmp_path: Path):
    path = of_type(vit(tmp_path / "model.onnx"), model_type="swin")
    assert FeatureExtractor(path, **OPTIONS).outputs == {"pooler_output": None}
    assert FeatureExtractor(path, layer="patches", **OPTIONS).outputs == {"patches": "avg"}
    assert FeatureExtractor(path, layer="last_hidden_state", **OPTIONS).outputs == {"last_hidden_state": "avg"}
    with pytest.raises(ValueError, match=r"^pooling is required \(cls, .*\): output 'hidden' of .*, \(N, 10, 24\)$"):
        FeatureExtractor(path, layer="hidden", **OPTIONS)
    joint = of_type(clip(tmp_path / "joint.onnx"), model_type="clip", vision_config={"model_type": "clip_vision_model"})
    assert FeatureExtractor(joint, **OPTIONS).outputs == {"image_embeds": None}


def test_a_model_type_changes_nothing_of_what_the_file_says_of_its_preparation(tmp_path: Path):
    path = of_type(
        described(merged(tmp_path / "model.onnx"), input_size="48", filter="box", normalization="tf"), model_type="swin"
    )
    prepared = FeatureExtractor(path).preprocessing
    assert (prepared["filter"], prepared["normalization"]) == ("box", "tf")
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": 48})
    )
    assert FeatureExtractor(path).outputs == {"last_hidden_state": "avg"}
    assert FeatureExtractor(merged(path)).preprocessing["filter"] == "bilinear"
    assert models.layers(path)[-1].shape == (PATCHES, DIM)


def test_the_config_is_found_above_a_folder_called_onnx(tmp_path: Path):
    (tmp_path / "onnx").mkdir()
    path = merged(tmp_path / "onnx" / "model.onnx")
    (tmp_path / "config.json").write_text('{"model_type": "swin"}')
    assert FeatureExtractor(path, **OPTIONS).outputs == {"last_hidden_state": "avg"}


def test_the_pooling_travels_without_the_config(tmp_path: Path):
    path = of_type(merged(tmp_path / "model.onnx"), model_type="swin")
    extractor = FeatureExtractor(path, **OPTIONS)
    content, rows = pickle.dumps(extractor), matrix(extractor)
    (tmp_path / "config.json").unlink()
    np.testing.assert_array_equal(matrix(pickle.loads(content)), rows)
    np.testing.assert_array_equal(matrix(extractor.twin()), rows)
    written = _metadata(path, {"pooling": "avg", "library": "no option"}, OPTIONS, extractor)
    assert written["pooling"] == "avg"
    assert "library" not in written


@pytest.mark.parametrize(
    ("config", "line", "library"),
    [
        ({}, "last_hidden_state, tokens; pooling cls if the graph shows a class token, else give pooling", None),
        ({"model_type": "swin"}, "last_hidden_state, tokens; pooling avg", "swin takes avg"),
        (
            {"model_type": "hiera"},
            "last_hidden_state, tokens; pooling avg",
            "hiera takes avg, and a LayerNorm of the pooled vector, which is not in the file",
        ),
        (
            {"model_type": "beit"},
            "last_hidden_state, tokens; pooling mean_tokens",
            "beit takes mean_tokens, and a LayerNorm of the pooled vector, which is not in the file",
        ),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else None,
)
def test_model_show_says_what_the_library_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], config: dict[str, str], line: str, library: str | None
):
    path = of_type(merged(tmp_path / "model.onnx"), **config)
    assert main(["model", "show", str(path), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["features_from"], shown["library"]) == (line, library)
    assert main(["model", "show", str(path)]) == 0
    assert (f"library         {library}" in capsys.readouterr().out.splitlines()) == (library is not None)


def test_the_page_on_models_has_the_table_of_libraries():
    page = Path(__file__).parents[2].joinpath("docs", "models.md").read_text()
    rows = [line.split(" | ") for line in page.partition("### Libraries")[2].partition("\n## ")[0].splitlines()]
    written = {
        kind.strip("`| ,"): (pooling.strip("` "), behind.strip(" |"))
        for kinds, pooling, behind in (row for row in rows if len(row) == len(("kinds", "pooling", "behind")))
        for kind in kinds.split(", ")
        if pooling != "`pooling`" and kind.strip("| ").startswith("`")
    }
    assert written == {kind: (pooling or "none", behind or "-") for kind, (pooling, behind) in FAMILIES.items()}


def test_an_export_without_a_pooler_takes_what_its_library_takes():
    tokens = np.random.default_rng(0).normal(size=(2, 5, 3))
    maps = tokens.reshape(2, 3, 5, 1)
    np.testing.assert_array_equal(pooled_as(tokens, {"model_type": "vit"}), tokens[:, 0])
    np.testing.assert_array_equal(pooled_as(tokens, {"model_type": "ijepa"}), tokens.mean(axis=1))
    np.testing.assert_array_equal(pooled_as(maps, {"model_type": "segformer"}), maps.mean(axis=(2, 3)))
    for kind in ("poolformer", "vit_mae", "siglip_vision_model", None):
        with pytest.raises(ModelError, match=f"^a network of model_type {kind} gives no pooler_output, "):
            pooled_as(maps, {"model_type": kind})
    with pytest.raises(ModelError, match="model_type pvt gives no pooler_output"):
        pooled_as(maps, {"model_type": "pvt"})


def test_a_map_takes_the_pooling_of_its_library(tmp_path: Path):
    made, kind = new_net(), onnx.TensorProto.FLOAT
    words = {"kernel_shape": [16, 16], "strides": [16, 16]}
    made.add("Conv", ["pixel_values", made.floats(DIM, 3, 16, 16)], "last_hidden_state", **words)
    outputs: dict[str, Any] = {"last_hidden_state": (kind, ["N", DIM, 3, 3])}
    path = save(made, tmp_path / "model.onnx", {"pixel_values": (kind, AXES)}, outputs)
    for config, pooling in (
        ({}, "avg"),
        ({"model_type": "resnet"}, "avg"),
        ({"model_type": "efficientnet", "pooling_type": "max"}, "max"),
    ):
        assert FeatureExtractor(of_type(path, **config), **OPTIONS).outputs == {"last_hidden_state": pooling}


def test_what_is_no_config_of_a_known_family_is_left_alone(tmp_path: Path):
    assert family({}) is family({"model_type": ["vit"]}) is family({"vision_config": 3}) is None
    assert family({"model_type": "efficientnet", "pooling_type": "max"}) == ("efficientnet", ("max", ""))
    path = vit(tmp_path / "model.onnx", pooler=False)
    (tmp_path / "config.json").write_text("[1, 2")
    assert FeatureExtractor(path, **OPTIONS).outputs == {"last_hidden_state": "cls"}

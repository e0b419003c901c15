"""Descriptions of the preparation beside a model: what they say in our words, what is refused, where they are found."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.models.descriptions import read
from sparkcider.options import Description

DATA = Path(__file__).parent.parent / "data"
TOLD = DATA / "any_size.onnx"  # says its normalization, and takes any size
FOREIGN = DATA / "tiny_nhwc.onnx"  # says nothing, and takes 16 x 16

VIT = {"image_processor_type": "ViTImageProcessor"}
CLIP = {"image_processor_type": "CLIPImageProcessor"}
TIMM = {"input_size": [3, 224, 224]}
HALVES = "mean 0.5,0.5,0.5 std 0.5,0.5,0.5"


def written(path: Path, values: Any) -> Path:
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return path


def said(tmp_path: Path, values: Any) -> dict[str, str]:
    return dict(read(written(tmp_path / "description.json", values)).entries)


# What is read


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (VIT, {"input_size": "224x224", "resize_mode": "squash", "filter": "bilinear", "normalization": HALVES}),
        ({**VIT, "size": 384}, {"input_size": "384x384", "resize_mode": "squash"}),
        ({**VIT, "size": [8, 9]}, {"input_size": "8x9"}),
        ({**VIT, "size": {"height": 8, "width": 9}, "resample": 1}, {"input_size": "8x9", "filter": "lanczos"}),
        ({"feature_extractor_type": "ViTFeatureExtractor", "size": 32}, {"input_size": "32x32"}),
        ({**VIT, "image_processor_type": "ViTImageProcessorFast"}, {"input_size": "224x224"}),
        ({**VIT, "image_mean": None, "resample": None}, {"filter": "bilinear", "normalization": HALVES}),
        ({**VIT, "do_normalize": False}, {"normalization": "unit"}),
        ({**VIT, "do_normalize": False, "do_rescale": False}, {"normalization": "raw"}),
        (
            {**VIT, "rescale_factor": 1 / 127.5, "do_normalize": False},
            {"normalization": "mean 0.0,0.0,0.0 std 0.5,0.5,0.5"},
        ),
        (
            CLIP,
            {
                "input_size": "224x224",
                "resize_mode": "center_crop",
                "crop_ratio": "1",
                "rounding": "transformers",
                "background": "255,255,255",
            },
        ),
        ({**CLIP, "size": 256}, {"resize_size": "256x256", "filter": "bicubic", "fill_color": "0,0,0"}),
        ({**CLIP, "do_convert_rgb": False, "crop_size": 200}, {"resize_size": "224x224", "input_size": "200x200"}),
        ({**CLIP, "default_to_square": True, "size": 256}, {"resize_mode": "squash", "resize_size": "256x256"}),
        ({"image_processor": CLIP}, {"input_size": "224x224"}),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 224}, "crop_pct": 0.95},
            {"resize_mode": "center_crop", "resize_size": "235x235", "input_size": "224x224"},
        ),
        ({"image_processor_type": "ConvNextImageProcessor"}, {"resize_mode": "squash", "input_size": "384x384"}),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "rescale_offset": True, "rescale_factor": 1 / 127.5},
            {"normalization": "mean 0.75,0.75,0.75 std 0.125,0.125,0.125"},
        ),
        ({"image_processor_type": "LevitImageProcessor"}, {"resize_size": "256x256", "input_size": "224x224"}),
        ({"image_processor_type": "MobileViTImageProcessor"}, {"color_order": "BGR", "normalization": "unit"}),
        (
            {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 256, "width": 256}},
            {"resize_dtype": "float32", "resize_mode": "squash", "input_size": "256x256"},
        ),
        (
            {"pretrained_cfg": TIMM},
            {"resize_size": "256x256", "input_size": "224x224", "filter": "bicubic", "rounding": "timm"},
        ),
        ({"pretrained_cfg": {**TIMM, "crop_pct": 0.9}}, {"resize_size": "248x248"}),  # floor(248.9)
        ({"pretrained_cfg": {**TIMM, "crop_pct": 1.0, "crop_mode": "squash"}}, {"resize_mode": "squash"}),
        (
            {"pretrained_cfg": {**TIMM, "crop_pct": 1.0, "crop_mode": "border", "mean": [0.5, 0.4, 0.3]}},
            {"resize_mode": "letterbox", "fill_color": "128,102,76"},
        ),
        ({**TIMM, "interpolation": "bilinear"}, {"filter": "bilinear", "resize_size": "256x256"}),
        ({"preprocess_cfg": {"size": 256}}, {"input_size": "256x256", "crop_ratio": "1", "filter": "bicubic"}),
        (
            {"preprocess_cfg": {"size": 8}, "model_cfg": {"vision_cfg": {"image_size": [9, 7]}}},
            {"input_size": "9x7", "filter": "bicubic"},
        ),
        (
            {"preprocess_cfg": {"resize_mode": "longest", "fill_color": 127, "interpolation": "random"}},
            {"resize_mode": "letterbox", "fill_color": "127,127,127", "filter": "bicubic"},
        ),
        ({"preprocess_cfg": {"resize_mode": "squash", "mean": 0.5, "std": [0.5]}}, {"normalization": HALVES}),
        (
            {"crop_size": [224], "resize_size": [232], "interpolation": "InterpolationMode.BICUBIC", "antialias": True},
            {"resize_size": "232x232", "input_size": "224x224", "filter": "bicubic", "rounding": "torchvision"},
        ),
        ({"crop_size": 8, "resize_size": [9, 7]}, {"resize_mode": "squash", "resize_size": "9x7"}),
    ],
    ids=str,
)
def test_a_description_in_our_words(tmp_path: Path, values: dict[str, Any], expected: dict[str, str]):
    found = said(tmp_path, values)
    assert {name: found.get(name) for name in expected} == expected


def test_a_squash_of_the_input_size_says_nothing_of_cuts(tmp_path: Path):
    assert not {"resize_size", "crop_ratio", "rounding", "fill_color", "background"} & set(said(tmp_path, VIT))


# What is refused


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({**VIT, "do_pad": True}, "do_pad must be left out: it is not supported, got True"),
        ({**VIT, "shade": 0}, "shade must be left out: it is not known, got 0"),
        (
            {**VIT, "auto_map": {"AutoImageProcessor": "x"}},
            "auto_map must be left out: it is not supported, got {'Auto",
        ),
        ({**VIT, "do_resize": False}, "do_resize must be true: a network takes images of one size, got False"),
        (
            {**VIT, "size": {"longest_edge": 8}},
            "size must be of a height and a width, or of a shortest_edge, got {'long",
        ),
        ({**VIT, "size": "8"}, "size must be a side or [height, width] in pixels, got '8'"),
        ({**VIT, "size": {"shortest_edge": 8}}, "do_center_crop must be true, as size is the shortest edge: "),
        ({**VIT, "resample": 9}, "resample must be Pillow's number of a filter, 0 to 5, got 9"),
        ({**VIT, "resample": [2]}, "resample must be Pillow's number of a filter, 0 to 5, got [2]"),
        ({**VIT, "do_rescale": "yes"}, "do_rescale must be true or false, got 'yes'"),
        ({**VIT, "do_center_crop": True}, "crop_size must be given, as do_center_crop is true, got no such field"),
        ({**VIT, "image_std": [0.5, 0, 0.5]}, "image_std must be other than 0, got [0.5, 0, 0.5]"),
        ({**VIT, "image_mean": [0.5, 0.5]}, "image_mean must be a number, or three for R, G and B, got [0.5, 0.5]"),
        ({**VIT, "do_flip_channel_order": True}, "do_flip_channel_order must be left out: ViTImageProcessor does not"),
        ({"image_processor_type": "SamImageProcessor"}, "image_processor_type must be one of BeitImageProcessor, "),
        ({"image_processor_type": "Siglip2ImageProcessorFast"}, "image_processor_type must be left out: NaFlex makes"),
        (
            {"image_processor_type": "Siglip2ImageProcessor", "patch_size": 16, "max_num_patches": 256},
            "patch_size must be left out: NaFlex makes patches of images in their own shape, ",
        ),
        (
            {"image_processor_type": "ConvNextImageProcessor", "size": {"height": 8, "width": 8}},
            "size must be of a shortest_edge, got {'height': 8, 'width': 8}",
        ),
        (
            {"pretrained_cfg": {**TIMM, "input_size": [1, 8, 8]}},
            "pretrained_cfg.input_size must be [3, height, width], got",
        ),
        ({"pretrained_cfg": {**TIMM, "crop_border_pixels": 4}}, "pretrained_cfg.crop_border_pixels must be left out"),
        (
            {"pretrained_cfg": {**TIMM, "crop_mode": "tile"}},
            "pretrained_cfg.crop_mode must be center or squash or border",
        ),
        (
            {"pretrained_cfg": {**TIMM, "interpolation": "random"}},
            "pretrained_cfg.interpolation must be nearest or bilin",
        ),
        ({"preprocess_cfg": {"mode": "L"}}, "preprocess_cfg.mode must be RGB, got 'L'"),
        (
            {"preprocess_cfg": {"resize_mode": "tile"}},
            "preprocess_cfg.resize_mode must be shortest or longest or squash,",
        ),
        ({"preprocess_cfg": {"fill_color": 256}}, "preprocess_cfg.fill_color must be a level from 0 to 255, got 256"),
        ({"preprocess_cfg": {"crop": 1}}, "preprocess_cfg.crop must be left out: it is not known, got 1"),
        (
            {"crop_size": 8, "resize_size": 9, "antialias": False},
            "antialias must be true, as it always is for PIL images",
        ),
        ({"crop_size": 8, "resize_size": 9, "num_classes": 2}, "num_classes must be left out: it is not known, got 2"),
    ],
    ids=str,
)
def test_a_field_that_cannot_be_followed_is_named(tmp_path: Path, values: dict[str, Any], message: str):
    with pytest.raises(ModelError) as caught:
        said(tmp_path, values)
    text = str(caught.value)
    assert text.startswith(f"{tmp_path}/description.json: {message}")
    assert text.endswith("; or give the options of the preparation yourself, with preprocessing='none'")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON: Expecting property name"),
        ("[1]", "must hold a JSON object, got list"),
        ('{"model_type": "vit"}', "does not describe how images are prepared: expected an image_processor_type"),
    ],
)
def test_a_file_that_is_no_description_is_refused(tmp_path: Path, text: str, message: str):
    with pytest.raises(ModelError, match=f"description.json {message}"):
        said(tmp_path, text)


def test_a_file_that_is_not_there_is_not_found(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"preprocessing file not found: .*absent\.json"):
        FeatureExtractor(TOLD, preprocessing=tmp_path / "absent.json")


def test_pixels_have_no_description(tmp_path: Path):
    with pytest.raises(ValueError, match=r"preprocessing must be left out, as pixels is not a file, got 'a\.json'"):
        FeatureExtractor("pixels", preprocessing="a.json")
    assert FeatureExtractor("pixels", preprocessing="none").embedding_dim == FeatureExtractor("pixels").embedding_dim
    assert not list(tmp_path.iterdir())


# Where it is found, and who wins


def here(folder: Path, model: Path = FOREIGN) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(model, folder / "model.onnx"))


def small(**more: Any) -> dict[str, Any]:
    return {**VIT, "size": 16, **more}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("preprocessor_config.json", small()),
        ("processor_config.json", {"image_processor": small(), "processor_class": "CLIPProcessor"}),
        ("open_clip_config.json", {"preprocess_cfg": {"size": 16}}),
        ("config.json", {"architecture": "vit", "pretrained_cfg": {"input_size": [3, 16, 16]}}),
    ],
)
@pytest.mark.parametrize("folder", ["", "onnx"])
def test_a_description_beside_the_model_is_found(tmp_path: Path, folder: str, name: str, values: Any):
    model = here(tmp_path / folder)
    written(tmp_path / name, values)
    found = FeatureExtractor(model)
    assert found.resolved_options["preprocessing"].source == str(tmp_path / name)
    given = FeatureExtractor(FOREIGN, preprocessing=tmp_path / name)
    assert given.preprocessing == found.preprocessing


def test_a_description_above_the_working_directory_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(here(tmp_path / "onnx").parent)
    written(tmp_path / "preprocessor_config.json", small())
    assert FeatureExtractor(next(Path().glob("*.onnx")).name).preprocessing["filter"] == "bilinear"


def test_the_nearest_description_is_taken_and_others_are_left_alone(tmp_path: Path):
    model = here(tmp_path / "onnx")
    written(tmp_path / "preprocessor_config.json", "no JSON")
    written(tmp_path / "onnx" / "config.json", {"pretrained_cfg": {"input_size": [3, 16, 16]}})
    assert FeatureExtractor(model).preprocessing["filter"] == "bicubic"
    written(tmp_path / "onnx" / "preprocessor_config.json", small())
    assert FeatureExtractor(model).preprocessing["filter"] == "bilinear"


@pytest.mark.parametrize(
    ("folder", "name", "values"),
    [
        ("", "config.json", {"model_type": "vit"}),
        ("", "config.json", "no JSON"),
        ("models", "preprocessor_config.json", small()),
    ],
)
def test_what_is_no_description_or_lies_elsewhere_is_not_taken(tmp_path: Path, folder: str, name: str, values: Any):
    model = here(tmp_path / folder)
    written(tmp_path / name, values)
    with pytest.raises(ValueError, match=r"normalization is required \(tf, caffe, torch, unit, raw"):
        FeatureExtractor(model)


def test_a_model_that_describes_itself_is_not_overruled_by_a_file_beside_it(tmp_path: Path):
    model = here(tmp_path, TOLD)
    path = written(tmp_path / "preprocessor_config.json", {**small(), "shade": 1})
    assert FeatureExtractor(model, input_size=16).preprocessing["normalization"] == "torch"
    written(path, small())
    asked = FeatureExtractor(model, preprocessing=path)
    assert asked.preprocessing["normalization"] == ([0.5] * 3, [0.5] * 3)
    assert asked.input_size == (16, 16)


def test_a_description_replaces_all_that_the_model_says_of_the_preparation(tmp_path: Path):
    pytest.importorskip("onnx")
    from test_extractor_options import described

    model = described(tmp_path / "net.onnx", resize_mode="center_crop", crop_ratio="0.5", filter="box", pooling="max")
    found = FeatureExtractor(model, preprocessing=written(tmp_path / "d.json", small())).preprocessing
    assert (found["resize_mode"], found["crop_ratio"], found["filter"]) == ("squash", None, "bilinear")


@pytest.mark.parametrize(
    ("options", "decided"),
    [
        ({"filter": "box"}, {"filter": "box", "resize_size": (20, 20)}),
        ({"normalization": "raw", "background": (1, 2, 3)}, {"normalization": "raw", "background": (1, 2, 3)}),
        ({"resize_mode": "squash"}, {"resize_mode": "squash", "resize_size": None, "crop_ratio": None}),
        ({"crop_ratio": 0.9}, {"resize_size": None, "crop_ratio": 0.9}),
        ({"resize_size": 24, "input_size": 18}, {"resize_size": (24, 24), "input_size": (18, 18)}),
        ({"preprocessing": "none", "input_size": 16}, {"normalization": "torch", "resize_mode": "squash"}),
    ],
    ids=str,
)
def test_the_users_option_wins_over_a_description(tmp_path: Path, options: dict[str, Any], decided: dict[str, Any]):
    path = written(tmp_path / "d.json", {**CLIP, "size": 20, "crop_size": 16})
    found = FeatureExtractor(TOLD, **{"preprocessing": path, **options}).preprocessing
    assert {name: found[name] for name in decided} == decided


def test_another_input_size_than_a_cut_was_described_for_is_refused(tmp_path: Path):
    path = written(tmp_path / "d.json", {**CLIP, "size": 20, "crop_size": 16})
    message = (
        rf"^input_size must be \(16, 16\), which {path} says with a resize_size of \(20, 20\); or give resize_size"
    )
    with pytest.raises(ValueError, match=message + r", too, got \(18, 18\)$"):
        FeatureExtractor(TOLD, preprocessing=path, input_size=18)
    squash = written(tmp_path / "e.json", small())
    assert FeatureExtractor(TOLD, preprocessing=squash, input_size=18).input_size == (18, 18)


def test_a_description_that_the_graph_contradicts_is_blamed_with_its_file(tmp_path: Path):
    model = here(tmp_path)
    path = written(tmp_path / "preprocessor_config.json", VIT)
    with pytest.raises(ModelError) as caught:
        FeatureExtractor(model)
    assert str(caught.value) == (
        f"model {model}: {path} describes its preparation: input_size must be (16, 16), the only size that {model} "
        "takes, got (224, 224)"
    )


# How it travels


def test_a_pickled_extractor_needs_no_description_where_it_is_opened(tmp_path: Path):
    model = here(tmp_path)
    path = written(tmp_path / "preprocessor_config.json", small())
    extractor = FeatureExtractor(model)
    content, decided = pickle.dumps(extractor), extractor.preprocessing
    path.unlink()
    again = pickle.loads(content)
    assert again.preprocessing == decided
    assert again.twin().preprocessing == decided
    assert isinstance(again.resolved_options["preprocessing"], Description)


def test_no_description_that_turns_up_later_changes_a_pickled_extractor(tmp_path: Path):
    model = here(tmp_path)
    content = pickle.dumps(FeatureExtractor(model, normalization="raw"))
    written(tmp_path / "preprocessor_config.json", {**small(), "resample": 1})
    assert pickle.loads(content).preprocessing["filter"] == "bicubic"


def test_layers_are_listed_at_the_size_that_a_description_says(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TOLD)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "model.onnx")
    written(tmp_path / "preprocessor_config.json", small())
    assert models.layers(tmp_path / "model.onnx")[0].shape == (4, 4, 4)

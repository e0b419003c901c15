"""The options of `FeatureExtractor`: what is refused by name, who wins, and model files that are wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import sparkcider
from sparkcider import FeatureExtractor, models
from sparkcider.models.export.source import set_metadata
from sparkcider.samples import encode_png

DATA = Path(__file__).parent.parent / "data"
TINY = str(DATA / "tiny_nchw.onnx")
CHANNELS = 4


def noise(side: int = 16) -> pa.Array:
    """A column with one noisy image."""
    return pa.array([encode_png(np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8))])


# What the user says

SIZES = "input_size must be a side or (height, width) of 1 to 4096 pixels, got "
RESIZED = "resize_size must be a side or (height, width) of 1 to 4096 pixels, got "
RATIOS = "crop_ratio must be a number from 0.01 to 1, got "
THREADS = "intra_threads must be a whole number from 1 to 1024, got "
LIMITS = "max_pixels must be a whole number from 1 to 18446744073709551615, got "
LEVELS = "background must be three levels (R, G, B) from 0 to 255, got "
SCALES = "normalization must be tf, caffe, torch, unit, raw or (mean, std) of three numbers each, got "
STDS = "normalization must be a finite mean and a finite std other than 0 for each of R, G, B, got mean 0,0,0 std "
OVER_0 = "normalization must be (mean, std) with a std over 0, got mean 0,0,0 std "


@pytest.mark.parametrize("model", ["pixels", TINY], ids=["pixels", "network"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_size": 0}, SIZES + "(0, 0)"),
        ({"input_size": -1}, SIZES + "-1"),
        ({"input_size": 4097}, SIZES + "(4097, 4097)"),
        ({"input_size": 2**31}, SIZES + "(2147483648, 2147483648)"),
        ({"input_size": 2**32 - 1}, SIZES + "(4294967295, 4294967295)"),
        ({"input_size": 10**30}, SIZES + str(10**30)),
        ({"input_size": (16, -2)}, SIZES + "(16, -2)"),
        ({"input_size": (16, 16, 3)}, SIZES + "(16, 16, 3)"),
        ({"input_size": 16.5}, SIZES + "16.5"),
        ({"input_size": "16"}, SIZES + "'16' (str)"),
        ({"resize_mode": "center_crop", "crop_ratio": 5}, RATIOS + "5"),
        ({"resize_mode": "center_crop", "crop_ratio": 0}, RATIOS + "0"),
        ({"resize_mode": "center_crop", "crop_ratio": 1e-7}, RATIOS + "0.0000001"),
        ({"resize_mode": "center_crop", "crop_ratio": 1e-18}, RATIOS + "0.000000000000000001"),
        ({"resize_mode": "center_crop", "crop_ratio": float("nan")}, RATIOS + "NaN"),
        ({"crop_ratio": "0.5"}, RATIOS + "'0.5' (str)"),
        ({"crop_ratio": 0.5}, "crop_ratio must be left out, as resize_mode is squash and not center_crop, got 0.5"),
        (
            {"crop_ratio": 0.5, "resize_mode": "letterbox"},
            "crop_ratio must be left out, as resize_mode is letterbox and not center_crop, got 0.5",
        ),
        ({"resize_size": 4097}, RESIZED + "(4097, 4097)"),
        ({"resize_size": "16"}, RESIZED + "'16' (str)"),
        (
            {"crop_ratio": 0.5, "resize_mode": "center_crop", "resize_size": 9},
            "crop_ratio must be left out, as resize_size is given, got 0.5",
        ),
        ({"rounding": "up"}, "rounding must be torchvision, transformers or timm, got 'up'"),
        ({"rounding": "timm"}, "rounding must be left out, as resize_mode is squash without a resize_size, got timm"),
        ({"resize_dtype": "float"}, "resize_dtype must be uint8 or float32, got 'float'"),
        (
            {"resize_dtype": "float32", "filter": "box"},
            "filter must be bilinear or bicubic, as resize_dtype is float32, got box",
        ),
        ({"fill_color": (256, 0, 0)}, "fill_color must be three levels (R, G, B) from 0 to 255, got (256, 0, 0)"),
        ({"fill_color": (1, 2, 3)}, "fill_color must be left out, as nothing is left to fill, got (1, 2, 3)"),
        ({"intra_threads": 0}, THREADS + "0"),
        ({"intra_threads": -1}, THREADS + "-1"),
        ({"intra_threads": 10**9}, THREADS + "1000000000"),
        ({"intra_threads": 10**30}, THREADS + str(10**30)),
        ({"max_pixels": 0}, LIMITS + "0"),
        ({"max_pixels": -1}, LIMITS + "-1"),
        ({"max_pixels": 2**64}, LIMITS + str(2**64)),
        ({"background": (256, 0, 0)}, LEVELS + "(256, 0, 0)"),
        ({"background": (0, 0)}, LEVELS + "(0, 0)"),
        ({"background": "red"}, LEVELS + "'red' (str)"),
        ({"normalization": ([0, 0], [1, 1])}, SCALES + "([0, 0], [1, 1])"),
        ({"normalization": 1}, SCALES + "1"),
        ({"normalization": ([0, 0, 0], [1, 0, 1])}, OVER_0 + "1,0,1"),
        ({"normalization": ([0, 0, 0], [1, 1, -0.5])}, OVER_0 + "1,1,-0.5"),
        (
            {"normalization": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))},
            (
                "normalization must be (mean, std) of values in [0, 1]: divide by 255, got mean 123.675,116.28,103.53 "
                "std 58.395,57.12,57.375"
            ),
        ),
        ({"normalization": ([0, 0, 0], [1, float("nan"), 1])}, STDS + "1,NaN,1"),
        ({"normalization": ([0, 0, 0], [1, 1, float("inf")])}, STDS + "1,1,inf"),
        ({"normalization": ([0, 0, 0], [1, 1, 1e300])}, STDS + "1,1,inf"),
        ({"decode": "fast"}, "decode must be exact or scaled, got 'fast'"),
        ({"layer_layout": "CHW"}, "layer_layout must be NCHW or NHWC, got 'CHW'"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused_by_name(model: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared whole
        FeatureExtractor(model, **options)
    assert str(caught.value) == message


# What the file says


def described(path: Path, **metadata: str) -> Path:
    """The tiny network in a file that says other things of itself."""
    onnx = pytest.importorskip("onnx")
    model = onnx.load(TINY)
    set_metadata(model, metadata)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ({"resize_mode": "center_crop"}, {"crop_ratio": 0.5}),
        ({"resize_mode": "center_crop", "crop_ratio": "0.9"}, {"crop_ratio": 0.5}),
        ({"crop_ratio": "0.5"}, {"resize_mode": "center_crop"}),
        ({"resize_mode": "squash", "crop_ratio": "0.5"}, {"resize_mode": "center_crop"}),
        ({"resize_mode": "center_crop", "crop_ratio": "0.5"}, {}),
        ({"resize_mode": "center_crop", "resize_size": "32"}, {}),
        ({"resize_mode": "center_crop", "resize_size": "32x32", "crop_ratio": "0.25"}, {}),
        ({"resize_mode": "center_crop", "resize_size": "20"}, {"crop_ratio": 0.5}),
        ({"resize_mode": "center_crop", "resize_size": "20"}, {"resize_size": 32}),
        ({"resize_mode": "squash", "resize_size": "20"}, {"resize_mode": "center_crop", "crop_ratio": 0.5}),
    ],
    ids=str,
)
def test_each_option_is_the_users_then_the_files(tmp_path: Path, file: dict[str, str], options: dict[str, Any]) -> None:
    image = noise(40)
    expected = FeatureExtractor(TINY, resize_mode="center_crop", crop_ratio=0.5)._inputs().extract(image)
    default = FeatureExtractor(TINY, resize_mode="center_crop")._inputs().extract(image)
    found = FeatureExtractor(described(tmp_path / "net.onnx", **file), **options)._inputs().extract(image)
    assert found == expected
    assert found[0] != default[0]


def test_bars_have_the_users_background_where_the_file_says_letterbox(tmp_path: Path) -> None:
    image = pa.array([encode_png(np.zeros((4, 16, 3), np.uint8))])
    path = described(tmp_path / "net.onnx", resize_mode="letterbox", normalization="raw")
    inputs = FeatureExtractor(path, background=(10, 20, 30))._inputs().extract(image)[0]
    assert inputs.flatten().to_numpy().reshape(3, 16, 16)[:, 0, 0].tolist() == [10, 20, 30]


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("crop_ratio", "5", "a number from 0.01 to 1, got '5'"),
        ("crop_ratio", "wide", "a number from 0.01 to 1, got 'wide'"),
        ("resize_size", "0", "a side or (height, width) of 1 to 4096 pixels, got '0'"),
        ("rounding", "up", "torchvision, transformers or timm, got 'up'"),
        ("resize_dtype", "float", "uint8 or float32, got 'float'"),
        ("fill_color", "1,2,256", "three levels r,g,b from 0 to 255, got '1,2,256'"),
        ("background", "white", "three levels r,g,b from 0 to 255, got 'white'"),
        ("input_size", "0", "a side or (height, width) of 1 to 4096 pixels, got '0'"),
        ("input_size", "16by16", "a side or (height, width) of 1 to 4096 pixels, got '16by16'"),
        ("input_size", "24x16", "(16, 16), the only size that FILE takes, got (24, 16)"),
        ("resize_mode", "fit", "squash, center_crop or letterbox, got 'fit'"),
        ("filter", "cubic", "nearest, box, bilinear, hamming, bicubic or lanczos, got 'cubic'"),
        ("normalization", "zero", "tf, caffe, torch, unit, raw or mean r,g,b std r,g,b, got 'zero'"),
        ("color_order", "GBR", "RGB or BGR, got 'GBR'"),
        ("layout", "HWC", "NCHW or NHWC, got 'HWC'"),
        ("layout", "NHWC", "NCHW, as FILE takes (N, 3, 16, 16), got NHWC"),
        ("pooling", "sum", "avg, max, flatten, cls or mean_tokens, got 'sum'"),
        (
            "output_name",
            "top",
            (
                "a tensor of the model's graph, such as its outputs (features, map), got 'top'; `sparkcider "
                "model layers FILE` lists the tensors"
            ),
        ),
    ],
)
def test_wrong_metadata_is_blamed_on_the_file(tmp_path: Path, key: str, text: str, message: str) -> None:
    path = described(tmp_path / "net.onnx", **{"resize_mode": "center_crop", key: text})
    with pytest.raises(sparkcider.ModelError) as caught:
        FeatureExtractor(path)
    expected = f"model {path}: its metadata sparkcider.{key} must be {message}".replace("FILE", str(path))
    assert str(caught.value) == expected


def test_metadata_that_is_overridden_or_of_others_does_no_harm(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = described(tmp_path / "net.onnx", filter="cubic", crop_ratio="5", layer_layout="NHWC", pooling="max")
    model = onnx.load(path)
    model.metadata_props[0].value = "x" * 8
    content = model.SerializeToString().replace(b"x" * 8, b"\xff" * 8)  # an author's name in another encoding
    path.write_bytes(content)
    assert FeatureExtractor(path, filter="box", normalization="torch").embedding_dim == CHANNELS


def test_a_mean_and_std_stand_in_the_file(tmp_path: Path) -> None:
    mean, std = (0.5, 0.4, 0.3), (0.1, 0.2, 0.3)
    path = described(tmp_path / "net.onnx", normalization="mean 0.5,0.4,0.3 std 0.1,0.2,0.3")
    expected = FeatureExtractor(TINY, normalization=(mean, std)).extract(noise())
    assert FeatureExtractor(path).extract(noise()) == expected
    assert FeatureExtractor(TINY, normalization="mean 0.5,0.4,0.3 std 0.1,0.2,0.3").extract(noise()) == expected


def test_another_input_size_beside_the_files_resize_size_is_refused(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    path = tmp_path / "free.onnx"
    model = onnx.load(DATA / "any_size.onnx")
    set_metadata(model, {"input_size": "16", "resize_mode": "center_crop", "resize_size": "20", "normalization": "raw"})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ValueError, match=r"input_size must be \(16, 16\), which .* says with a resize_size of \(20, 20"
    ):
        FeatureExtractor(path, input_size=32)
    assert FeatureExtractor(path, input_size=32, resize_size=40).preprocessing["resize_size"] == (40, 40)
    assert FeatureExtractor(path, input_size=32, resize_mode="squash").preprocessing["resize_size"] is None
    assert FeatureExtractor(path, input_size=16).preprocessing["resize_size"] == (20, 20)


# Files


def test_a_file_that_is_not_onnx_is_a_model_error_everywhere(tmp_path: Path) -> None:
    empty = tmp_path / "empty.onnx"
    empty.touch()
    for call in (
        lambda: FeatureExtractor(empty),
        lambda: FeatureExtractor(empty, layer="map", normalization="raw"),
        lambda: models.resolve(empty),
        lambda: models.show(empty),
        lambda: models.layers(empty),
        lambda: sparkcider._native._model_layers(empty),
    ):
        with pytest.raises(sparkcider.ModelError) as caught:
            call()
        assert str(caught.value) == f"model {empty}: cannot read ONNX graph: there is no graph in it"


def test_a_path_that_is_not_utf8_is_found(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/net-\xff.onnx"))
    path.write_bytes(Path(TINY).read_bytes())
    expected = FeatureExtractor(TINY).extract(noise())
    for model in (path, str(path), models.resolve(path)):
        assert FeatureExtractor(model).extract(noise()) == expected
    assert FeatureExtractor(f"{path}#sha256={FeatureExtractor(TINY).checksum}").embedding_dim == CHANNELS
    assert FeatureExtractor(path, layer="pooled").embedding_dim == CHANNELS
    assert len(models.layers(path)) == 3
    assert models.show(path).opset == 17


def test_a_file_called_pixels_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pixels").write_bytes(Path(TINY).read_bytes())
    assert FeatureExtractor("./pixels").embedding_dim == CHANNELS
    assert FeatureExtractor("pixels").checksum == "pixels"


# What was decided


@pytest.mark.parametrize(
    ("model", "options", "decided"),
    [
        ("pixels", {}, {"input_size": (20, 20), "filter": "nearest", "normalization": "unit", "layout": "NHWC"}),
        (TINY, {}, {"input_size": (16, 16), "filter": "bilinear", "normalization": "torch", "color_order": "RGB"}),
        (TINY, {"normalization": "caffe"}, {"normalization": "caffe", "color_order": "BGR", "crop_ratio": None}),
        (TINY, {"resize_mode": "center_crop"}, {"resize_mode": "center_crop", "crop_ratio": 0.875}),
        (
            TINY,
            {"resize_mode": "letterbox", "resize_size": 20, "rounding": "timm", "fill_color": (9, 8, 7)},
            {"crop_ratio": None, "resize_size": (20, 20), "rounding": "timm", "fill_color": (9, 8, 7)},
        ),
        (TINY, {"resize_dtype": "float32"}, {"resize_dtype": "float32", "rounding": None}),
        (
            TINY,
            {
                "resize_mode": "center_crop",
                "crop_ratio": 0.9,
                "normalization": ((0.5, 0.4, 0.3), (0.1, 0.2, 0.3)),
                "background": (1, 2, 3),
                "apply_exif": False,
            },
            {
                "crop_ratio": 0.9,
                "normalization": ([0.5, 0.4, 0.3], [0.1, 0.2, 0.3]),
                "background": (1, 2, 3),
                "apply_exif": False,
            },
        ),
    ],
)
def test_the_preprocessing_is_the_options_that_say_it_again(model: str, options: dict, decided: dict):
    first = FeatureExtractor(model, **options)
    assert first.preprocessing.items() >= decided.items()
    again = FeatureExtractor(model, **first.preprocessing)
    assert again.preprocessing == first.preprocessing
    assert again.extract(noise())[0].equals(first.extract(noise())[0])


def test_a_mean_of_0_and_what_a_file_says_of_its_scale_pass(tmp_path: Path) -> None:
    mobileclip = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    FeatureExtractor("pixels", normalization=mobileclip)
    description = tmp_path / "preprocessor_config.json"
    # EfficientNet with rescale_offset: (x / 255 - 1 - 0.485) / 0.229
    fields = {"image_processor_type": "EfficientNetImageProcessor", "size": 16, "crop_size": 16, "rescale_offset": True}
    description.write_text(json.dumps({**fields, "image_mean": [0.485, 0.456, 0.406]}))
    described = FeatureExtractor(TINY, preprocessing=description).preprocessing["normalization"]
    assert min(described[0]) > 1

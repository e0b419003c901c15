"""What a description makes of pixels, against Pillow itself; the libraries are asked by `make test-hubs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from test_descriptions import CLIP, TOLD, VIT, written

from sparkcider import FeatureExtractor
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path


def inputs(tmp_path: Path, values: dict[str, Any], image: np.ndarray) -> np.ndarray:
    """The network's input, (H, W, 3)."""
    extractor = FeatureExtractor(TOLD, preprocessing=written(tmp_path / "d.json", values))
    height, width = extractor.input_size
    features, errors = extractor._inputs().extract(pa.array([encode_png(image)]))
    assert not errors.drop_null()
    return features.flatten().to_numpy().reshape(3, height, width).transpose(1, 2, 0)


SIZES = [(50, 71), (71, 50), (7, 9), (40, 40), (3, 90), (31, 30)]
RAW = {"do_rescale": False, "do_normalize": False}


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_shortest_edge_and_a_centre_are_pillows(tmp_path: Path, size: tuple[int, int]):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    height, width = size
    short = min(size)
    scaled = image.fromarray(pixels).resize(
        (int(33 * width / short), int(33 * height / short)), image.Resampling.BICUBIC
    )
    # transformers: what is cut off above is rounded down, what is missing is rounded up; zeros around it
    canvas = np.zeros((36, 20, 3), np.uint8)
    rows = np.asarray(scaled)
    top, left = (rows.shape[0] - 36) // 2, (rows.shape[1] - 20) // 2
    above = -(-(36 - rows.shape[0]) // 2) if rows.shape[0] < 36 else 0
    kept = rows[max(top, 0) :, left : left + 20][:36]
    canvas[above : above + len(kept)] = kept
    values = {**CLIP, **RAW, "size": {"shortest_edge": 33}, "crop_size": {"height": 36, "width": 20}}
    assert np.array_equal(inputs(tmp_path, values, pixels), canvas)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("resample", "number"), [("NEAREST", 0), ("LANCZOS", 1), ("BILINEAR", 2), ("BOX", 4)])
def test_a_squash_is_pillows(tmp_path: Path, size: tuple[int, int], resample: str, number: int):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(2).integers(0, 256, (*size, 3), np.uint8)
    expected = image.fromarray(pixels).resize((21, 34), image.Resampling[resample])
    values = {**VIT, **RAW, "size": {"height": 34, "width": 21}, "resample": number}
    assert np.array_equal(inputs(tmp_path, values, pixels), np.asarray(expected))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_border_of_timm_is_pillows(tmp_path: Path, size: tuple[int, int]):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(3).integers(0, 256, (*size, 3), np.uint8)
    ratio = max(size[0] / 30, size[1] / 27)
    height, width = (round(side / ratio) for side in size)
    canvas = image.new("RGB", (27, 30), (51, 102, 153))
    scaled = image.fromarray(pixels).resize((width, height), image.Resampling.BICUBIC)
    canvas.paste(scaled, ((27 - width) // 2, (30 - height) // 2))
    mean = [0.2, 0.4, 0.6]
    values = {"input_size": [3, 30, 27], "crop_pct": 1.0, "crop_mode": "border", "mean": mean, "std": [1, 1, 1]}
    expected = np.asarray(canvas, np.float32) / np.float32(255) - np.float32(mean)
    assert np.array_equal(inputs(tmp_path, {"pretrained_cfg": values}, pixels), expected)


def test_transparency_lies_on_white_where_transformers_converts_to_rgb(tmp_path: Path):
    image = pytest.importorskip("PIL.Image")
    see_through = image.new("RGBA", (16, 16), (10, 20, 30, 0))
    see_through.save(tmp_path / "a.png")
    column = pa.array([(tmp_path / "a.png").read_bytes()])
    for values, level in ((CLIP, 255), ({**CLIP, "do_convert_rgb": False}, 10)):
        path = written(tmp_path / "d.json", {**values, **RAW, "size": 16, "crop_size": 16})
        features, _ = FeatureExtractor(TOLD, preprocessing=path)._inputs().extract(column)
        assert features.flatten()[0].as_py() == level


def antialiased(levels: np.ndarray, length: int) -> np.ndarray:
    """Rows to `length` rows by a triangle that is stretched when they become fewer."""
    scale = len(levels) / length
    centers = (np.arange(length) + 0.5) * scale
    distances = np.abs(np.arange(len(levels)) + 0.5 - centers[:, None]) / max(scale, 1.0)
    weights = np.maximum(1 - distances, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return np.tensordot(weights, levels, 1)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_dinov3_is_resized_without_rounding(tmp_path: Path, size: tuple[int, int]):
    pixels = np.random.default_rng(4).integers(0, 256, (*size, 3), np.uint8)
    resized = antialiased(antialiased(pixels / 255.0, 34).transpose(1, 0, 2), 21).transpose(1, 0, 2)
    expected = (resized - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    values = {"image_processor_type": "DINOv3ViTImageProcessorFast", "size": {"height": 34, "width": 21}}
    np.testing.assert_allclose(inputs(tmp_path, values, pixels), expected, atol=1e-5)

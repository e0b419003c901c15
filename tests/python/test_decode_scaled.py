"""`decode="scaled"` from Python: pixels of Pillow's draft and resize in every mode, and what it does to features."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor

if TYPE_CHECKING:
    from pathlib import Path

Image = pytest.importorskip("PIL.Image")
ImageOps = pytest.importorskip("PIL.ImageOps")

ORIENTATION = 0x0112
HEIGHT, WIDTH = 333, 517

# The bound for each photo of the test data. The smallest was 0.992, of a drone's picture of fields.
COSINE = 0.99


def jpeg(**options: Any) -> bytes:
    """Slopes and noise of 333 x 517 pixels."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(3).integers(0, 60, (HEIGHT, WIDTH))
    slopes = [rows / HEIGHT * 190, columns / WIDTH * 190, (rows + columns) % 190]
    pixels = np.stack([slope + noise for slope in slopes], -1).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80, **options)
    return file.getvalue()


def draft(file: bytes, scale: int) -> Any:
    """The image at one over `scale`, upright, by Pillow."""
    opened = Image.open(io.BytesIO(file))
    opened.draft(None, (opened.width // scale, opened.height // scale))
    assert opened.decoderconfig[0] == scale
    return ImageOps.exif_transpose(opened).convert("RGB")


def ours(file: bytes, height: int, width: int, **options: Any) -> np.ndarray:
    """(height, width, 3) u8 by sparkcider."""
    settings = {"input_size": (height, width), "filter": "bicubic", "normalization": "raw", "decode": "scaled"}
    features, errors = FeatureExtractor("pixels", **settings, **options).extract(pa.array([file]))
    assert errors.null_count == 1, errors[0]
    return features.flatten().to_numpy().reshape(height, width, 3)


def squashed(image: Any, height: int, width: int) -> Any:
    return image.resize((width, height), Image.Resampling.BICUBIC)


def padded(image: Any, height: int, width: int) -> Any:
    return ImageOps.pad(image, (width, height), Image.Resampling.BICUBIC)


def cropped(image: Any, height: int, width: int) -> Any:
    """torchvision's `Resize(round(side / 0.875))` and `CenterCrop(side)`, of a wide image."""
    box = round(height / 0.875)
    resized = image.resize((int(box * image.width / image.height), box), Image.Resampling.BICUBIC)
    left, top = round((resized.width - width) / 2), round((box - height) / 2)
    return resized.crop((left, top, left + width, top + height))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 1}], ids=str)
@pytest.mark.parametrize(
    ("mode", "by_pillow", "sides", "scale"),
    [
        ("squash", squashed, (21, 32), 8),
        ("squash", squashed, (22, 32), 4),
        ("squash", squashed, (42, 64), 4),
        ("squash", squashed, (70, 70), 2),
        ("squash", squashed, (84, 130), 1),
        ("letterbox", padded, (32, 32), 8),
        ("letterbox", padded, (64, 64), 4),
        ("center_crop", cropped, (18, 18), 8),
        ("center_crop", cropped, (32, 32), 4),
    ],
)
def test_the_pixels_are_those_of_draft_and_resize(
    options: dict[str, Any],
    mode: str,
    by_pillow: Callable[[Any, int, int], Any],
    sides: tuple[int, int],
    scale: int,
) -> None:
    file = jpeg(**options)
    expected = np.asarray(by_pillow(draft(file, scale), *sides))
    assert np.array_equal(ours(file, *sides, resize_mode=mode), expected)


@pytest.mark.parametrize("number", range(1, 9))
def test_an_image_on_its_side_is_measured_as_it_will_stand(number: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = number
    file = jpeg(exif=exif)
    scale = 4 if number >= 5 else 2  # 130 x 84 pixels are twice 64 x 42, 84 x 130 are not
    expected = np.asarray(squashed(draft(file, scale), 64, 42))
    assert np.array_equal(ours(file, 64, 42), expected)


def test_the_default_is_exact() -> None:
    file = jpeg()
    pixels = [
        FeatureExtractor("pixels", **options).extract(pa.array([file]))[0].to_pylist()
        for options in ({}, {"decode": None}, {"decode": "exact"}, {"decode": "scaled"})
    ]
    assert pixels[0] == pixels[1] == pixels[2] != pixels[3]


def test_a_twin_and_inputs_are_scaled_too() -> None:
    first = FeatureExtractor("pixels", decode="scaled")
    expected = first.extract(pa.array([jpeg()]))[0]
    assert first.twin().extract(pa.array([jpeg()]))[0] == expected
    assert first._inputs().extract(pa.array([jpeg()]))[0] == expected


def test_the_limit_of_pixels_is_about_the_whole_image() -> None:
    images = pa.array([jpeg()])
    for decode in ("exact", "scaled"):
        for limit, reason in ((HEIGHT * WIDTH, None), (HEIGHT * WIDTH - 1, f"image of {WIDTH} x {HEIGHT} pixels")):
            _, errors = FeatureExtractor("pixels", decode=decode, max_pixels=limit).extract(images)
            assert str(errors[0].as_py()).startswith(str(reason))


def test_features_of_photos_differ_little(test_data: Path) -> None:
    model = str(test_data / "models" / "mobilenetv2_imagenet.onnx")
    photos = pa.array([path.read_bytes() for path in sorted((test_data / "photos").iterdir())])
    exact, scaled = (
        FeatureExtractor(model, normalization="tf", decode=decode).extract(photos)[0].flatten().to_numpy()
        for decode in ("exact", "scaled")
    )
    rows = [features.reshape(len(photos), -1) for features in (exact, scaled)]
    lengths = [np.linalg.norm(row, axis=1) for row in rows]
    cosines = (rows[0] * rows[1]).sum(1) / lengths[0] / lengths[1]
    assert not np.array_equal(*rows)
    assert cosines.min() >= COSINE

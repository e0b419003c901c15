"""The sample images: deterministic, and what they promise to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError

from sparkcider import samples

if TYPE_CHECKING:
    from pathlib import Path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.*"))}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples")
    assert samples.write_samples(path, images_per_label=6) == 121
    return path


def test_there_are_twenty_labels_some_png_and_one_broken_file(folder: Path):
    assert len(list(folder.iterdir())) == 20
    assert len(list(folder.rglob("*.jpg"))) == 20 * 5 + 1
    assert len(list(folder.rglob("*.png"))) == 20


def test_pillow_opens_every_file_but_the_broken_one(folder: Path):
    for path in folder.rglob("*.*"):
        if path.name == samples.BROKEN:
            with pytest.raises((UnidentifiedImageError, OSError)):
                Image.open(path).load()
            continue
        with Image.open(path) as image:
            assert image.mode == "RGB"
            assert image.format == ("PNG" if path.suffix == ".png" else "JPEG")
            assert min(image.size) >= samples.SIDES[0]
            assert max(image.size) <= samples.SIDES[1]
            image.load()


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder: Path, tmp_path: Path):
    samples.write_samples(tmp_path / "same", images_per_label=6)
    samples.write_samples(tmp_path / "other", images_per_label=6, seed=21)
    assert contents(tmp_path / "same") == contents(folder)
    other = contents(tmp_path / "other")
    # the broken file ends in the header, which says nothing of the pixels
    assert all(other[name] != content for name, content in contents(folder).items() if samples.BROKEN not in name)


def test_more_images_leave_the_first_ones_as_they_are(folder: Path, tmp_path: Path):
    samples.write_samples(tmp_path, images_per_label=2)
    whole = contents(folder)
    assert all(whole[name] == content for name, content in contents(tmp_path).items())


def test_labels_differ_in_colour_more_than_their_images_do(folder: Path):
    centers = {}
    for label in folder.iterdir():
        patches = []
        for path in sorted(label.glob("0*.*")):
            with Image.open(path) as image:
                patches.append(np.asarray(image.convert("RGB").resize((12, 12)), float)[4:8, 4:8].mean((0, 1)))
        centers[label.name] = np.array(patches)
    within = np.mean([patches.std(0).mean() for patches in centers.values()])
    between = np.array([patches.mean(0) for patches in centers.values()]).std(0).mean()
    assert between > within


def test_png_keeps_every_pixel_and_jpeg_nearly(tmp_path: Path):
    pixels = samples.paint(samples.FRUITS[0], np.random.default_rng(1))
    (tmp_path / "a.png").write_bytes(samples.encode_png(pixels))
    (tmp_path / "a.jpg").write_bytes(samples.encode_jpeg(pixels))
    with Image.open(tmp_path / "a.png") as png, Image.open(tmp_path / "a.jpg") as jpeg:
        np.testing.assert_array_equal(np.asarray(png), pixels)
        difference = np.abs(np.asarray(jpeg).astype(int) - pixels)
    # sensor noise is not kept at quality 90, and chroma has half the resolution
    assert difference.mean() < 4.0


@pytest.mark.parametrize("quality", [0, 101])
def test_a_jpeg_quality_out_of_range_is_a_value_error(quality: int):
    with pytest.raises(ValueError, match=r"quality must be from 1 to 100, got"):
        samples.encode_jpeg(np.zeros((2, 2, 3), np.uint8), quality)


def test_no_images_is_a_value_error(tmp_path: Path):
    with pytest.raises(ValueError, match="images_per_label must be at least 1, got 0"):
        samples.write_samples(tmp_path, images_per_label=0)

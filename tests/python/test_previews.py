"""Digest, fingerprint and thumbnail of each image, against hashlib and Pillow; and that jobs write them."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image, ImageOps

from sparkcider import FeatureExtractor
from sparkcider.contents import PREVIEWS
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[..., dict[str, Any]]

MIRRORED = np.packbits(np.arange(256) % 2 == 1, bitorder="little").astype(np.uint8)
"""The bits of odd horizontal frequencies, whose signs a mirror turns."""

FAR = 60
"""Bits between fingerprints of images that have nothing to do with each other: 128 of 256 on average."""


def previews(files: list[bytes | None], *, thumbnails: bool = True) -> list[dict[str, bytes] | None]:
    found: list[dict[str, bytes] | None] = (
        FeatureExtractor("pixels")
        ._extract_with_previews(pa.array(files, pa.binary()), thumbnails=thumbnails)[3]
        .to_pylist()
    )
    return found


def fingerprints(files: list[bytes]) -> np.ndarray:
    """(N, 32) uint8."""
    return np.stack([np.frombuffer(row["fingerprint"], np.uint8) for row in previews(files) if row is not None])


def distances(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return np.unpackbits(ours ^ theirs, axis=1).sum(axis=1)


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, images_per_label=3)
    return sorted(path for path in folder.rglob("*.jpg") if path.parent.name != "damaged" and opens(path))


def opens(path: Path) -> bool:
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def test_each_image_has_its_digest_and_a_thumbnail_that_opens(samples: list[Path]):
    files = [path.read_bytes() for path in samples]
    for file, row in zip(files, previews(files)):
        assert row is not None
        assert row["digest"] == hashlib.sha256(file).digest()
        thumbnail, whole = Image.open(io.BytesIO(row["thumbnail"])), Image.open(io.BytesIO(file)).convert("RGB")
        assert thumbnail.format == "JPEG"
        assert max(thumbnail.size) == 48
        ours = np.asarray(thumbnail, float)
        theirs = np.asarray(whole.resize(thumbnail.size, Image.Resampling.BILINEAR), float)
        assert abs(ours - theirs).mean() < 6, "levels: what JPEG costs at this size"


def test_a_bad_image_has_no_preview_and_thumbnails_can_be_left_out(samples: list[Path]):
    file = samples[0].read_bytes()
    assert previews([b"no image", None, file[: len(file) // 2]]) == [None] * 3
    (row,) = previews([file], thumbnails=False)
    assert row is not None
    assert (row["thumbnail"], len(row["digest"]), len(row["fingerprint"])) == (None, 32, 32)


def test_fingerprints_survive_another_encoding_and_size(samples: list[Path]):
    images = [Image.open(path).convert("RGB") for path in samples]
    ours = fingerprints([path.read_bytes() for path in samples])
    for again in (
        [encoded(image, quality=40) for image in images],
        [encoded(image.resize((image.width * 2, image.height * 2)), "PNG") for image in images],
        [encoded(image.resize((image.width // 2, image.height // 2)), quality=85) for image in images],
    ):
        assert distances(ours, fingerprints(again)).max() <= 20
    mirrored = fingerprints([encoded(ImageOps.mirror(image), quality=85) for image in images])
    assert distances(ours ^ MIRRORED, mirrored).max() <= 20


def test_fingerprints_of_real_images_survive_and_those_of_others_are_far(test_data: Path):
    files = [min(folder.iterdir()) for folder in sorted((test_data / "fruits" / "Test").iterdir())]
    images = [Image.open(path).convert("RGB") for path in files]
    ours = fingerprints([path.read_bytes() for path in files])
    assert distances(ours, fingerprints([encoded(image, quality=40) for image in images])).max() <= 16
    apart = [distances(ours[at : at + 1], ours[:at]).min() for at in range(1, len(ours))]
    assert np.median(apart) > FAR, "one image of each label"


def test_a_large_photo_and_its_scaled_decoding_have_nearly_the_same_fingerprint(test_data: Path):
    photos = [path.read_bytes() for path in sorted((test_data / "photos").glob("drone_*"))]
    assert photos
    scaled = FeatureExtractor("pixels", decode="scaled")
    found = scaled._extract_with_previews(pa.array(photos, pa.binary()), thumbnails=True)[3].field("fingerprint")
    theirs = np.stack([np.frombuffer(bits, np.uint8) for bits in found.to_pylist()])
    assert distances(fingerprints(photos), theirs).max() <= 16


def test_a_job_writes_previews_of_every_image_and_leaves_thumbnails_out_if_asked(run: Run, tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=2)
    config = JobConfig(input=str(tmp_path / "images"), output=str(tmp_path / "out"), model="pixels", pca=False)
    run(config)
    rows = pd.read_parquet(tmp_path / "out" / "features")
    assert rows.columns[-3:].tolist() == PREVIEWS.names
    good = rows.error.isna()
    assert good.any()
    for name in PREVIEWS.names:
        assert rows[name].notna().equals(good), name
    for row in rows[good].itertuples():
        (expected,) = previews([Path(row.path[len("file:") :]).read_bytes()])
        assert expected == {name: getattr(row, name) for name in PREVIEWS.names}
    run(JobConfig(**{**vars(config), "output": str(tmp_path / "plain"), "thumbnails": False}))
    plain = pd.read_parquet(tmp_path / "plain" / "features")
    assert plain.thumbnail.isna().all()
    assert plain.fingerprint.notna().equals(plain.error.isna())

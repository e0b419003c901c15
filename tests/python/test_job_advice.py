"""What a job says of scaled decoding, where decoding took most of its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import _native
from sparkcider.job import JobConfig
from sparkcider.job import advice as job_advice
from sparkcider.job.advice import scaled_advice
from sparkcider.job.source import KEYS, FileImages, ImageColumns, TableImages

if TYPE_CHECKING:
    from pathlib import Path

MOSTLY_DECODING = {"decoding": 90.0, "resizing": 5.0, "inference": 5.0}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> FileImages:
    """Four JPEGs of 1.9 megapixels: slopes with noise."""
    folder = tmp_path_factory.mktemp("photos")
    height, width = 1200, 1600
    rows = []
    for number in range(4):
        noise = np.random.default_rng(number).integers(0, 6, (height, width, 3))
        slope = np.linspace(0, 249, width)[None, :, None]
        pixels = (noise + slope).astype(np.uint8)
        path: Path = folder / f"{number}.jpg"
        path.write_bytes(_native._encode_jpeg(pixels.tobytes(), height, width, 90))
        rows.append({"path": f"file:{path}", "label": "x", "length": path.stat().st_size, "modified": 0})
    return FileImages(pa.Table.from_pylist(rows, KEYS))


def config(**options: Any) -> JobConfig:
    return JobConfig(input="in", output="out", model="fruits-tiny", options=options)


def test_the_gain_and_its_cost_are_measured_on_the_users_own_images(
    photos: FileImages, monkeypatch: pytest.MonkeyPatch
):
    # the seconds that are measured depend on the machine's load
    measured, seconds = job_advice._measured, {"exact": 1.0, "scaled": 0.4}

    def timed(images: pa.Array[Any], job: JobConfig, decode: str) -> tuple[list[list[float] | None], float]:
        features, own_seconds = measured(images, job, decode)
        assert own_seconds > 0
        return features, seconds[decode]

    monkeypatch.setattr(job_advice, "_measured", timed)
    advice = scaled_advice(config(), photos, MOSTLY_DECODING)
    assert advice is not None
    assert advice.decoding_share == pytest.approx(0.9)
    assert advice.sample == 4
    assert advice.speedup == pytest.approx(1 / (0.1 + 0.9 * 0.4), abs=0.01)
    assert 0.9 < advice.median_cosine <= 1
    assert str(advice).startswith("decoding took 90% of the workers' time; --decode scaled would be ")
    assert set(advice.as_dict()) == {"decoding_share", "speedup", "median_cosine", "sample"}


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"decode": "scaled"}, MOSTLY_DECODING),
        ({}, {"decoding": 4.0, "inference": 96.0}),
        ({}, {"decoding": 0.9, "inference": 0.1}),
        ({}, {"decoding": 0.0, "inference": 0.0}),
    ],
)
def test_nothing_is_said_where_there_is_nothing_to_gain(
    photos: FileImages, options: dict[str, Any], seconds: dict[str, float]
):
    assert scaled_advice(config(**options), photos, seconds) is None


def test_nothing_is_said_of_small_images_rows_and_lost_files(photos: FileImages, tmp_path: Path):
    small = tmp_path / "small.jpg"
    small.write_bytes(_native._encode_jpeg(bytes(100 * 100 * 3), 100, 100, 90))
    row = {"path": f"file:{small}", "label": "x", "length": 1, "modified": 0}
    assert scaled_advice(config(), FileImages(pa.Table.from_pylist([row], KEYS)), MOSTLY_DECODING) is None
    lost = {**row, "path": "file:/nowhere/1.jpg"}
    assert scaled_advice(config(), FileImages(pa.Table.from_pylist([lost], KEYS)), MOSTLY_DECODING) is None
    table = TableImages(None, ImageColumns(("content",), ("path",)), None)
    assert scaled_advice(config(), table, MOSTLY_DECODING) is None
    assert len(photos.keys) == 4

"""What the native side tells of images before they are decoded, and of the machine that decodes them."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import _native

DECODE = Path(__file__).parent.parent / "data" / "decode"
HAS_STREAMS = hasattr(pa.ChunkedArray, "__arrow_c_stream__")


def image(kind: str, height: int, width: int) -> bytes:
    """A grey image file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 90, np.uint8)).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "QOI"])
def test_header_pixels_are_width_times_height_in_every_format(kind: str) -> None:
    pixels = _native._header_pixels(pa.array([image(kind, 30, 41), None, image(kind, 1, 7)]))
    assert pixels.type == pa.uint64()
    assert pixels.to_pylist() == [30 * 41, 0, 7]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")  # what Pillow says of exif_cut.jpg
def test_header_pixels_agree_with_pillow_on_every_fixture() -> None:
    from PIL import Image

    files = sorted(path for path in DECODE.iterdir() if path.suffix not in {".py", ".tsv"})
    sizes = []
    for path in files:
        with Image.open(path) as opened:
            sizes.append(opened.width * opened.height)
    assert _native._header_pixels(pa.array([path.read_bytes() for path in files])).to_pylist() == sizes


def test_a_header_that_cannot_be_read_counts_nothing() -> None:
    rows = [b"", b"no image", image("PNG", 9, 9)[:20], image("JPEG", 9, 9)[:3]]
    assert _native._header_pixels(pa.array(rows)).to_pylist() == [0, 0, 0, 0]


def test_a_bomb_is_counted_and_not_unpacked() -> None:
    bomb = bytearray(image("BMP", 4, 4))
    bomb[18:26] = b"\xff\xff\xff\x7f\xff\xff\xff\x7f"
    assert _native._header_pixels(pa.array([bytes(bomb)])).to_pylist() == [(2**31 - 1) ** 2]


@pytest.mark.skipif(not HAS_STREAMS, reason="pyarrow before 16 gives no stream of a ChunkedArray")
def test_header_pixels_of_a_stream_come_in_its_chunks() -> None:
    chunks = _native._header_pixels(pa.chunked_array([[image("PNG", 2, 3)], [None, image("PNG", 5, 1)]]))
    assert [chunk.to_pylist() for chunk in chunks.chunks] == [[6], [0, 5]]


def test_header_pixels_of_another_type_are_a_type_error() -> None:
    with pytest.raises(
        TypeError, match=r"^expected the bytes of image files, got pyarrow StringArray of text: read the"
    ):
        _native._header_pixels(pa.array(["text"]))


def test_the_available_cores_are_at_most_those_of_the_affinity_mask() -> None:
    cores = _native._available_cores()
    assert 1 <= cores <= (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity masks on this platform")
def test_the_available_cores_follow_the_affinity_mask() -> None:
    mask = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(mask)})
        assert _native._available_cores() == 1
    finally:
        os.sched_setaffinity(0, mask)

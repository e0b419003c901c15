"""The words of `error_kind`: the same in Rust, Python and the documentation, and given beside each reason."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor, _native
from sparkcider.error_kinds import DECODING_KINDS, ERROR_KINDS, FETCHING_KINDS

ROOT = Path(__file__).parents[2]
FIXTURES = ROOT / "tests" / "data" / "decode"


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    return FeatureExtractor("pixels", input_size=2, max_pixels=13 * 17)


def test_rust_has_the_same_words():
    assert _native._error_kinds() == list(DECODING_KINDS)
    assert not DECODING_KINDS.keys() & FETCHING_KINDS.keys()


def test_the_documentation_has_the_same_words_and_meanings():
    text = (ROOT / "docs" / "reliability.md").read_text()
    [table] = re.findall(r"^\| `error_kind` .*\n.*\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert table.splitlines() == [f"| `{kind}` | {meaning} |" for kind, meaning in ERROR_KINDS.items()]


def test_each_row_has_the_kind_of_its_fault(extractor: FeatureExtractor):
    png, jpeg, bmp = ((FIXTURES / name).read_bytes() for name in ("RGB.png", "RGB.jpg", "RGB.bmp"))
    huge = bmp[:18] + bytes([0, 1, 0, 0] * 2) + bmp[26:]  # 256 x 256 pixels
    rows = {
        None: png,
        "null": None,
        "empty": b"",
        "not_an_image": b"<!DOCTYPE html><html><body>404</body></html>",
        "unknown_format": b"\x01\x02\xff\xfe" * 9,
        "unsupported_format": b"\xff\x0a\xfa\x7f",
        "truncated": jpeg[: len(jpeg) // 2],
        "damaged": png[:60] + b"damage" + png[66:],
        "too_large": huge,
    }
    features, errors, kinds = extractor.extract(pa.array(rows.values(), pa.binary()), with_kinds=True)
    assert kinds.type == pa.string()
    assert kinds.to_pylist() == list(rows)
    assert set(rows) - {None} == set(DECODING_KINDS)
    assert errors.is_null().equals(kinds.is_null())
    assert features.is_valid().equals(kinds.is_null())


@pytest.mark.parametrize(
    "name",
    [
        *("RGB.jpg", "RGB_progressive.jpg", "RGB.png", "RGB.gif", "RGB.bmp", "RGB.tif", "tiff_lzw.tif", "RGB.webp"),
        *("RGB.ico", "RGB_bitmap.ico", "RGBA.cur", "RGB.qoi"),
    ],
)
def test_a_file_cut_at_each_eighth_is_truncated(extractor: FeatureExtractor, name: str):
    content = (FIXTURES / name).read_bytes()
    cut = [content[: len(content) * eighth // 8] for eighth in range(1, 8)]
    _, errors, kinds = extractor.extract(pa.array(cut), with_kinds=True)
    assert kinds.to_pylist() == ["truncated"] * 7, errors.to_pylist()


def test_kinds_come_only_when_they_are_asked_for(extractor: FeatureExtractor):
    column = pa.array([b"text"])
    for images, kind in ((column, pa.StringArray), (pa.chunked_array([column, column]), pa.ChunkedArray)):
        assert len(extractor.extract(images)) == len(extractor.extract(images, with_kinds=False)) == 2
        *_, kinds = extractor.extract(images, with_kinds=True)
        assert isinstance(kinds, kind)
        assert set(kinds.to_pylist()) == {"not_an_image"}
    with pytest.raises(TypeError, match="positional"):
        extractor.extract(column, True)  # type: ignore[call-overload] # noqa: FBT003 - what is tested


def test_a_chunk_of_a_png_is_called_by_its_name(extractor: FeatureExtractor):
    png = bytearray((FIXTURES / "RGB.png").read_bytes())
    png[png.index(b"IHDR") + 8] ^= 1  # the checksum no longer fits
    _, [reason] = extractor.extract([bytes(png)])
    assert re.fullmatch(
        r"PNG: CRC error: expected 0x[0-9a-f]+ have 0x[0-9a-f]+ while decoding IHDR chunk\.", str(reason)
    )

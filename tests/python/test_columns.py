"""What `extract`, `Moments.update` and `Pca` take: every kind of column gives the same bits; wrong ones are refused."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor, Moments, Pca, PcaError
from sparkcider.columns import feature_column, image_column, is_arrow, is_base64_image, matrix

N, D = 7, 3


def png(seed: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGES = [png(0), None, b"no image", png(1)]
ROWS = np.random.default_rng(3).normal(size=(N, D)) * [3, 2, 1] + 5

IMAGE_COLUMNS = {
    "list": lambda: IMAGES,
    "tuple": lambda: tuple(IMAGES),
    "bytearrays and views": lambda: [bytearray(IMAGES[0]), None, memoryview(b"no image"), IMAGES[3]],
    "numpy": lambda: np.array(IMAGES, object),
    "pandas": lambda: pd.Series(IMAGES),
    "pandas of Arrow": lambda: pd.Series(pa.array(IMAGES), dtype=pd.ArrowDtype(pa.binary())),
    "pandas frame": lambda: pd.DataFrame({"content": IMAGES}),
    "polars": lambda: polars().Series(IMAGES),
    "polars frame": lambda: polars().DataFrame({"content": IMAGES}),
    "array": lambda: pa.array(IMAGES),
    "chunks": lambda: pa.chunked_array([IMAGES[:1], IMAGES[1:]]),
    "table": lambda: pa.table({"content": IMAGES}),
    "record batch": lambda: pa.RecordBatch.from_arrays([pa.array(IMAGES)], ["content"]),
}

ARRAYS = {
    "numpy": lambda rows: rows,
    "Fortran order": np.asfortranarray,
    "other byte order": lambda rows: rows.astype(rows.dtype.newbyteorder()),
    "read-only": lambda rows: np.frombuffer(rows.tobytes(), rows.dtype).reshape(rows.shape),
    "strided": lambda rows: np.repeat(rows, 2, axis=0)[::2],
    "list of arrays": list,
    "pandas frame": pd.DataFrame,
    "pandas": lambda rows: pd.Series(list(rows)),
    "polars frame": lambda rows: polars().DataFrame(rows),
}
"""Kinds that give NumPy arrays."""

ARROW = {
    "polars": lambda rows: polars().Series(rows.tolist(), dtype=polars().List(polars_float(rows))),
    "polars arrays": lambda rows: polars().Series(rows.tolist(), dtype=polars().Array(polars_float(rows), D)),
    "array": lambda rows: lists(rows),  # noqa: PLW0108 - defined below
    "chunks": lambda rows: pa.chunked_array([lists(rows[:2]), lists(rows[2:])]),
    "table": lambda rows: pa.table({"features": lists(rows)}),
    "record batch": lambda rows: pa.RecordBatch.from_arrays([lists(rows)], ["features"]),
}
"""Kinds that give pyarrow's."""


def polars() -> Any:
    return pytest.importorskip("polars", reason="needs polars")


def polars_float(rows: np.ndarray) -> Any:
    return polars().Float32 if rows.dtype == np.float32 else polars().Float64


def lists(rows: np.ndarray) -> pa.Array:
    return pa.array(list(rows), pa.list_(pa.from_numpy_dtype(rows.dtype)))


def moments_of(column: Any, **options: Any) -> Moments:
    moments = Moments()
    moments.update(column, **options)
    return moments


@pytest.mark.parametrize("column", IMAGE_COLUMNS.values(), ids=IMAGE_COLUMNS)
def test_extract_takes_every_kind_of_column_of_images(column):
    extractor = FeatureExtractor("pixels", input_size=2)
    features, errors = extractor.extract(pa.array(IMAGES))
    found, reasons = extractor.extract(column())
    assert found.to_pylist() == features.to_pylist()
    assert reasons.to_pylist() == errors.to_pylist()


@pytest.mark.parametrize("column", [[None, None], pd.Series([None, None]), np.array([None, None])], ids=type)
def test_a_column_of_nulls_needs_no_type(column):
    _, errors = FeatureExtractor("pixels").extract(column)
    assert errors.to_pylist() == ["null image"] * 2
    features, _ = FeatureExtractor("pixels").extract([])
    assert len(features) == 0


def test_a_missing_image_of_pandas_is_null():
    _, errors = FeatureExtractor("pixels").extract(pd.Series([b"x", np.nan, pd.NA]))
    assert errors.to_pylist()[1:] == ["null image"] * 2


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (["apple.jpg"], r"row 0: expected the bytes of an image file, got str: read the file first, Path\(...\).read_"),
        ([None, Path("a")], r"row 1: expected the bytes of an image file, got pathlib \w+Path: read the file first"),
        ([np.zeros((2, 2, 3))], "row 0: expected the bytes of an image file, got numpy ndarray"),
        (b"one", r"expected a column of images, got one image \(bytes\): pass \[image\]"),
        ("text", "expected encoded images: a list of bytes, a NumPy array of objects, a pandas or .*; got str"),
        ((image for image in IMAGES), "; got generator"),
        (
            np.array([b"a\0"]),
            r"got NumPy's \|S2, which drops zero bytes at the end of a file: pass the list, or",
        ),
        (np.zeros((2, 4, 4, 3), np.uint8), r"got a NumPy array of uint8 \(2, 4, 4, 3\)"),
        (
            pd.Series(["apple.jpg"]),
            r"the bytes of (an )?image files?, got .*: read the file first, Path\(...\).read_bytes",
        ),
        (
            pa.table({"path": ["a"], "content": [b""]}),
            r"expected a column of binary .*, got a table of 2 columns \(path: Utf8, content: Binary\): pass its col",
        ),
        (pd.DataFrame({"path": ["a"], "content": [b""]}), "got a table of 2 columns .*: pass its column 'content'"),
        (pa.table({"a": [b""], "b": [1], "c": [b""]}), "pass one of its columns, such as 'a' or 'c'"),
        (pa.table({str(number): [number] for number in range(99)}), r"7: Int64, ...\): none of them fits"),
        (pa.array([{"content": b""}, None]), "got a table of 1 columns"),
    ],
)
def test_wrong_images_are_told_what_is_right(images, message):
    with pytest.raises(TypeError, match=message):
        FeatureExtractor("pixels").extract(images)


def test_a_polars_frame_names_the_column_to_pass():
    frame = polars().DataFrame({"path": ["a"], "content": [b""]})
    with pytest.raises(TypeError, match=r"got a table of 2 columns .*: pass its column 'content'"):
        FeatureExtractor("pixels").extract(frame)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("column", {**ARRAYS, **ARROW}.values(), ids={**ARRAYS, **ARROW})
def test_moments_are_the_same_bits_from_every_kind_of_column(column, dtype):
    rows = ROWS.astype(dtype)
    assert moments_of(column(rows)).to_bytes() == moments_of(lists(rows)).to_bytes()


@pytest.mark.parametrize("dtype", [np.float16, np.int64, np.uint8, bool, object])
def test_other_numbers_become_floats(dtype):
    rows = ROWS.astype(dtype)
    assert moments_of(rows).to_bytes() == moments_of(lists(rows.astype(np.float64))).to_bytes()
    assert moments_of(rows.tolist()).to_bytes() == moments_of(rows).to_bytes()


def test_an_array_is_not_copied():
    for dtype in (np.float32, np.float64):
        rows = ROWS.astype(dtype)
        assert feature_column(rows).flatten().buffers()[1].address == rows.ctypes.data


def test_numbers_that_pandas_may_miss_become_nan():
    frame = pd.DataFrame(ROWS).astype("Float64")
    assert moments_of(frame).to_bytes() == moments_of(ROWS).to_bytes()
    frame.iloc[2, 1] = pd.NA
    with pytest.raises(PcaError, match="row 2 has a NaN or an infinity in feature 1"):
        moments_of(frame)


def test_null_rows_of_lists_are_null():
    rows = [*ROWS.tolist()[:2], None]
    moments = moments_of(rows, skip_invalid=True)
    assert (moments.n_samples, moments.n_invalid) == (2, 1)
    single = [row if row is None else np.array(row, np.float32) for row in rows]
    assert feature_column(single).type.value_type == pa.float32()
    assert feature_column(pd.Series([*list(ROWS), np.nan])).null_count == 1
    with pytest.raises(PcaError, match="row 2 is null or has a null inside"):
        moments_of(rows)


def test_a_nan_inside_a_series_is_no_null():
    (row,) = feature_column(pd.Series([[1.0, np.nan]])).to_pylist()
    assert np.isnan(row[1])


@pytest.mark.parametrize(
    ("features", "error", "message"),
    [
        (ROWS[0], ValueError, r"expected features of shape \(N, D\), got \(3,\). Reshape your data: one row is .resh"),
        (ROWS[None], ValueError, r"expected features of shape \(N, D\), got \(1, 7, 3\)"),
        (ROWS.astype(complex), TypeError, "expected features that are real numbers, got NumPy's complex128"),
        (ROWS.astype(str), TypeError, "expected features that are real numbers, got NumPy's <U"),
        (np.array([["a", None]], object), TypeError, "expected features that are real numbers: "),
        (np.ma.masked_array(ROWS), TypeError, r"got a masked array: pass .filled\(...\)"),
        ([1.0, 2.0], TypeError, "row 0: expected a list of numbers, got float"),
        (pd.Series([1.0]), TypeError, "row 0: expected a list of numbers, got float"),
        ([["a"], ["b", "c"]], TypeError, "expected rows of numbers: "),
        ([[1.0], [1.0, 2.0]], PcaError, "expected 1 features, got 2 in row 1"),
        (np.empty((2, 0)), PcaError, "expected at least one feature, got 0 in row 0"),
        ("text", TypeError, r"expected features: a NumPy array \(N, D\), a list of rows, .*; got str"),
        (pa.array([1.0]), TypeError, r"expected a column of lists of float32 or float64 \(features\), got Float64"),
        (pa.table({"a": [1.0], "x": [[1.0]]}), TypeError, "got a table of 2 columns .*: pass its column 'x'"),
        (pd.DataFrame({"a": ["b"], "x": [[1.0]]}), TypeError, "got a table of 2 columns .*: pass its column 'x'"),
    ],
)
def test_wrong_features_are_told_what_is_right(features, error, message):
    with pytest.raises(error, match=message):
        Moments().update(features)


def test_a_sparse_matrix_is_told_to_be_dense():
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(TypeError, match=r"got scipy csr_\w+: a sparse matrix must be dense, pass .toarray\(\)"):
        Moments().update(sparse.csr_matrix(ROWS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("column", ARRAYS.values(), ids=ARRAYS)
def test_pca_gives_arrays_for_arrays(column, dtype):
    rows = ROWS.astype(dtype)
    pca = Pca(k=2).fit(column(rows))
    expected = np.array(Pca(k=2).fit(lists(rows)).transform(lists(rows)).to_pylist(), dtype)
    given = column(rows)
    for projected in (pca.transform(given), Pca(k=2).fit_transform(given)):
        assert projected.dtype == dtype
        assert np.array_equal(projected, expected)
    projected += 1  # an array of one's own
    back = pca.inverse_transform(expected)
    error = pca.reconstruction_error(given)
    assert (back.shape, error.shape, error.dtype) == ((N, D), (N,), dtype)
    np.testing.assert_allclose(error, np.linalg.norm(rows - back, axis=1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("column", ARROW.values(), ids=ARROW)
def test_pca_gives_arrow_for_arrow(column):
    given = column(ROWS)
    pca = Pca(k=2).fit(given)
    for projected in (pca.transform(given), Pca(k=2).fit_transform(given)):
        assert isinstance(projected, (pa.Array, pa.ChunkedArray))
        assert np.array_equal(np.array(projected.to_pylist()), pca.transform(ROWS))
    assert matrix(pca.inverse_transform(projected)).shape == (N, D)
    assert len(pca.reconstruction_error(given)) == N


def test_rows_that_cannot_be_used_are_nan_in_arrays():
    rows = ROWS.copy()
    rows[1, 2] = np.nan
    pca = Pca(k=2, skip_invalid=True).fit(rows)
    assert (pca.n_samples_, pca.n_invalid_) == (N - 1, 1)
    projected = pca.transform(rows)
    assert np.isnan(projected).all(axis=1).tolist() == [number == 1 for number in range(N)]
    assert np.array_equal(projected[2:], pca.transform(ROWS[2:]))
    assert np.isnan(pca.reconstruction_error(rows)).nonzero()[0].tolist() == [1]
    assert pca.transform(lists(rows)).null_count == 1


def test_an_array_of_no_rows_gives_one():
    pca = Pca(k=2).fit(ROWS)
    assert pca.transform(ROWS[:0]).shape == (0, 2)
    assert pca.reconstruction_error(ROWS[:0]).shape == (0,)
    chunks = pca.transform(pa.chunked_array([], pa.list_(pa.float64())))
    assert (len(chunks), type(chunks)) == (0, pa.ChunkedArray)
    assert matrix(chunks).shape[0] == 0


def test_chunks_of_pyarrow_before_16_go_by_a_table(monkeypatch):
    from sparkcider import columns

    chunks = pa.chunked_array([[b"a"], [None]])
    assert is_arrow(chunks)
    assert image_column(chunks) is chunks

    class OldPyarrow:
        ChunkedArray = pa.ChunkedArray
        table = staticmethod(pa.table)

    monkeypatch.setattr(columns, "hasattr", lambda *_: False, raising=False)
    monkeypatch.setattr(columns, "pa", OldPyarrow)
    table = image_column(chunks)
    monkeypatch.undo()
    assert isinstance(table, pa.Table)
    _, errors = FeatureExtractor("pixels").extract(table)
    assert [error[:4] for error in errors.to_pylist()] == ["unkn", "null"]


def test_neither_pandas_nor_polars_is_imported():
    program = """
import sys
import numpy as np
from sparkcider import FeatureExtractor, Moments, Pca
FeatureExtractor("pixels").extract([b"x", None])
rows = np.eye(4)
Moments().update(rows)
Pca(k=2).fit_transform(rows.tolist())
print(sorted({"pandas", "polars", "sklearn", "pyspark"} & set(sys.modules)))
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


# Images in base64


def base64_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_base64_of_every_format_is_known(kind: str):
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 6, 3), np.uint8)).save(file, kind)
    text = base64_of(file.getvalue())
    assert is_base64_image(text)
    assert is_base64_image(base64.encodebytes(file.getvalue()).decode())  # in lines
    assert is_base64_image(f"data:image/{kind.lower()};base64,{text}")
    assert not is_base64_image(f"{text[:-1]}.")


@pytest.mark.parametrize(
    "text", ["", "/9j/a.jpg", "/9j/4AAQ", "/9j/" + "a" * 40, "s3://b/a.jpg", "/data/a.jpg", "é" * 99]
)
def test_a_path_is_not_base64(text: str):
    assert not is_base64_image(text)


@pytest.mark.parametrize(
    "column",
    [list, tuple, pd.Series, pa.array, lambda texts: pa.chunked_array([texts]), lambda texts: polars().Series(texts)],
)
def test_images_in_base64_are_told_to_be_decoded(column):
    texts = [base64_of(IMAGES[0]), None]
    with pytest.raises(TypeError, match=r"in base64: decode it first, base64\.b64decode\(\.\.\.\)") as caught:
        FeatureExtractor("pixels").extract(column(texts))
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("column", [pa.array, lambda texts: polars().Series(texts)])
def test_a_column_of_paths_is_told_to_be_read(column):
    with pytest.raises(TypeError, match=r"^expected the bytes of image files, got .* of text: read the file first"):
        FeatureExtractor("pixels").extract(column(["apple.jpg"]))

"""Arrow columns of what people have: lists, NumPy arrays, pandas, Polars; one place for all that take a column.

The native side calls `image_column` and `feature_column` on what it is given. Neither imports pandas or Polars: a
process that has an object of theirs has imported them. pyarrow's `array` and `to_numpy` import pandas where it is
installed, which takes a third of a second: NumPy arrays and lists of bytes go by their buffers.
"""

from __future__ import annotations

import sys
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sparkcider.base64_images import is_base64_image

if TYPE_CHECKING:
    from collections.abc import Sequence

IMAGES = (
    "encoded images: a list of bytes, a NumPy array of objects, a pandas or Polars Series, or an Arrow array, chunked "
    "array, or table or record batch of one column"
)

FEATURES = (
    "features: a NumPy array (N, D), a list of rows, a pandas or Polars Series of rows, or an Arrow array, chunked "
    "array, or table or record batch of one column, of lists of float32 or float64"
)

HEAD = 20
"""Rows that show the types of a data frame's columns, for a message."""

_BYTES = (bytes, bytearray, memoryview)


def image_column(images: Any) -> Any:
    """Encoded images as an object with Arrow's capsules.

    What has capsules is given back as it is, so that streams stay lazy. Other bytes are copied once.

    Args:
        images: N images: what `IMAGES` says; None is a null.

    Raises:
        TypeError: It is something else; the message says what to pass.

    Example:
        >>> len(image_column([b"one", None]))
        2
        >>> image_column(["apple.jpg"])
        Traceback (most recent call last):
        ...
        TypeError: row 0: expected the bytes of an image file, got str: read the file first, Path(...).read_bytes()
    """
    refuse_spark(images, "encoded images", "sparkcider.functions.image_features embeds a column of them")
    if _is_frame(images):
        images = _only_column(images)
    if _is_series(images):
        images = _arrow_of_series(images) or _values(images)
    if is_arrow(images):
        return _with_capsules(_not_text(images))
    if isinstance(images, np.ndarray):
        return _binary(_image_objects(images))
    if isinstance(images, (list, tuple)):
        return _binary(images)
    if isinstance(images, _BYTES):
        raise TypeError(f"expected a column of images, got one image ({type(images).__name__}): pass [image]")
    raise TypeError(f"expected {IMAGES}; got {_type_name(images)}")


def feature_column(features: Any) -> Any:
    """Rows of features as an object with Arrow's capsules.

    What has capsules is given back as it is. A C-contiguous float32 or float64 array (N, D) is not copied. Numbers of
    other types become float64.

    Args:
        features: N rows of D features: what `FEATURES` says, or a data frame of D numeric columns; None is a null row.

    Raises:
        TypeError: It is something else; the message says what to pass.
        ValueError: An array has another shape.

    Example:
        >>> import numpy as np
        >>> str(feature_column(np.zeros((2, 3), np.float32)).type)
        'fixed_size_list<item: float>[3]'
    """
    refuse_spark(features, "features", "sparkcider.feature.PCA fits to a column of them")
    if _is_frame(features):
        numbers = _numbers(features)
        if numbers is not None:
            return fixed_lists(numbers)
        features = _only_column(features)
    if is_arrow(features):
        return _with_capsules(features)
    if _is_series(features):
        return _arrow_of_series(features) or _lists(_values(features))
    if isinstance(features, (list, tuple)):
        return _lists(features)
    if isinstance(features, np.ma.MaskedArray):
        raise TypeError("expected features without a mask, got a masked array: pass .filled(...)")
    if hasattr(features, "__array__"):  # NumPy's, torch's, JAX's
        array = np.asarray(features)
        return _lists(list(array)) if array.dtype == object and array.ndim == 1 else fixed_lists(array)
    sparse = ": a sparse matrix must be dense, pass .toarray()" if hasattr(features, "toarray") else ""
    raise TypeError(f"expected {FEATURES}; got {_type_name(features)}{sparse}")


def column_names(features: Any) -> list[Any] | None:
    """The names of the columns of a data frame of numbers; None for other rows of features."""
    if not _is_frame(features) or _numbers(features.head(0)) is None:
        return None
    return list(features.columns)


def refuse_spark(given: Any, expected: str, instead: str) -> None:
    """TypeError for a DataFrame or Column of Spark, some of which have Arrow's capsules.

    Args:
        given: What was given.
        expected: What rows are expected to be.
        instead: What takes those of Spark.
    """
    if type(given).__module__.split(".")[0] == "pyspark":
        raise TypeError(f"expected {expected} in this process, got {_type_name(given)}: {instead}")


def is_arrow(given: Any) -> bool:
    """Whether an object is a column or a table of Arrow's own kind; data frames and pandas Series are not.

    Example:
        >>> is_arrow(pa.array([1])), is_arrow(np.array([1]))
        (True, False)
    """
    if isinstance(given, pa.ChunkedArray):  # has no capsules before pyarrow 16
        return True
    has_capsules = hasattr(given, "__arrow_c_array__") or hasattr(given, "__arrow_c_stream__")
    return has_capsules and not _is_frame(given) and not _is_series(given)


def matrix(column: pa.Array[Any] | pa.ChunkedArray[Any]) -> np.ndarray:
    """A column of lists of one length as an array (N, width), one of numbers as (N,); null rows and values are NaN.

    float32 and half floats give float32, other numbers float64.

    Example:
        >>> matrix(pa.array([[1.0, 2.0], None])).tolist()
        [[1.0, 2.0], [nan, nan]]
    """
    kind = column.type
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks else pa.array([], kind)
    good = column.drop_null()
    is_list = hasattr(kind, "value_type")
    values = _numpy(good.flatten() if is_list else good)
    shape: tuple[int, ...] = (len(column),)
    if is_list:
        fixed = isinstance(kind, pa.FixedSizeListType)
        shape = (*shape, kind.list_size if fixed else len(values) // max(len(good), 1))
    rows = np.full(shape, np.nan, values.dtype)
    valid = slice(None) if column.null_count == 0 else np.array(column.is_valid())
    rows[valid] = values.reshape(len(good), *shape[1:])
    return rows


def _numpy(values: pa.Array[Any]) -> np.ndarray:
    """Numbers as floats, a view where they are some already; NaN where one is null."""
    dtypes = {"float": np.float32, "double": np.float64, "halffloat": np.float16}
    if str(values.type) not in dtypes:
        values = values.cast(pa.float64())
    dtype = dtypes[str(values.type)]
    _, data = values.buffers()
    floats = np.frombuffer(data or b"", dtype, len(values), values.offset * np.dtype(dtype).itemsize)
    if dtype == np.float16:
        floats = floats.astype(np.float32)
    return np.where(np.array(values.is_valid()), floats, floats.dtype.type(np.nan)) if values.null_count else floats


def fixed_lists(rows: np.ndarray) -> pa.Array[Any]:
    """An array (N, D) as a column of fixed-size lists that shares its memory where it can.

    Raises:
        ValueError: It has another shape.
        TypeError: It does not hold real numbers.
    """
    if rows.ndim != 2:  # noqa: PLR2004 - rows and features
        hint = ". Reshape your data: one row is .reshape(1, -1)" if rows.ndim == 1 else ""
        raise ValueError(f"expected features of shape (N, D), got {rows.shape}{hint}")
    if rows.dtype == object:
        rows = _real(rows)
    if rows.dtype.kind not in "fiub":
        raise TypeError(f"expected features that are real numbers, got NumPy's {rows.dtype}")
    kind = np.float32 if rows.dtype.kind == "f" and rows.dtype.itemsize <= np.float32().itemsize else np.float64
    n, width = rows.shape
    floats = pa.float32() if kind is np.float32 else pa.float64()
    if width == 0:  # no fixed-size list has it; the native side refuses such rows
        return pa.array([[]] * n, pa.list_(floats))
    data = pa.py_buffer(np.ascontiguousarray(rows, kind))
    values = pa.Array.from_buffers(floats, n * width, [None, data])
    return pa.FixedSizeListArray.from_arrays(values, width)


def plain(column: pa.ChunkedArray[Any]) -> pa.ChunkedArray[Any]:
    """A column whose type every version of pyarrow can filter and sort.

    Dictionaries are resolved, views are copied.

    Example:
        >>> plain(pa.chunked_array([pa.array(["a", None, "a"]).dictionary_encode()])).type
        DataType(string)
    """
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):  # a tensor, a UUID
        return plain(pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type))
    if isinstance(kind, pa.DictionaryType):
        values = _plain_type(kind.value_type)
        chunks = [pa.DictionaryArray.from_arrays(c.indices, c.dictionary.cast(values)) for c in column.chunks]
        return pa.chunked_array([chunk.dictionary_decode() for chunk in chunks], values)
    if "list_view<" in str(kind):
        return pa.chunked_array(list(map(_viewed, column.chunks)), pa.large_list(kind.value_type))
    return column if _plain_type(kind) == kind else column.cast(_plain_type(kind))


def _viewed(views: pa.Array[Any]) -> pa.Array[Any]:
    """Views of lists as lists; pyarrow 26 loses the last one in its cast."""
    lengths = pc.fill_null(pc.list_value_length(views), 0)
    offsets = np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))])
    mask = views.is_null() if views.null_count else None
    return pa.LargeListArray.from_arrays(pa.array(offsets), views.flatten(), mask=mask)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    name = str(kind)
    if name in ("string_view", "large_string"):
        return pa.large_string()  # a chunk may be larger than 2 GiB
    if name in ("binary_view", "large_binary"):
        return pa.large_binary()
    return kind


def _with_capsules(given: Any) -> Any:
    if isinstance(given, pa.ChunkedArray) and not hasattr(given, "__arrow_c_stream__"):
        return pa.table({"column": given})
    return given


def _is_a(given: Any, module: str, name: str) -> bool:
    kind = getattr(sys.modules.get(module), name, None)
    return kind is not None and isinstance(given, kind)


def _is_series(given: Any) -> bool:
    """Whether it is pandas'; a Polars Series has Arrow's capsules."""
    return _is_a(given, "pandas", "Series")


def _is_frame(given: Any) -> bool:
    return _is_a(given, "pandas", "DataFrame") or _is_a(given, "polars", "DataFrame")


def _only_column(frame: Any) -> Any:
    """The column of a frame of one; else a small table, which the native side refuses with the column that fits."""
    if _is_a(frame, "polars", "DataFrame"):
        return frame.to_series(0) if frame.width == 1 else frame.head(HEAD).to_arrow()
    return frame.iloc[:, 0] if frame.shape[1] == 1 else pa.Table.from_pandas(frame.head(HEAD), preserve_index=False)


def _numbers(frame: Any) -> np.ndarray | None:
    """(N, D) of a frame of numbers; None for another."""
    if _is_a(frame, "polars", "DataFrame"):
        return np.asarray(frame.to_numpy()) if all(kind.is_numeric() for kind in frame.dtypes) else None
    kinds = list(frame.dtypes)
    if not all(getattr(kind, "kind", "O") in "fiub" for kind in kinds):
        return None
    plain = all(isinstance(kind, np.dtype) for kind in kinds)
    return np.asarray(frame.to_numpy() if plain else frame.to_numpy(np.float64, na_value=np.nan))


def _arrow_of_series(series: Any) -> Any:
    """The Arrow array inside a pandas Series, or one without a copy; None for a Series of objects or plain numbers."""
    to_arrow = getattr(series.array, "__arrow_array__", None)
    return None if to_arrow is None else _with_capsules(to_arrow())


def _values(series: Any) -> list[Any]:
    return [None if missing else value for value, missing in zip(series, series.isna())]


def _image_objects(images: np.ndarray) -> list[Any]:
    if images.dtype.kind == "S":
        raise TypeError(
            f"expected images as objects, got NumPy's {images.dtype}, which drops zero bytes at the end of a file: "
            "pass the list, or np.array(files, dtype=object)"
        )
    if images.dtype != object or images.ndim != 1:
        raise TypeError(f"expected {IMAGES}; got a NumPy array of {images.dtype} {images.shape}")
    return list(images)


def _binary(images: Sequence[Any]) -> pa.Array[Any]:
    for row, image in enumerate(images):
        if image is not None and not isinstance(image, _BYTES):
            raise TypeError(f"row {row}: expected the bytes of an image file, got {_type_name(image)}{_hint(image)}")
    valid = np.array([image is not None for image in images], bool)
    lengths = [0 if image is None else memoryview(image).nbytes for image in images]
    ends = np.cumsum([0, *lengths], dtype=np.int64)
    bits = np.packbits(valid, bitorder="little")
    buffers = [pa.py_buffer(bits), pa.py_buffer(ends), pa.py_buffer(b"".join(image or b"" for image in images))]
    return pa.Array.from_buffers(pa.large_binary(), len(images), buffers)  # `binary` ends at 2 GiB


def _hint(image: Any) -> str:
    """How bytes are made of what was given in place of them."""
    if isinstance(image, str) and is_base64_image(image):
        return " in base64: decode it first, base64.b64decode(...)"
    if hasattr(image, "__array_interface__"):  # of NumPy, of Pillow
        return ": pixels must be encoded first, as PNG for example"
    return ": read the file first, Path(...).read_bytes()" if isinstance(image, (str, PathLike)) else ""


def _not_text(images: Any) -> Any:
    """TypeError if an array of pyarrow's or a Series of Polars' holds text; what is a stream is not read here."""
    if _is_a(images, "polars", "Series"):
        texts = images.dtype == sys.modules["polars"].String
        valid = images.drop_nulls().head(1).to_list() if texts else []
    else:
        kind = getattr(images, "type", None)
        texts = str(kind) in ("string", "large_string", "string_view")
        valid = [value.as_py() for value in images.drop_null()[:1]] if texts else []
    if texts:
        raise TypeError(
            f"expected the bytes of image files, got {_type_name(images)} of text{_hint(valid[0] if valid else '')}"
        )
    return images


def _lists(rows: Sequence[Any]) -> pa.Array[Any]:
    rows = [row if row is None or isinstance(row, (list, tuple)) else _row(at, row) for at, row in enumerate(rows)]
    widths = {None if row is None else len(row) for row in rows}
    if len(widths) == 1 and widths != {None}:
        array = np.asarray(rows)
        if array.dtype != object:
            return fixed_lists(array)
    single = all(row is None or getattr(row, "dtype", None) == np.float32 for row in rows)
    try:
        return pa.array(rows, pa.list_(pa.float32() if single and widths != {None} else pa.float64()))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"expected rows of numbers: {error}") from error


def _row(at: int, row: Any) -> np.ndarray:
    array = np.asarray(row)
    if array.ndim != 1:
        hint = ": one row is [row]" if isinstance(row, (int, float)) else ""
        raise TypeError(f"row {at}: expected a list of numbers, got {_type_name(row)}{hint}")
    return array


def _real(rows: np.ndarray) -> np.ndarray:
    try:
        return rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"expected features that are real numbers: {error}") from error


def _type_name(given: Any) -> str:
    kind = type(given)
    root = kind.__module__.split(".")[0]
    return kind.__name__ if root == "builtins" else f"{root} {kind.__name__}"


def variable_lists(rows: pa.Array[Any]) -> pa.Array[Any]:
    """A column of fixed-size lists of float32 as `list<float32>`, the type of Spark and Parquet.

    A null row has no values, where pyarrow's cast leaves it D: Parquet files of pyarrow before 22 cannot hold those.

    Example:
        >>> import pyarrow as pa
        >>> rows = pa.array([[1.0, 2.0], None], pa.list_(pa.float32(), 2))
        >>> variable_lists(rows).values.to_pylist()
        [1.0, 2.0]
    """
    lengths = np.where(np.array(rows.is_valid(), bool), rows.type.list_size, 0)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    mask = rows.is_null() if rows.null_count else None
    return pa.ListArray.from_arrays(pa.array(offsets), rows.drop_null().flatten(), mask=mask)

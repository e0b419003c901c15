"""What stages ask of a DataFrame's columns: where they are, of which type and length, the array inside of a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import (
    ArrayType,
    BinaryType,
    DataType,
    DoubleType,
    FloatType,
    StringType,
    StructField,
    StructType,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import Column, DataFrame


class Found(NamedTuple):
    """A column, or a field inside of one.

    Attributes:
        column: It, for a query.
        field: Its type and metadata.
        parent: The struct that it is a field of; None for a column.
    """

    column: Column
    field: StructField
    parent: StructType | None


def quoted(name: str) -> str:
    """A name that Spark does not read as a path."""
    return "`" + name.replace("`", "``") + "`"


def find(schema: StructType, name: str, stage: str) -> Found:
    """The column of that name, or the field that it is the path of; a column named `my.content` goes first.

    Raises:
        ValueError: There is neither.
    """
    parts = _parts(name)
    for size in range(len(parts), 0, -1):  # a column's own name may have dots, too
        top = ".".join(parts[:size])
        if top in schema.names:
            found = _inside(Found(F.col(quoted(top)), schema[top], None), parts[size:])
            if found is not None:
                return found
    raise ValueError(f"{stage}: there is no column {name}; there are {', '.join(schema.names)}")


def _parts(name: str) -> list[str]:
    if len(name) > 2 and name[0] == name[-1] == "`":  # noqa: PLR2004 - two quotes and a name
        return [name[1:-1].replace("``", "`")]
    return name.split(".")


def _inside(found: Found, path: list[str]) -> Found | None:
    for part in path:
        kind = found.field.dataType
        struct = kind.elementType if isinstance(kind, ArrayType) else kind
        if not isinstance(struct, StructType) or part not in struct.names:
            return None
        field = struct[part]
        if isinstance(kind, ArrayType):  # the field of each struct, as Spark reads such a path
            field = StructField(part, ArrayType(field.dataType))
        found = Found(found.column.getField(part), field, struct)
    return found


IMAGE_FIELDS = {"origin", "height", "width", "nChannels", "mode", "data"}
"""Of a row of `spark.read.format("image")`."""


def holds_many(found: Found, name: str, stage: str) -> bool:
    """Whether a column of images holds many per row.

    Raises:
        TypeError: It holds none.
    """
    kind = found.field.dataType
    for struct in (kind, found.parent):
        if isinstance(struct, StructType) and set(struct.names) >= IMAGE_FIELDS:
            raise TypeError(
                f"{stage}: column {name} holds pixels that spark.read.format('image') has decoded: read the files with "
                "spark.read.format('binaryFile') and give inputCol='content'"
            )
    if isinstance(kind, ArrayType) and isinstance(kind.elementType, BinaryType):
        return True
    if isinstance(kind, (BinaryType, StringType)):
        return False
    expected = "binary (encoded images), array<binary> or string (paths and URIs of files)"
    raise TypeError(f"{stage}: column {name}: expected {expected}, got {kind.simpleString()}")


def with_fields(schema: StructType, added: Mapping[str, StructField], stage: str) -> StructType:
    """The schema with columns that must be new.

    Args:
        schema: Before.
        added: The columns, by the Param that names each.
        stage: For messages.

    Raises:
        ValueError: There is such a column; Spark, which tells no large letters from small ones, would replace it.
    """
    there = {name.lower(): name for name in schema.names}
    for param, field in added.items():
        if field.name.lower() in there:
            before = there[field.name.lower()]
            raise ValueError(f"{stage}: {param}: column {before} exists already: choose another name, or drop it first")
    return StructType([*schema.fields, *added.values()])


def find_features(schema: StructType, name: str, stage: str) -> Found:
    """A column that must hold features.

    Raises:
        TypeError: It does not.
        ValueError: There is no such column.
    """
    found = find(schema, name, stage)
    kind = found.field.dataType
    if isinstance(kind, VectorUDT) or (
        isinstance(kind, ArrayType) and isinstance(kind.elementType, (FloatType, DoubleType))
    ):
        return found
    expected = "array<float>, array<double> or vector"
    raise TypeError(f"{stage}: column {name}: expected {expected}, got {kind.simpleString()}")


def element_of(kind: DataType) -> DataType:
    """Type of the values in a column of features: vectors hold doubles."""
    return kind.elementType if isinstance(kind, ArrayType) else DoubleType()


def to_input_type(kind: DataType, column: Column) -> Column:
    """An array as the kind of features that was given."""
    return F.when(column.isNotNull(), array_to_vector(column)) if isinstance(kind, VectorUDT) else column


def as_array(found: Found) -> Column:
    """Features, one array or a vector, as an array named `features`: `mapInArrow` takes no name with a dot."""
    if isinstance(found.field.dataType, VectorUDT):
        # Spark's function takes no null
        return F.when(found.column.isNotNull(), vector_to_array(found.column)).alias("features")
    return found.column.alias("features")


def add(dataset: DataFrame, name: str, column: Column, kind: DataType, width: int) -> DataFrame:
    """Adds a column of arrays as the kind of features that is given, with its length in its metadata."""
    dataset = dataset.withColumn(name, column)  # first by itself: Spark copies what makes it into each use of it
    if isinstance(kind.elementType if isinstance(kind, ArrayType) else kind, StructType):
        # several layers: `width` is of all together
        return dataset
    features = to_input_type(kind, F.col(quoted(name)))
    return dataset.withColumn(name, features.alias(name, metadata=width_metadata(width)))


def width_metadata(values: int) -> dict[str, Any]:
    """Metadata of a column of so many values per row."""
    return {"ml_attr": {"num_attrs": values}}  # where pyspark.ml keeps the length of its vectors


def known_width(field: StructField) -> int | None:
    """What a column's metadata says of its length."""
    width: int | None = (field.metadata or {}).get("ml_attr", {}).get("num_attrs")
    return width

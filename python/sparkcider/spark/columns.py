"""What stages ask of a DataFrame's columns: type, length, the array inside of a vector."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import ArrayType, DataType, DoubleType, FloatType, StructField

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame
    from pyspark.sql.types import StructType


def type_of(schema: StructType, name: str) -> DataType:
    """Type of a column that must be there."""
    if name not in schema.names:
        raise ValueError(f"there is no column {name}; there are {', '.join(schema.names)}")
    return schema[name].dataType


def with_fields(schema: StructType, added: list[StructField]) -> StructType:
    """The schema with columns that must be new."""
    for field in added:
        if field.name in schema.names:
            raise ValueError(f"column {field.name} exists already")
    return type(schema)([*schema.fields, *added])


def features_type(schema: StructType, name: str) -> DataType:
    """Type of a column that must hold features."""
    found = type_of(schema, name)
    if isinstance(found, VectorUDT) or (
        isinstance(found, ArrayType) and isinstance(found.elementType, (FloatType, DoubleType))
    ):
        return found
    raise TypeError(f"column {name}: expected array<float>, array<double> or vector, got {found.simpleString()}")


def element_of(kind: DataType) -> DataType:
    """Type of the values in a column of features: vectors hold doubles."""
    return kind.elementType if isinstance(kind, ArrayType) else DoubleType()


def to_input_type(kind: DataType, column: Column) -> Column:
    """An array as the kind of features that was given."""
    return F.when(column.isNotNull(), array_to_vector(column)) if isinstance(kind, VectorUDT) else column


def as_array(dataset: DataFrame, name: str) -> Column:
    """The column as an array, a vector or not."""
    kind, column = features_type(dataset.schema, name), F.col(f"`{name}`")
    if isinstance(kind, VectorUDT):
        return F.when(column.isNotNull(), vector_to_array(column)).alias(name)  # Spark's function takes no null
    return column


def width_metadata(values: int) -> dict[str, Any]:
    """Metadata of a column of so many values per row."""
    return {"ml_attr": {"num_attrs": values}}  # where pyspark.ml keeps the length of its vectors


def known_width(schema: StructType, name: str) -> int | None:
    """What a column's metadata says of its length."""
    width: int | None = schema[name].metadata.get("ml_attr", {}).get("num_attrs")
    return width

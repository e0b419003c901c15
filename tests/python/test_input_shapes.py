"""What stages take: fields of structs, odd names, many images per row; and what they refuse on the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it
from pyspark.sql.types import ArrayType, BinaryType, StructField, StructType
from spark_images import encoded_images

from sparkcider import FeatureExtractor, ImageDecodeError
from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler
from sparkcider.spark import worker
from sparkcider.spark.columns import find

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

SIZE = 2
IMAGES = [content for _, content in encoded_images()]
GOOD, OTHER, BAD = IMAGES[0], IMAGES[1], b"no image"
PIXELS = worker.ModelFile(None, "pixels", (("input_size", SIZE),))


def expected(images: list[bytes | None]) -> list[list[float] | None]:
    return FeatureExtractor("pixels", input_size=SIZE).extract(pa.array(images, pa.binary()))[0].to_pylist()


def featurizer(**params: Any) -> ImageFeaturizer:
    return ImageFeaturizer(**{"model": "pixels", "inputSize": SIZE, "outputCol": "features", **params})


@pytest.fixture(scope="module")
def table(spark: SparkSession) -> DataFrame:
    """Images in columns of many shapes."""
    columns = (
        "id int, content binary, `my.content` binary, file struct<content: binary, size: int>, images array<binary>"
    )
    rows = [
        (0, GOOD, GOOD, (GOOD, 1), [GOOD, OTHER]),
        (1, OTHER, OTHER, (OTHER, 1), [GOOD, BAD, None]),
        (2, BAD, None, (None, 0), []),
        (3, None, BAD, None, None),
    ]
    return spark.createDataFrame(rows, columns).coalesce(1).cache()


# Fields and names


@pytest.mark.parametrize("name", ["content", "my.content", "`my.content`", "file.content"])
def test_a_field_and_a_column_with_a_dot_are_found(table: DataFrame, name: str):
    out = featurizer(inputCol=name).transform(table)
    assert out.columns == [*table.columns, "features"]
    assert [row.features for row in out.orderBy("id").collect()] == [*expected([GOOD, OTHER]), None, None]


def test_added_columns_may_have_dots_too(table: DataFrame):
    out = featurizer(inputCol="my.content", outputCol="my.features", errorCol="my.error").transform(table).cache()
    out = (
        PCA(k=1, inputCol="my.features", outputCol="my.pca", reconstructionErrorCol="my.distance")
        .fit(out)
        .transform(out)
    )
    out = out.cache()
    out = StandardScaler(inputCol="my.pca", outputCol="my.z").fit(out).transform(out)
    assert out.columns[-5:] == ["my.features", "my.error", "my.pca", "my.distance", "my.z"]
    assert out.schema["my.features"].metadata == {"ml_attr": {"num_attrs": 3 * SIZE * SIZE}}
    assert out.schema["my.z"].metadata == {"ml_attr": {"num_attrs": 1}}
    rows = out.orderBy("id").collect()
    assert [row["my.error"] for row in rows][:3] == [None, None, "null image"]
    assert [row["my.z"] is None for row in rows] == [False, False, True, True]


def test_features_inside_a_struct_are_found(spark: SparkSession):
    rows = [((Vectors.dense([float(at), at * at]),),) for at in range(4)]
    points = spark.createDataFrame(rows, StructType([StructField("s", StructType([StructField("xy", VectorUDT())]))]))
    out = PCA(k=1, inputCol="s.xy", outputCol="y").fit(points).transform(points)
    assert out.schema["y"].dataType == VectorUDT()
    assert out.where("y IS NULL").count() == 0


def test_the_column_goes_before_the_path(spark: SparkSession):
    assert spark is not None  # a column is made by it
    binary = StructField("content", BinaryType())
    struct = StructType([binary, StructField("b", StructType([binary]))])
    schema = StructType(
        [StructField("a", struct), StructField("a.b", StructType([binary])), StructField("l", ArrayType(struct))]
    )
    assert find(schema, "a.b", "S").field is schema["a.b"]
    assert find(schema, "a.b.content", "S").parent is schema["a.b"].dataType
    assert find(schema, "a.content", "S").parent is struct
    assert find(schema, "l.content", "S").field.dataType == ArrayType(BinaryType())
    for missing in ("b", "a.c", "a.b.content.x", "`a.c`"):
        with pytest.raises(ValueError, match=rf"^S: there is no column {missing}; there are a, a\.b, l$"):
            find(schema, missing, "S")


# Many images per row


def test_an_array_of_images_gives_an_array_of_embeddings(table: DataFrame):
    out = featurizer(inputCol="images", errorCol="why", errorKindCol="kind").transform(table)
    assert out.schema["features"].dataType.simpleString() == "array<array<float>>"
    rows = out.orderBy("id").collect()
    assert [row.features for row in rows] == [expected([GOOD, OTHER]), expected([GOOD, BAD, None]), [], None]
    reasons = [[None if why is None else why.split(":")[0] for why in row.why] for row in rows]
    assert reasons == [[None, None], [None, "unknown format", "null image"], [], ["null image"]]
    assert out.schema["kind"].dataType.simpleString() == "array<string>"
    assert [row.kind for row in rows] == [[None, None], [None, "not_an_image", "null"], [], ["null"]]


def test_a_row_with_a_bad_image_is_skipped_or_stops(table: DataFrame):
    skipping = featurizer(inputCol="images", handleInvalid="skip")
    assert [row.id for row in skipping.transform(table).orderBy("id").collect()] == [0, 2]
    with pytest.raises(Exception, match=r"ImageDecodeError: image 3 of this task: unknown format"):
        featurizer(inputCol="images", handleInvalid="error").transform(table).collect()


def test_a_vector_of_many_images_is_refused(table: DataFrame):
    message = (
        r"^ImageFeaturizer: column images holds an array of images, and a row can have only one vector: use "
        r"outputType='array', or one image a row \(pyspark\.sql\.functions\.explode\)$"
    )
    with pytest.raises(TypeError, match=message):
        featurizer(inputCol="images", outputType="vector").transform(table)
    exploded = table.where("id = 0").select(F.explode("images").alias("image"))
    vectors = featurizer(inputCol="image", outputType="vector").transform(exploded).collect()
    assert [row.features.toArray().tolist() for row in vectors] == expected([GOOD, OTHER])


def embedded(batches: list[pa.Array], **options: Any) -> list[pa.Array]:
    return list(
        worker.embed(iter(batches), PIXELS, str, **{"on_error": "null", "with_error": True, "many": True, **options})
    )


LISTS = pa.list_(pa.binary())


def test_rows_stay_whole_in_slices():
    rows = [[GOOD] * size for size in (100, 100, 100, 0, 700, 1)] + [None, [None]]
    pieces = embedded([pa.array(rows, LISTS), pa.array([], LISTS), pa.array([None, None])])
    assert [len(piece) for piece in pieces] == [2, 2, 1, 3, 0, 2]
    found = [row for piece in pieces for row in piece.field("features").to_pylist()]
    assert [None if row is None else len(row) for row in found] == [100, 100, 100, 0, 700, 1, None, 1, None, None]
    assert found[5] == expected([GOOD])
    whys = [row for piece in pieces for row in piece.field("error").to_pylist()]
    assert whys[5:8] == [[None], ["null image"], ["null image"]]


def test_slices_of_a_column_are_read_from_their_offset():
    rows = pa.array([[BAD], [GOOD, OTHER], None, [OTHER]], LISTS)
    (piece,) = embedded([rows.slice(1, 3)])
    assert piece.field("features").to_pylist() == [expected([GOOD, OTHER]), None, expected([OTHER])]


def test_the_bad_image_among_many_is_counted():
    with pytest.raises(ImageDecodeError, match="image 3 of this task: unknown format"):
        embedded([pa.array([[GOOD, GOOD], [GOOD, BAD]], LISTS)], on_error="raise")


def test_pandas_gives_lists_of_images():
    series = [pd.Series([[GOOD, BAD], [], None, np.array([OTHER], object)]), pd.Series([[], None])]
    options = {"on_error": "null", "with_error": True, "many": True}
    frames = list(worker.embed_pandas(iter(series), PIXELS, str, **options))
    rows = [
        None if row is None else [None if one is None else list(one) for one in row] for row in frames[0]["features"]
    ]
    assert rows == [expected([GOOD, BAD]), [], None, expected([OTHER])]
    assert [len(frame) for frame in frames] == [4, 2]


# What is refused on the driver


def test_decoded_images_point_to_the_files(spark: SparkSession, tmp_path: Path):
    (tmp_path / "a.jpg").write_bytes(GOOD)
    rows = spark.read.format("image").load(str(tmp_path))
    message = (
        r"^ImageFeaturizer: column {} holds pixels that spark\.read\.format\('image'\) has decoded: read the files "
        r"with spark\.read\.format\('binaryFile'\) and give inputCol='content'$"
    )
    for name in ("image", "image.data"):
        with pytest.raises(TypeError, match=message.format(name)):
            featurizer(inputCol=name).transform(rows)
    files = spark.read.format("binaryFile").load(str(tmp_path))
    assert featurizer(inputCol="content").transform(files).first().features == expected([GOOD])[0]


@pytest.mark.parametrize(
    ("stage", "error", "message"),
    [
        (
            featurizer(inputCol="id"),
            TypeError,
            r"ImageFeaturizer: column id: expected binary .*, array<binary> or string .* of files\), got int",
        ),
        (
            featurizer(inputCol="image"),
            ValueError,
            "ImageFeaturizer: there is no column image; there are id, content, my",
        ),
        (featurizer(), ValueError, r"ImageFeaturizer: inputCol is not set: give it by ImageFeaturizer\(inputCol=...\)"),
        (
            ImageFeaturizer(inputCol="content"),
            ValueError,
            r"ImageFeaturizer: model is not set: give it by ImageFeaturizer\(model=...\)",
        ),
        (
            featurizer(inputCol="content").setErrorCol("content"),
            ValueError,
            "ImageFeaturizer: inputCol and errorCol must be two columns, got content for both",
        ),
        (
            featurizer(inputCol="content").setErrorCol("why").setHandleInvalid("skip"),
            ValueError,
            "ImageFeaturizer: errorCol is always null with handleInvalid='skip'",
        ),
    ],
)
def test_what_a_featurizer_cannot_read_fails_before_a_job(table: DataFrame, stage: Any, error: type, message: str):
    with pytest.raises(error, match=f"^{message}"):
        stage.transform(table)


@pytest.mark.parametrize("stage", [PCA, StandardScaler])
@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        ({}, ValueError, r"inputCol is not set: give it by {}\(inputCol=...\) or setInputCol"),
        ({"inputCol": "id"}, TypeError, "column id: expected array<float>, array<double> or vector, got int"),
        (
            {"inputCol": "images"},
            TypeError,
            "column images: expected array<float>, array<double> or vector, got array<b",
        ),
        (
            {"inputCol": "file.size"},
            TypeError,
            "column file.size: expected array<float>, array<double> or vector, got int",
        ),
        ({"inputCol": "x"}, ValueError, "there is no column x; there are id, content"),
    ],
)
def test_what_a_fit_cannot_read_fails_before_a_job(
    table: DataFrame, stage: Any, params: dict[str, str], error: type, message: str
):
    estimator = stage(**params, **({"k": 1} if stage is PCA else {}))
    with pytest.raises(error, match=f"^{stage.__name__}: " + message.format(stage.__name__)):
        estimator.fit(table)

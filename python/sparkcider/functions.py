"""For Spark: image files listed; columns of images to embeddings, embeddings to principal components."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sparkcider.spark.installed  # noqa: F401 - first: it says what is missing

# isort: split
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, FloatType

from sparkcider.labels import check_label_regex
from sparkcider.pca.attributes import fitted
from sparkcider.pca.rows import RowRules
from sparkcider.spark.listing import images_frame, listed
from sparkcider.spark.neighbors import nearest, neighbors
from sparkcider.spark.udf import check_on_error, embedding_names, features_column, features_function, projected_column
from sparkcider.storage.fetch import IN_FLIGHT

if TYPE_CHECKING:
    import os

    from pyspark.sql import Column, DataFrame
    from typing_extensions import Unpack

    from sparkcider import Pca
    from sparkcider.options import ExtractorOptions
    from sparkcider.spark.pca import PCAModel

__all__ = ["image_features", "list_images", "nearest", "neighbors", "pca_project", "register"]


def list_images(spark: SparkSession, uri: str, *, glob: str | None = None, label_regex: str | None = None) -> DataFrame:
    r"""Lists image files, to start from: `image_features("path", ...)` fetches them in the Python workers.

    The files are listed once, now; none is read. They are those of a job's `input`: what Spark's binaryFile reader
    finds, and files of no bytes. On classic Spark that asks nothing for each file. Files of the driver's own disks, and
    of a store that Spark has no connector for (`s3` without hadoop-aws), are listed on the driver, which follows no
    link to a folder that it is in. On Spark Connect the server asks for each file once, and leaves out those of no
    bytes. Files and folders whose names begin with `_` or `.` are skipped.

    Args:
        spark: A classic or Connect session.
        uri: A folder, which is searched at any depth, a file, or a glob: `*`, `?`, `[a-c]`, `{a,b}`.
        glob: A glob that the names of the files must fit, such as `*.jpg`.
        label_regex: Regular expression of Python's `re`, whose first group, searched in a file's full path, is its
            label. Default: the name of its folder. Python runs it here on the driver, as `sparkcider run` does; Spark's
            own `regexp_extract` takes Java's expressions, where `\d` and `\w` are ASCII only.

    Returns:
        `path string, label string, length bigint, modificationTime timestamp`, sorted by path, in few partitions. A
        label is null where the expression finds none.

    Raises:
        FileNotFoundError: There is nothing of that name.
        ValueError: `label_regex` is not a regular expression with a group, `glob` is not valid, or the store is not
            known.
        OSError: A folder, file or store cannot be looked at.

    Example:
        >>> import pathlib, tempfile
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "Lime")
        >>> folder.mkdir()
        >>> (folder / "1.jpg").write_bytes(b"no image")
        8
        >>> images = list_images(spark, str(folder.parent))
        >>> images.select("label", "length").first()
        Row(label='Lime', length=8)
        >>> images.select(image_features("path", model="pixels", with_error=True).alias("f")).first().f.error[:14]
        'unknown format'
    """
    if label_regex is not None:
        check_label_regex(label_regex)
    return images_frame(spark, listed(spark, uri, glob), label_regex)


def image_features(
    col: Column | str,
    *,
    model: str | os.PathLike[str],
    on_error: str = "null",
    with_error: bool = False,
    in_flight: int = IN_FLIGHT,
    **options: Unpack[ExtractorOptions],
) -> Column:
    """Embeds a column of images: `array<float>` of D values per row. `register` is the same for SQL.

    The column is `binary`, encoded images; or `string`, absolute paths and URIs (`file`, `s3`, `gs`, `abfss`, `hdfs` as
    Spark writes them, `https`) of image files. The Python workers fetch those themselves, many at a time, with the
    credentials that their machine has; the bytes never pass the JVM. A file that is missing or may not be read is a bad
    image. A fault that may pass is tried 4 more times.

    The model is opened once here, so that a bad model or option fails before any job, and once in each Python worker.
    Spark evaluates the function exactly once per row and action: write the features, or cache them, where several
    actions need them, such as a fit and the use of its model. It also keeps filters that follow it behind it, so filter
    first. Spark refuses it inside of an aggregate function: select the features first, then group.

    Args:
        col: Column of encoded images (JPEG, PNG, ...), as `spark.read.format("binaryFile")` gives in `content`; or of
            paths, as it gives in `path`.
        model: Name, path or URI as in `sparkcider.models.resolve`, or `"pixels"`.
        on_error: `null`: a bad image or null row gives null. `raise`: it stops the job with its reason.
        with_error: Give `struct<features: array<float>, error: string, error_kind: string>`: the reason why an image
            is bad, and one of the words in `sparkcider.error_kinds` to filter by; both are null for a good image.
        in_flight: Files of a column of paths that one worker fetches at a time, 1 to 1,024.
        **options: Those of `sparkcider.FeatureExtractor` (`input_size`, `normalization`, ...). With several layers
            (`layer=["a", "b"]`) features are `struct<a: array<float>, b: array<float>>` of one pass; the fields of a
            bad image are null.

    Returns:
        The column. On Spark Connect it needs Spark >= 4.0 on both sides, unless the model is `"pixels"`.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: The file is not ONNX, or does not have exactly one image input.
        ValueError: An option has a value that it cannot take.
        RuntimeError: There is no active Spark session.

    A job over strings that are not paths fails with a TypeError.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> images = spark.createDataFrame([(None,)], "content binary")
        >>> features = image_features("content", model="pixels", with_error=True)
        >>> images.select(features.alias("f")).select("f.*").first()
        Row(features=None, error='null image', error_kind='null')
    """
    session = SparkSession.active()
    column, _ = features_column(
        session, col, model, on_error=on_error, with_error=with_error, options=dict(options), in_flight=in_flight
    )
    return column


def register(
    spark: SparkSession,
    name: str,
    *,
    model: str | os.PathLike[str],
    on_error: str = "null",
    with_error: bool = False,
    in_flight: int = IN_FLIGHT,
    **options: Unpack[ExtractorOptions],
) -> None:
    """Makes `image_features` with these options a function of SQL, for this session.

    The function takes a column of image files or of their paths; `explode` makes one of `array<binary>`. The model is
    opened here, once. A file that replaces it later does not change the function: register it again.

    Args:
        spark: A classic or Connect session.
        name: Name of the function in SQL.
        model: As in `image_features`.
        on_error: As in `image_features`.
        with_error: As in `image_features`.
        in_flight: As in `image_features`.
        **options: As in `image_features`.

    Raises:
        FileNotFoundError: There is no such model file.
        ModelError: The file is not ONNX, or does not have exactly one image input.
        ValueError: An option has a value that it cannot take.

    Example:
        >>> from pyspark.sql import SparkSession
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> files = spark.createDataFrame([("a.jpg", b"no image")], "path string, content binary")
        >>> files.createOrReplaceTempView("files")
        >>> register(spark, "image_features", model="pixels", with_error=True)
        >>> spark.sql("SELECT path, image_features(content).error_kind FROM files").first()[1]
        'not_an_image'
    """
    function, _ = features_function(
        spark, model, on_error=on_error, with_error=with_error, options=dict(options), in_flight=in_flight
    )
    spark.udf.register(name, function)
    embedding_names.add(name)


def pca_project(
    col: Column | str,
    *,
    model: PCAModel | Pca,
    center: bool | None = None,
    whiten: bool | None = None,
    on_error: str = "null",
    element_type: str = "float",
) -> Column:
    """Projects a column of features onto principal components: k values per row.

    Args:
        col: Column of `array<float>` or `array<double>`, D values per row. For vectors use `PCAModel.transform`, or
            `vector_to_array` before and `array_to_vector` after.
        model: The fitted PCA.
        center: Subtract the mean (and divide by the scale of a standardised PCA) first. Default: as the model's own
            `transform` does: a `Pca` by its `center`; a `PCAModel` with its Params `center`, `standardize` or `whiten`.
        whiten: Divide each component by its deviation. Default: as the model's own `transform` does.
        on_error: `null`: a null row gives null. `raise`: it stops the job.
        element_type: `float` or `double`: type of the values given back; Spark must know it before it sees the column.

    A row with a NaN or an infinity, or of another length than D, always stops the job: a PcaError says how many there
    are.

    Returns:
        The column, `array<float>` or `array<double>`.

    Raises:
        TypeError: The model is something else.
        PcaError: It is not fitted yet.
        ValueError: An option has a value that it cannot take.
        RuntimeError: There is no active Spark session.

    Example:
        >>> import numpy as np, pyarrow as pa
        >>> from pyspark.sql import SparkSession
        >>> from sparkcider import Moments, Pca
        >>> spark = SparkSession.builder.master("local[1]").getOrCreate()
        >>> moments = Moments()
        >>> moments.update(pa.array([[0.0, 0.0], [2.0, 2.0]]))
        2
        >>> points = spark.createDataFrame([([2.0, 2.0],)], "xy array<double>")
        >>> along = pca_project("xy", model=Pca(k=1).fit(moments), element_type="double")
        >>> round(points.select(along.alias("a")).first().a[0], 3)
        1.414
    """
    check_on_error(on_error)
    elements = {"float": FloatType(), "double": DoubleType()}
    if element_type not in elements:
        raise ValueError(f"element_type must be float or double, got {element_type}")
    pca = fitted(model)
    return projected_column(
        SparkSession.active(),
        col,
        pca,
        center=pca.center if center is None else center,
        whiten=pca.whiten if whiten is None else whiten,
        rules=RowRules("pca_project", str(col), on_error == "null", choice="on_error='null'"),
        element=elements[element_type],
    )

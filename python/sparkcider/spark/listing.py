"""Files as Spark lists them: once, with the session's credentials, without reading any."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
from pyspark.errors import AnalysisException
from pyspark.sql import functions as F  # noqa: N812 - as everybody calls it

from sparkcider.labels import labels_of
from sparkcider.storage.hadoop import is_classic, qualified, reachable
from sparkcider.storage.listing import LISTING, is_hidden_file, list_files
from sparkcider.storage.uri import redacted_uri, scheme_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_STATUS = re.compile(r"\{path=(.*); isDirectory=false; length=(\d+);.* modification_time=(-?\d+);", re.DOTALL)
"""What Hadoop's `FileStatus.toString` writes of a file."""


def listed(session: SparkSession, uri: str, glob: str | None = None) -> pa.Table:
    """The files under a URI at any depth, sorted by path, as Spark's binaryFile reader finds them.

    For a classic session the driver lists its local files, and a store that only pyarrow has a file system for, by
    `list_files`. Of others Spark's own index of the files is asked, which has listed them: no request for each file. On
    Spark Connect the server reads what binaryFile knows of each file without its content, which is a request for each
    file; empty ones are left out, and links that lead back are followed 40 times.

    Args:
        session: Classic or Connect.
        uri: A path or URI that this session reads, or a glob of Hadoop's.
        glob: A glob that the names of files must fit.

    Returns:
        A table like `sparkcider.storage.listing.LISTING`.

    Raises:
        FileNotFoundError: There is nothing of that name.
        ValueError: Neither Spark nor pyarrow has a file system for it, or a glob is not valid.
        OSError: It cannot be read.
    """
    if is_classic(session):
        try:
            uri = reachable(session, uri)
        except ValueError:  # without a connector; image_features needs none
            return list_files(uri, glob=glob)
        location = qualified(session, uri)
        if scheme_of(location) == "file":
            return list_files(location, glob=glob)
    return listed_by_spark(session, uri, glob)


def listed_by_spark(session: SparkSession, uri: str, glob: str | None) -> pa.Table:
    """As `listed`, of what Spark has a file system for."""
    reader = session.read.format("binaryFile").option("recursiveFileLookup", "true")
    if glob is not None:
        reader = reader.option("pathGlobFilter", glob)
    try:
        files = reader.load(uri)
        rows = _indexed(files) if is_classic(session) else None
        rows = _collected(files) if rows is None else rows
    except AnalysisException as error:  # a classic session looks for the path at once, Connect when it lists
        if "PATH_NOT_FOUND" not in str(error):
            raise
        raise FileNotFoundError(f"input {redacted_uri(uri)} does not exist") from None
    rows = sorted(row for row in rows if not is_hidden_file(row[0].rpartition("/")[2]))
    paths, lengths, times = zip(*rows) if rows else ((), (), ())
    times = pa.array(times, pa.timestamp("ms", tz="UTC")).cast(LISTING.field(2).type)
    return pa.Table.from_arrays([pa.array(paths, pa.string()), pa.array(lengths, pa.int64()), times], schema=LISTING)


def images_frame(session: SparkSession, files: pa.Table, label_regex: str | None) -> DataFrame:
    """A listing as a DataFrame: path, label, length, modificationTime."""
    paths = files["path"].to_pylist()
    rows = pd.DataFrame(
        {
            "path": pd.Series(paths, dtype=object),
            "label": pd.Series(labels_of(paths, label_regex), dtype=object),
            "length": files["length"].to_numpy(),
            "modified": files["modificationTime"].cast(pa.int64()).to_numpy(),
        }
    )
    # a number, as what becomes of a time of pandas depends on the session's settings
    frame = session.createDataFrame(rows, "path string, label string, length bigint, modified bigint")
    return frame.select("path", "label", "length", F.timestamp_micros("modified").alias("modificationTime"))


def _indexed(files: DataFrame) -> list[tuple[str, int, int]] | None:
    """Path, length and time in milliseconds of the files that a reader's index has; None if it is of another kind."""
    from py4j.protocol import Py4JError

    plan: Any = files._jdf.queryExecution().analyzed()  # noqa: SLF001 - nothing public has the sizes
    try:
        text = plan.collectLeaves().head().relation().location().allFiles().mkString("\0")
    except Py4JError:
        return None
    found = [_STATUS.search(status) for status in text.split("\0") if status]
    if not all(found):
        return None
    return [(match[1], int(match[2]), int(match[3])) for match in found if match]


def _collected(files: DataFrame) -> list[tuple[str, int, int]]:
    rows = files.select("path", "length", F.unix_millis("modificationTime").alias("time")).collect()
    return [(row["path"], row["length"], row["time"]) for row in rows]

"""Lists and embeds images in S3 by a Spark with hadoop-aws: `listing_script.py JARS` prints what came out as JSON."""

from __future__ import annotations

import json
import os
import sys

from object_store import ObjectStore, serving
from pyspark.sql import SparkSession
from spark_images import GOOD, encoded_images

from sparkcider.functions import image_features, list_images


def main(jars: str) -> None:
    """The same images as paths that Spark lists, and as the contents that it reads."""
    images = encoded_images()[:GOOD]
    with serving(
        ObjectStore({f"b/images/{number % 3}/{number:02}.jpg": content for number, content in images})
    ) as store:
        os.environ.update(store.environment)
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").config("spark.jars", jars)
        settings = {"endpoint": store.endpoint, "endpoint.region": "us-east-1", "path.style.access": "true"}
        for name, value in settings.items():
            builder = builder.config(f"spark.hadoop.fs.s3a.{name}", value)
        spark = builder.getOrCreate()
        files = list_images(spark, "s3://b/images")
        requests = [request for request in store.requests if request.endswith(".jpg")]
        column = image_features("path", model="pixels", with_error=True).alias("f")
        rows = files.select("path", "label", "length", "modificationTime", column).orderBy("path").collect()
        contents = spark.read.format("binaryFile").option("recursiveFileLookup", "true").load("s3a://b/images")
        column = image_features("content", model="pixels").alias("f")
        read = contents.select("path", "length", "modificationTime", column).orderBy("path").collect()
        spark.stop()
    found = {
        "requests_for_files": requests,
        "labels": [row.label for row in rows],
        "errors": [row.f.error for row in rows if row.f.error],
        "equal": [(row.path, row.length, row.modificationTime, row.f.features) for row in rows]
        == [tuple(row) for row in read],
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])

"""The job as the studies wrote it: Keras in a pandas_udf, then Spark's StandardScaler and PCA.

    python -m jobs.keras_udf --images FOLDER --output FOLDER [--k 100]

Needs pyspark and tensorflow. The files by `binaryFile` in 20 partitions, features to Parquet, then from there 100
standardised components to Parquet. The UDF is that of `compare_udfs.py`; its weights are random, which takes the same
time.
"""

from __future__ import annotations

import argparse

from compare_udfs import hand_written_keras, session

PARTITIONS = 20


def main() -> None:
    """Runs the job."""
    from pyspark.ml import Pipeline
    from pyspark.ml.feature import PCA, StandardScaler
    from pyspark.ml.functions import array_to_vector, vector_to_array
    from pyspark.sql.functions import element_at, split

    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--k", type=int, default=100)
    options = parser.parse_args()
    spark = session()
    reader = spark.read.format("binaryFile").option("recursiveFileLookup", "true").option("pathGlobFilter", "*.jpg")
    images = reader.load(options.images).repartition(PARTITIONS)
    features = images.select(
        "path", element_at(split("path", "/"), -2).alias("label"), hand_written_keras("").alias("features")
    )
    features.write.parquet(f"{options.output}/features")
    vectors = spark.read.parquet(f"{options.output}/features").withColumn("features", array_to_vector("features"))
    scaler = StandardScaler(withMean=True, withStd=True, inputCol="features", outputCol="scaled")
    stages = [scaler, PCA(k=options.k, inputCol="scaled", outputCol="pca")]
    reduced = Pipeline(stages=stages).fit(vectors).transform(vectors)
    reduced.select("path", "label", vector_to_array("pca").alias("pca")).write.parquet(f"{options.output}/pca")
    spark.stop()


if __name__ == "__main__":
    main()

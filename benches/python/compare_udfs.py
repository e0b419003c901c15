"""Images per second of featurizing in Spark: sparkcider beside the UDFs that people write by hand.

    python benches/python/compare_udfs.py [--images FOLDER] [--model mobilenetv2.onnx] [--normalization tf]

Needs pyspark, pillow, onnxruntime and (for the Keras UDF; skipped without) tensorflow. Everything runs in one
local[2] session over the same Parquet file of encoded images into the noop sink; each alternative runs twice and the
second, warm run counts. The yardstick is onnxruntime alone: ready-made tensors, one thread, one process per core, at
the same time. Prints one line per alternative and writes them as JSON with --json.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from jobs.data import DATA

MODEL = str(DATA / "models" / "mobilenetv2_imagenet.onnx")
CORES = 2
SIDE = 224


def onnxruntime_alone(model: str, seconds: float, queue: multiprocessing.Queue) -> None:
    """Runs single images of noise through the network for a while; puts images/s."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = [1, SIDE, SIDE, 3] if given.shape[3] == 3 else [1, 3, SIDE, SIDE]
    tensor = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    for _ in range(20):
        session.run(None, {given.name: tensor})
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        session.run(None, {given.name: tensor})
        count += 1
    queue.put(count / (time.perf_counter() - start))


def yardstick(model: str, seconds: float) -> float:
    """onnxruntime alone on all cores at once, images/s together."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    workers = [context.Process(target=onnxruntime_alone, args=(model, seconds, queue)) for _ in range(CORES)]
    for worker in workers:
        worker.start()
    rates = [queue.get() for _ in workers]
    for worker in workers:
        worker.join()
    return sum(rates)


def hand_written_onnxruntime(model: str):
    """Pillow + onnxruntime in an iterator pandas_udf, the weights broadcast: what a careful user writes today."""
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    weights = SparkSession.getActiveSession().sparkContext.broadcast(Path(model).read_bytes())

    @pandas_udf("array<float>")
    def features(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        import io

        import onnxruntime
        from PIL import Image, ImageOps

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(weights.value, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        for batch in batches:
            rows = []
            for start in range(0, len(batch), 8):
                images = [
                    ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB").resize((SIDE, SIDE))
                    for content in batch[start : start + 8]
                ]
                tensor = np.stack([np.asarray(image) for image in images]).astype(np.float32) / 127.5 - 1
                rows.extend(session.run(None, {name: tensor})[0])
            yield pd.Series(rows)

    return features("content")


def hand_written_keras(_model: str):
    """The Keras UDF of the studies: broadcast weights, the model rebuilt per task, `preprocess_input`, `predict`.

    The weights are random: no file of them is needed to measure time.
    """
    from keras.applications.mobilenet_v2 import MobileNetV2
    from pyspark.sql import SparkSession
    from pyspark.sql.functions import pandas_udf

    model = MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
    weights = SparkSession.getActiveSession().sparkContext.broadcast(model.get_weights())

    @pandas_udf("array<float>")
    def features(batches: Iterator[pd.Series]) -> Iterator[pd.Series]:
        import io

        from keras.applications.mobilenet_v2 import MobileNetV2, preprocess_input
        from keras.utils import img_to_array
        from PIL import Image

        model = MobileNetV2(weights=None, include_top=False, pooling="avg", input_shape=(SIDE, SIDE, 3))
        model.set_weights(weights.value)

        def preprocess(content: bytes) -> np.ndarray:
            return preprocess_input(img_to_array(Image.open(io.BytesIO(content)).resize((SIDE, SIDE))))

        for batch in batches:
            tensor = np.stack([preprocess(content) for content in batch])
            yield pd.Series(list(model.predict(tensor, verbose=0)))

    return features("content")


def int8(arguments: argparse.Namespace, folder: str) -> str:
    """The same network as int8, calibrated on the images; prints its price."""
    from sparkcider.models.quantize import quantize

    target = str(Path(folder, "int8.onnx"))
    price = quantize(arguments.model, str(arguments.images), target, normalization=arguments.normalization)
    print(*price.lines(), sep="\n")
    return target


def sparkcider_features(model: str, normalization: str):
    """Ours."""
    from sparkcider.functions import image_features

    return image_features("content", model=model, normalization=normalization)


def write_images(folder: Path, rows: int, target: Path) -> int:
    """Writes `rows` encoded images (the folder's, repeated) as Parquet, 4 files per core; returns bytes."""
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png"})
    images = [path.read_bytes() for path in files]
    parts = 4 * CORES
    for part in range(parts):
        contents = [images[row % len(images)] for row in range(part, rows, parts)]
        pq.write_table(pa.table({"content": pa.array(contents, pa.binary())}), target / f"{part}.parquet")
    return sum(map(len, images))


def images_per_second(frame, column, rows: int) -> float:
    """The second of two runs into the noop sink."""
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        frame.select(column.alias("features")).write.format("noop").mode("overwrite").save()
        seconds.append(time.perf_counter() - start)
    return rows / seconds[1]


def session():
    """local[2], as a worker of two cores would be."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{CORES}]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "256").config("spark.driver.memory", "4g")
    spark = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=Path, default=DATA / "fruits" / "Test", help="default: %(default)s")
    parser.add_argument("--model", default=MODEL, help="MobileNetV2 as ONNX, channels last (default: %(default)s)")
    parser.add_argument("--normalization", default="tf")
    parser.add_argument("--rows", type=int, default=22_800, help="rows for sparkcider (default: 22800)")
    parser.add_argument("--slow-rows", type=int, default=2_280, help="rows for the hand-written UDFs (default: 2280)")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(arguments, int8(arguments, folder))


def measure(arguments: argparse.Namespace, quantized: str) -> None:
    """All alternatives in one session."""
    spark = session()
    alternatives = {
        "sparkcider": (lambda: sparkcider_features(arguments.model, arguments.normalization), arguments.rows),
        "sparkcider, int8": (lambda: sparkcider_features(quantized, arguments.normalization), arguments.rows),
        "Pillow + onnxruntime pandas_udf": (lambda: hand_written_onnxruntime(arguments.model), arguments.slow_rows),
        "Keras pandas_udf": (lambda: hand_written_keras(arguments.model), arguments.slow_rows),
    }
    rates = {"onnxruntime alone, both cores": yardstick(arguments.model, 15)}
    for name, (column, rows) in alternatives.items():
        with tempfile.TemporaryDirectory() as folder:
            write_images(arguments.images, rows, Path(folder))
            try:
                rates[name] = images_per_second(spark.read.parquet(folder), column(), rows)
            except ImportError as error:
                print(f"{name}: skipped, {error}")
    # the machine drifts: the yardstick is taken on both sides of the runs
    rates["onnxruntime alone, both cores"] = (
        rates["onnxruntime alone, both cores"] + yardstick(arguments.model, 15)
    ) / 2
    ours = rates["sparkcider"]
    for name, rate in rates.items():
        print(f"{name:32} {rate:8.1f} images/s   sparkcider is {ours / rate:5.2f} x")
    if arguments.json:
        arguments.json.write_text(json.dumps(rates, indent=2))
    spark.stop()


if __name__ == "__main__":
    main()

"""Features of a folder of images by Daft, as Parquet; no PCA: Daft has none.

    python -m jobs.daft_features --images FOLDER --model MODEL --output FOLDER [--variant documented]

Needs daft and onnxruntime. Daft reads, decodes and resizes; a class with a batch method, once for each core, holds the
network. Images are turned into x / 127.5 - 1, as MobileNetV2 wants them.
"""

from __future__ import annotations

import argparse
import os
from typing import NamedTuple

import daft
import numpy as np
from daft import DataType, Series, col
from daft.functions import decode_image, download, resize

SIDE = 224


class Variant(NamedTuple):
    """How Daft is told to work.

    Attributes:
        instances: Of the class; they work at the same time.
        threads: Of the network in each of them.
        use_process: Each instance has a process of its own.
        rows: Of the batches that the class is given.
        chunk: Images that the network takes at a time.
    """

    instances: int
    threads: int
    use_process: bool
    rows: int
    chunk: int


CORES = len(os.sched_getaffinity(0))
VARIANTS = {
    "documented": Variant(instances=1, threads=CORES, use_process=False, rows=32, chunk=32),
    "tuned": Variant(instances=CORES, threads=1, use_process=True, rows=64, chunk=1),
}
"""`documented`: one instance and batches, as in Daft's guide to batch inference; `tuned`: the fastest found."""


def features_of(variant: Variant, model: str):
    """The batch method of an instance that is made where it works."""

    @daft.cls(max_concurrency=variant.instances, use_process=variant.use_process)
    class Network:
        def __init__(self) -> None:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = variant.threads
            self.session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
            self.input = self.session.get_inputs()[0].name

        @daft.method.batch(return_dtype=DataType.list(DataType.float32()), batch_size=variant.rows)
        def features(self, images: Series) -> np.ndarray:
            import pyarrow as pa

            column = images.to_arrow()
            column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            storage = column.storage if isinstance(column, pa.ExtensionArray) else column
            pixels = storage.flatten().to_numpy(zero_copy_only=False).reshape(-1, SIDE, SIDE, 3)
            found = []
            for start in range(0, len(pixels), variant.chunk):
                tensor = pixels[start : start + variant.chunk].astype(np.float32)
                tensor /= 127.5
                tensor -= 1
                found.append(self.session.run(None, {self.input: tensor})[0])
            rows = np.concatenate(found)
            return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1]).cast(pa.list_(pa.float32()))

    return Network().features


def main() -> None:
    """Runs the job."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--variant", choices=VARIANTS, default="documented")
    options = parser.parse_args()
    variant = VARIANTS[options.variant]
    files = daft.from_glob_path(f"{options.images}/**/*.jpg")
    images = files.with_column("image", resize(decode_image(download(col("path")), mode="RGB"), SIDE, SIDE))
    features = images.with_column("features", features_of(variant, options.model)(col("image")))
    features.select("path", "features").write_parquet(options.output, write_mode="overwrite")


if __name__ == "__main__":
    main()

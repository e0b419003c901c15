"""The facts of the executor that runs this: `sparkcider.spark.probe` collects them."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark import SparkFiles

from sparkcider import _native
from sparkcider.memory import memory_limit
from sparkcider.samples import FRUITS, encode_jpeg, paint
from sparkcider.spark.worker import open_extractor
from sparkcider.version import __version__

if TYPE_CHECKING:
    from sparkcider.spark.worker import ModelFile

MEASURED_SECONDS = 1.0
"""How long each task embeds: also so long that no core gets two tasks while another has none."""

_AMX = {"amx_int8": "amx-int8", "amx_bf16": "amx-bf16"}
"""What Linux calls the extensions that Rust cannot detect yet."""


def facts_here(reference: ModelFile) -> dict[str, Any]:
    """The facts of this executor that need this package."""
    module = Path(_native.__file__).read_bytes()
    extractor = open_extractor(os.getpid(), reference, SparkFiles.get)
    random = np.random.default_rng(0)
    image = encode_jpeg(paint(FRUITS[0], random))
    batch = pa.array([encode_jpeg(paint(fruit, random)) for fruit in FRUITS])
    features, errors = extractor.extract(pa.array([image]))
    if errors[0].as_py() is not None:
        raise ValueError(f"the test image cannot be embedded: {errors[0]}")
    begin, images = time.perf_counter(), 0
    while time.perf_counter() - begin < MEASURED_SECONDS:
        extractor.extract(batch)
        images += len(batch)
    return {
        "sparkcider": __version__,
        "module": hashlib.sha256(module).hexdigest()[:12],
        "processor": [*_native._cpu_features(), *_amx()],  # noqa: SLF001 - the module's own facts
        "cores": _native._available_cores(),  # noqa: SLF001
        "memory": memory_limit(),
        "model": extractor.checksum[:12],
        "images_per_second": round(images / (time.perf_counter() - begin), 1),
        "embedding": hashlib.sha256(np.asarray(features[0].as_py(), np.float32).tobytes()).hexdigest()[:12],
    }


def _amx() -> list[str]:
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[-1].split("\n", 1)[0].split()
    except OSError:
        return []
    return [name for flag, name in _AMX.items() if flag in flags]

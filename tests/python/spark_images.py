"""Images for the Spark tests, and a stand-in for the worker module that reports what runs in the Python workers."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from sparkcider.spark import worker

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY_MODEL = Path(__file__).parents[1] / "data" / "tiny_nchw.onnx"
"""A network of 4 features that says how it is fed."""

GOOD = 20
N_ROWS = GOOD + 2


def encoded_images() -> list[tuple[int, bytes | None]]:
    """(id, content): 20 images, then no image, then a null."""
    random = np.random.default_rng(7)
    rows: list[tuple[int, bytes | None]] = []
    for number in range(GOOD):
        pixels = random.integers(0, 256, (8 + number, 30 - number, 3), dtype=np.uint8)
        content = io.BytesIO()
        Image.fromarray(pixels).save(content, "JPEG")
        rows.append((number, content.getvalue()))
    return [*rows, (GOOD, b"no image"), (GOOD + 1, None)]


class ReportingWorker:
    """The worker, writing a line per slice: process, rows, models opened by that process so far."""

    def __init__(self, report: Path) -> None:
        self.report = str(report)

    def embed(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self._reported(worker.embed(*args, **options))

    def embed_pandas(self, *args: Any, **options: Any) -> Iterator[Any]:
        return self._reported(worker.embed_pandas(*args, **options))

    def project(self, *args: Any, **options: Any) -> Iterator[Any]:
        return worker.project(*args, **options)

    def scale(self, *args: Any, **options: Any) -> Iterator[Any]:
        return worker.scale(*args, **options)

    def in_pandas(self, *args: Any, **options: Any) -> Iterator[Any]:
        return worker.in_pandas(*args, **options)

    def _reported(self, batches: Iterator[Any]) -> Iterator[Any]:
        for rows in batches:
            line = {"pid": os.getpid(), "rows": len(rows), "opened": worker.open_extractor.cache_info().misses}
            with Path(self.report).open("a") as report:  # one short write: lines of two processes do not mix
                report.write(json.dumps(line) + "\n")
            yield rows

    def lines(self) -> list[dict[str, int]]:
        """What was reported; forgotten afterwards."""
        path = Path(self.report)
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        path.unlink(missing_ok=True)
        return lines

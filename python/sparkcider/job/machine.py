"""What this machine lets a job have: cores, memory, and how several workers share it."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Condition, Lock
from typing import TYPE_CHECKING

from sparkcider import _native
from sparkcider.memory import available_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_BYTES = 192 << 20
"""Of images at once, for each worker: one of 12 megapixels, at `PIXEL_BYTES`, with its file."""

PIXEL_BYTES = 12
"""Most that decoding and resizing hold of a pixel: RGB, what the codec keeps, and the rows of the first pass."""

WEIGHTS_COPIES = 3
"""Of a model's file in a session: the weights, their prepacked form, and the arena."""

PROCESS_BYTES = 128 << 20
"""Python, pyarrow and ONNX Runtime before the first image."""


def plan_workers(model_bytes: int, asked: int | None) -> tuple[int, str]:
    """How many workers a job gets, and why, in words.

    Args:
        model_bytes: Size of the model's file.
        asked: The user's number, which is taken as it is.
    """
    if asked is not None:
        return asked, "as requested"
    cores, memory = _native._available_cores(), available_memory()  # noqa: SLF001 - asks the native module what users need not
    fit = (memory - PROCESS_BYTES) // (IMAGE_BYTES + WEIGHTS_COPIES * model_bytes)
    if fit < cores:
        return max(fit, 1), f"{cores} cores, but {memory / 1e9:.1f} GB of memory"
    return cores, "one for each core"


class MemoryBudget:
    """Bytes that workers share; who needs more than all of them waits until it is alone.

    Args:
        total: Bytes in all.
    """

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = Condition()
        self._turn = Lock()  # who waits for much is not overtaken by those who need little

    @contextmanager
    def reserve(self, needed: int) -> Iterator[None]:
        """Waits until `needed` bytes are free, and holds them while the block runs."""
        needed = min(needed, self._total)
        with self._turn, self._changed:
            self._changed.wait_for(lambda: self._free >= needed)
            self._free -= needed
        try:
            yield
        finally:
            with self._changed:
                self._free += needed
                self._changed.notify_all()

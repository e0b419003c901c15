"""What the rows of `whole_job.py` share: images, models, the limit, and the commands of the jobs."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobs.images import link_fruits
from jobs.measured import Run, Timed, interleaved, run

if TYPE_CHECKING:
    import argparse

CORES = 2
SCRIPTS = Path(__file__).parents[1]
"""Where `python -m jobs.NAME` finds the programs."""


class Counts(NamedTuple):
    """How much of everything."""

    fruits: int
    few: int
    many: int
    samples: int
    photos: int
    k: int
    rounds: int
    limit_seconds: float
    trial_seconds: float


FULL = Counts(
    fruits=4_800, few=2_400, many=23_619, samples=240, photos=24, k=100, rounds=3, limit_seconds=6, trial_seconds=3
)
QUICK = Counts(fruits=96, few=48, many=192, samples=40, photos=2, k=10, rounds=1, limit_seconds=0.5, trial_seconds=0.2)


class Finding(NamedTuple):
    """One line of the table.

    Attributes:
        row: Name of the row.
        what: What was measured.
        wanted: The bound, in words.
        found: The median and what the rounds span; or why there is none.
        reached: Whether the median is within the bound; None where nothing was measured or wanted.
    """

    row: str
    what: str
    wanted: str
    found: str
    reached: bool | None


class Bench:
    """The surroundings of one run of the bench.

    Args:
        options: Of the command line.
        folder: For images, models and results.
    """

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.counts = QUICK if options.quick else FULL
        if options.rounds is not None:
            self.counts = self.counts._replace(rounds=options.rounds)
        self.options, self.folder = options, folder
        self.timed: list[dict[str, object]] = []
        self._outputs = itertools.count()

    # --- what is read -------------------------------------------------------------------------------------------------

    @cache  # noqa: B019 - there is one bench
    def fruits(self, count: int) -> Path:
        """A folder of so many fruits."""
        return link_fruits(self.options.fruits, count, self.folder / f"fruits-{count}")

    def photos(self) -> Path:
        """A folder of photos of 12 megapixels."""
        target = self.folder / "photos"
        self.python("jobs.images", self.options.photos, target, "--photos", self.counts.photos)
        return target

    @property
    def float32(self) -> list[str]:
        """The options of MobileNetV2."""
        return ["--model", str(self.options.model), "--normalization", "tf"]

    @cached_property
    def int8(self) -> list[str]:
        """The options of the same as int8, which says itself how it is fed."""
        target = self.folder / "int8.onnx"
        command = ["quantize", str(self.options.model), "--normalization", "tf", "--to", str(target)]
        done = run([sys.executable, "-m", "sparkcider", *command, "--images", str(self.options.fruits / "Training")])
        print(*(f"  {line}" for _, line in done.lines), sep="\n", flush=True)
        return ["--model", str(target)]

    # --- the limit ----------------------------------------------------------------------------------------------------

    def limit(self, model: list[str]) -> Callable[[], float]:
        """Measures onnxruntime alone, in the way that is the fastest with this model on this machine."""
        path = model[1]
        way = self._fastest_way(path)
        return lambda: self._alone(path, self.counts.limit_seconds, *way)

    @cache  # noqa: B019 - there is one bench
    def _fastest_way(self, model: str) -> tuple[str, int]:
        ways = [(way, batch) for way in ("threads", "processes") for batch in (1, 8)]
        rates = {way: self._alone(model, self.counts.trial_seconds, *way) for way in ways}
        for (way, batch), rate in rates.items():
            print(f"  onnxruntime alone, {way}, batches of {batch}: {rate:,.1f} images/s", flush=True)
        return max(rates, key=lambda way: rates[way])

    def _alone(self, model: str, seconds: float, way: str, batch: int) -> float:
        images = self.fruits(self.counts.few)
        said = ["--images", images, "--model", model, "--seconds", seconds, "--way", way, "--batch", batch]
        rate: float = json.loads(self.python("jobs.limit", *said).lines[-1][1])["images_per_second"]
        return rate

    # --- what runs ----------------------------------------------------------------------------------------------------

    def python(self, module: str, *words: object, interpreter: str = sys.executable) -> Run:
        """Runs a program of this folder."""
        return run([interpreter, "-m", module, *map(str, words)], folder=str(SCRIPTS))

    def job(self, images: Path, *words: object, baseline: str | None = None) -> Callable[[], Run]:
        """`sparkcider run`; the version of `baseline`, an interpreter or a folder for PYTHONPATH, where it is given."""
        interpreter, environment = sys.executable, {}
        bare = ["--no-report", "--no-thumbnails"] if baseline is None else []  # earlier versions have neither
        if baseline is not None and Path(baseline).is_dir():
            environment = {"PYTHONPATH": baseline}
        elif baseline is not None:
            interpreter = baseline

        def work() -> Run:
            output = self._output()
            command = [interpreter, "-m", "sparkcider", "run", "--input", str(images), "--output", str(output)]
            done = run([*command, *map(str, words), *bare], environment, str(self.folder))
            summary = json.loads((output / "summary.json").read_text())
            shutil.rmtree(output)
            return done._replace(summary=summary)

        return work

    def other(self, module: str, *words: object, interpreter: str = sys.executable) -> Callable[[], Run]:
        """A program of this folder that writes to `--output`."""

        def work() -> Run:
            output = self._output()
            done = self.python(module, *words, "--output", output, interpreter=interpreter)
            shutil.rmtree(output)
            return done

        return work

    def _output(self) -> Path:
        return self.folder / f"out-{next(self._outputs)}"

    def compared(
        self, jobs: dict[str, Callable[[], Run]], model: list[str] | None = None, rounds: int | None = None
    ) -> dict[str, list[Timed]]:
        """Runs jobs in turn, the limit of a model around each; keeps what was measured."""
        limit = None if model is None else self.limit(model)
        found = interleaved(jobs, rounds or self.counts.rounds, limit)
        for name, times in found.items():
            for done, rate in times:
                kept = {"job": name, "seconds": done.seconds, "peak_mb": done.peak_mb, "limit": rate}
                self.timed.append({**kept, "shares": done.shares(), "summary": done.summary})
        return found

    @cached_property
    def has_daft(self) -> bool:
        """Whether the interpreter for Daft has it."""
        return self._imports(self.options.daft, "daft, onnxruntime")

    @cached_property
    def has_keras(self) -> bool:
        """Whether Keras and Spark are here."""
        return self._imports(sys.executable, "keras, pyspark")

    @staticmethod
    def _imports(interpreter: str, names: str) -> bool:
        silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run([interpreter, "-c", f"import {names}"], check=False, **silent).returncode == 0  # noqa: S603

"""What `decode="scaled"` would gain and cost, measured on a job's own images where decoding took most of the time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from sparkcider import FeatureExtractor
from sparkcider.job.source import FileImages
from sparkcider.storage.fetch import fetch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sparkcider.job.config import JobConfig

DECODING_SHARE = 0.5
"""Of the workers' time from which on the advice is given."""

LEAST_SECONDS = 10.0
"""Of the workers: in a shorter job there is nothing to gain."""

SAMPLE = 16
"""Images that it is measured on: a few seconds for photos of 12 megapixels."""

WORTH = 1.2
"""A gain below this is not worth other features."""


@dataclass(frozen=True)
class ScaledAdvice:
    """What scaled decoding would change.

    Attributes:
        decoding_share: Share of the workers' time that decoding took.
        speedup: How many times as fast the workers would be.
        median_cosine: Of the features of the sample, exact and scaled.
        sample: Number of images that were compared.
    """

    decoding_share: float
    speedup: float
    median_cosine: float
    sample: int

    def __str__(self) -> str:
        """One line for the log."""
        return (
            f"decoding took {self.decoding_share:.0%} of the workers' time; --decode scaled would be "
            f"{self.speedup:.1f} x as fast, with features of a median cosine of {self.median_cosine:.4f} to these "
            f"(measured on {self.sample} of these images)"
        )

    def as_dict(self) -> dict[str, Any]:
        """For the summary."""
        return asdict(self)


def scaled_advice(config: JobConfig, images: object, seconds: Mapping[str, float]) -> ScaledAdvice | None:
    """Measures what scaled decoding would gain, if decoding took most of the time.

    Args:
        config: The job.
        images: Its images; only files are sampled.
        seconds: Of the workers, by step: `decoding` and others.

    Returns:
        None where the job decodes scaled already, it was short, decoding is a small part of it, the images are not
        files that this process can read, or the gain is small.
    """
    total = sum(seconds.values())
    share = seconds.get("decoding", 0.0) / total if total else 0.0
    if (
        share <= DECODING_SHARE
        or total < LEAST_SECONDS
        or config.options.get("decode") == "scaled"
        or not isinstance(images, FileImages)
    ):
        return None
    rows = np.unique(np.linspace(0, len(images.keys) - 1, SAMPLE).astype(int))
    contents = [item.content for item in fetch(images.keys["path"].take(pa.array(rows)).to_pylist())]
    sample = pa.array(contents, pa.binary())
    exact, exact_seconds = _measured(sample, config, "exact")
    scaled, scaled_seconds = _measured(sample, config, "scaled")
    good = [row for row in range(len(exact)) if exact[row] is not None and scaled[row] is not None]
    unchanged = all(exact[row] == scaled[row] for row in good)  # images too small to be decoded at a smaller scale
    if unchanged or not exact_seconds:
        return None
    speedup = 1 / (1 - share * (1 - min(scaled_seconds / exact_seconds, 1.0)))
    cosines = [_cosine(np.asarray(exact[row], float), np.asarray(scaled[row], float)) for row in good]
    if speedup < WORTH:
        return None
    return ScaledAdvice(round(share, 3), round(speedup, 2), round(float(np.median(cosines)), 5), len(good))


def _measured(images: pa.Array[Any], config: JobConfig, decode: str) -> tuple[list[list[float] | None], float]:
    """The features of the images, and the seconds that decoding them took."""
    extractor = FeatureExtractor(config.model, **{**config.options, "decode": decode})
    features, _ = extractor.extract(images)
    return features.to_pylist(), extractor.stage_seconds()["decoding"]


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    norms = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / norms if norms else 1.0

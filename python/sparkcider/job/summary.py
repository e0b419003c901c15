"""What `sparkcider.job.run` gives back, and the facts in it."""

from __future__ import annotations

import platform
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

import sparkcider
from sparkcider.notebook_html import facts_table

if TYPE_CHECKING:
    from sparkcider._native import Pca
    from sparkcider.job.config import JobConfig


class Summary(dict[str, Any]):
    """The summary of a job, as it is written to `summary.json`: a dict that notebooks show as a table."""

    def _repr_html_(self) -> str:
        """Counts, speed and time by stage, and where the report is."""
        pca, found = self.get("pca"), self.get("findings")
        variance = (
            None if pca is None else f"{pca['k']:,} of {sum(pca['explained_variance_ratio']):.1%} of the variance"
        )
        facts = {
            "images": self["images"],
            "errors": self["errors_by_kind"] or 0,
            "labels": self["input"]["labels"],
            "model": self["model"]["name"],
            "engine": self["engine"],
            "images/s": self["images_per_second"],
            "seconds": self["seconds"],
            "components": variance,
            "duplicates": None if found is None else {kind: n["images"] for kind, n in found["duplicates"].items()},
            "suspect labels": None if found is None else found["suspects"],
            "result": self["config"]["output"],
            "report": None if found is None else f"{self['config']['output']}/report.html",
        }
        return facts_table("sparkcider job", facts)


def pca_facts(config: JobConfig, pca: Pca) -> dict[str, Any]:
    """What the summary says of a fitted PCA."""
    ratios = explained_ratios(pca)
    return {
        "k": len(ratios),
        "explained_variance_ratio": ratios,
        "standardize": config.standardize,
        "center": config.center or config.standardize,
    }


def explained_ratios(pca: Pca) -> list[float]:
    """The share of the variance per component."""
    return [float(ratio) for ratio in pca.explained_variance_ratio_]


def variance_csv(ratios: list[float]) -> str:
    """One line per component: number from 1, ratio, cumulated ratio."""
    lines = (f"{n},{ratio!r},{total!r}" for n, (ratio, total) in enumerate(zip(ratios, accumulate(ratios)), 1))
    return "\n".join(("component,ratio,cumulative", *lines)) + "\n"


def versions() -> dict[str, str]:
    """Versions of what every job uses."""
    return {
        "sparkcider": sparkcider.__version__,
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "numpy": np.__version__,
    }

"""What `sparkcider.job.run` gives back."""

from __future__ import annotations

from typing import Any

from sparkcider.notebook_html import facts_table


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

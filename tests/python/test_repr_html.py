"""What notebooks show of extractors, models of a PCA and jobs: well-formed, escaped, with the numbers that count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from sparkcider import FeatureExtractor, Pca, job
from sparkcider.notebook_html import facts_table, share_bars
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


def cells(html: str) -> dict[str, str]:
    """Names and values of a table, which must be well-formed."""
    root = ET.fromstring(f"<div>{html}</div>")  # noqa: S314 - ours
    return {"".join(row[0].itertext()): "".join(row[1].itertext()) for row in root.iter("tr")}


def test_an_extractor_says_what_it_is():
    shown = cells(FeatureExtractor("fruits-tiny")._repr_html_())
    assert shown["model"] == "fruits-tiny"
    assert shown["features"] == str(FeatureExtractor("fruits-tiny").embedding_dim)
    assert shown["SHA-256"] == f"{FeatureExtractor('fruits-tiny').checksum[:16]}..."
    assert shown["resize_mode"] == "squash"
    assert cells(FeatureExtractor("pixels", input_size=(3, 5))._repr_html_())["input"] == "3 x 5"


def test_a_pca_shows_its_sizes_and_a_bar_for_each_component():
    rows = np.random.default_rng(0).normal(size=(50, 6))
    html = Pca(k=3).fit(rows)._repr_html_()
    assert cells(html)["components"] == "3"
    assert html.count("<rect") == 3
    assert cells(Pca(k=3)._repr_html_())["k"] == "3"


def test_a_model_of_spark_shows_the_same(spark: SparkSession):
    from sparkcider.feature import PCA

    rows = [(row,) for row in np.random.default_rng(0).normal(size=(50, 6)).tolist()]
    model = PCA(k=2, inputCol="features", outputCol="pca").fit(spark.createDataFrame(rows, "features array<double>"))
    assert cells(model._repr_html_())["components"] == "2"


def test_a_job_gives_a_dict_that_shows_itself(tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=2)
    config = job.JobConfig(
        input=str(tmp_path / "images"), output=str(tmp_path / "<out>"), model="fruits-tiny", pca_k=2, engine="embedded"
    )
    summary = job.run(config, progress=lambda _line: None)
    assert isinstance(summary, dict)
    assert json.loads(json.dumps(summary)) == json.loads((tmp_path / "<out>" / "summary.json").read_text())
    shown = cells(summary._repr_html_())
    assert shown["images"] == "40"
    assert shown["report"] == f"{tmp_path}/<out>/report.html"
    assert "<out>" not in summary._repr_html_()


@pytest.mark.parametrize("shares", [[], [0.0], [0.5, 0.25]])
def test_bars_are_well_formed_whatever_the_shares(shares: list[float]):
    assert len(ET.fromstring(share_bars(shares))) == len(shares)  # noqa: S314 - ours


def test_any_text_is_escaped():
    html = facts_table("<script>", {"<b>": "</td><script>alert(1)</script>"})
    assert "<script" not in html
    assert cells(html) == {"<b>": "</td><script>alert(1)</script>"}

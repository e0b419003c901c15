"""Reports of large, odd and other people's tables, and of jobs with odd images."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from browser import card, chromium, number, opened, read_data, read_data_of

from sparkcider import findings
from sparkcider.cli import main
from sparkcider.job import JobConfig, finished, look, run
from sparkcider.report import data, render
from sparkcider.samples import encode_png, write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

LARGEST = 8 << 20
"""Bytes of a report: what a mail or a notebook takes."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def large() -> tuple[dict[str, Any], pa.Table, findings.Findings]:
    """23,619 images in 141 labels with a thumbnail each."""
    random = np.random.default_rng(0)
    n = 23_619
    label = [f"Fruit {at % 141}" for at in range(n)]
    centres = random.standard_normal((141, 16))
    vectors = (centres[np.arange(n) % 141] + 0.3 * random.standard_normal((n, 16))).astype(np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), 16).cast(pa.list_(pa.float32()))
    paths = [f"s3://bucket/fruits-360/Training/{name}/r_{at}_100.jpg" for at, name in enumerate(label)]
    thumbnail = pa.array([random.bytes(1200)] * n, pa.binary())
    rows = pa.table({"path": paths, "label": label, "features": lists, "thumbnail": thumbnail})
    found = findings.find(rows)
    return {"images": n}, rows.rename_columns(["path", "label", "pca", "thumbnail"]), found


def test_a_large_report_stays_small_and_opens(browser: Browser, large: tuple[Any, ...], tmp_path: Path):
    summary, rows, found = large
    html = render(summary, rows, found)
    assert len(html.encode()) <= LARGEST
    shown = data.report_data(summary, rows, found)
    assert shown["n_points"] == 23_619
    assert len(shown["images"]["thumbnail"]) == data.MOST_THUMBNAILS
    with_thumbnail = {shown["images"]["name"][at] for at in shown["images"]["thumbnail"]}
    assert {shown["images"]["name"][row["images"][0]] for row in shown["findings"]["outliers"]} <= with_thumbnail
    (tmp_path / "report.html").write_text(html)
    context = browser.new_context()
    page = context.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    page.wait_for_selector("html[data-ready]")
    assert page.locator(".legend button").count() == 141
    context.close()


def test_more_points_than_the_map_takes_are_a_sample_and_said(browser: Browser, tmp_path: Path):
    n = data.MOST_POINTS + 500
    pca = pa.FixedSizeListArray.from_arrays(pa.array(np.random.default_rng(1).random(2 * n)), 2)
    rows = pa.table({"path": [f"file:/a/{at}.jpg" for at in range(n)], "pca": pca})
    (tmp_path / "report.html").write_text(render({"images": n}, rows, None))
    with opened(browser, tmp_path / "report.html") as page:
        assert "30,000 of 30,500 images" in page.locator("#map .note").first.inner_text()
        assert "not looked for" in page.locator("#findings").inner_text()


def test_long_names_make_the_map_a_sample_and_not_the_page_too_large():
    n = 20_000
    pca = pa.FixedSizeListArray.from_arrays(pa.array(np.random.default_rng(1).random(2 * n)), 2)
    rows = pa.table({"path": [f"file:/a/{'é' * 100}{at}.jpg" for at in range(n)], "pca": pca})
    shown = read_data_of(render({"images": n}, rows, None))
    assert 5_000 < shown["n_points"] < n
    assert len(json.dumps(shown, ensure_ascii=False).encode()) < 2 * data.MOST_PATH_BYTES


def test_images_that_are_all_the_same_have_a_report(browser: Browser, tmp_path: Path):
    for at in range(3):
        (tmp_path / "images" / str(at)).mkdir(parents=True)
        (tmp_path / "images" / str(at) / "a.png").write_bytes(encode_png(np.full((8, 8, 3), 90, np.uint8)))
    config = JobConfig(input=str(tmp_path / "images"), output=str(tmp_path / "out"), model="pixels", pca_k=2)
    run(replace(config, engine="embedded"), progress=lambda _line: None)
    with opened(browser, tmp_path / "out" / "report.html") as page:
        assert "The same bytes: 1 group, 3 images" in page.locator("#duplicates").inner_text()


def test_without_jinja2_a_job_says_so_before_it_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr("sparkcider.job.look.find_spec", lambda _name: None)
    write_samples(tmp_path / "images", images_per_label=2)
    words = ["run", "--input", str(tmp_path / "images"), "--output", str(tmp_path / "out"), "--model", "fruits-tiny"]
    assert main([*words, "--engine", "embedded"]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        "sparkcider: report.html needs jinja2, which is not installed: pip install jinja2, or give --no-report"
    )
    assert not (tmp_path / "out.partial").exists()
    assert main([*words, "--engine", "embedded", "--no-report"]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "explained_variance.csv", "features", "job.json", "pca", "pca-model", "summary.json",
    ]  # fmt: skip


def test_rows_of_a_table_may_have_the_same_path_or_none(tmp_path: Path):
    images = [encode_png(np.full((8, 8, 3), level, np.uint8)) for level in (10, 90, 200)]
    pq.write_table(pa.table({"path": ["a", "a", None], "content": images}), tmp_path / "images.parquet")
    config = JobConfig(
        input=str(tmp_path / "images.parquet"), output=str(tmp_path / "out"), model="pixels", content_column="content"
    )
    assert run(replace(config, engine="embedded"), progress=lambda _line: None)["findings"]["rows"] == 3
    assert (tmp_path / "out" / "report.html").is_file()


def test_any_parquet_of_features_gets_a_report(browser: Browser, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    vectors = np.random.default_rng(2).standard_normal((40, 4)).astype(np.float32)
    table = pa.table({"path": [f"{at}.jpg" for at in range(40)], "features": vectors.tolist()})
    pq.write_table(table, tmp_path / "mine.parquet")
    assert main(["report", str(tmp_path / "mine.parquet")]) == 0
    assert capsys.readouterr().out.strip() == f"file:{tmp_path}/report.html"
    with opened(browser, tmp_path / "report.html") as page:
        assert number(card(page, "images")) == 40
        assert "There are no labels." in page.locator("#labels").inner_text()
        assert page.locator("#outliers tbody tr").count() == 40


def test_a_sample_is_said_and_all_are_looked_at_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sparkcider.job import look

    monkeypatch.setattr(look, "MOST_ROWS", 50)
    vectors = np.random.default_rng(3).standard_normal((400, 3)).astype(np.float32)
    pq.write_table(
        pa.table({"path": [f"{at}.jpg" for at in range(400)], "features": vectors.tolist()}), tmp_path / "a.parquet"
    )
    assert main(["report", str(tmp_path / "a.parquet")]) == 0
    sample = read_data(tmp_path / "report.html")["sample"]
    assert sample["sampled"]
    assert sample["of"] == 400
    assert 20 < sample["rows"] < 90
    assert main(["report", str(tmp_path / "a.parquet"), "--all"]) == 0
    assert not read_data(tmp_path / "report.html")["sample"]["sampled"]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": ["a"]}, "must have the columns path and features; it has path"),
        ({"path": ["a"], "features": pa.array([None], pa.list_(pa.float32()))}, "has no row with features"),
    ],
)
def test_what_has_no_features_is_an_error(columns, message, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert main(["report", str(tmp_path / "a.parquet")]) == 2
    assert message in capsys.readouterr().err
    assert main(["report", str(tmp_path / "nothing")]) == 2


OTHER_LABELS = {
    "class numbers": (pa.array([0, 1, 2] * 20), ["0", "1", "2"]),
    "truths": (pa.array([True, False, None] * 20), ["false", "true"]),
    "dictionary": (pa.array(["a", "b", None] * 20).dictionary_encode(), ["a", "b"]),
}


@pytest.mark.parametrize("of", OTHER_LABELS)
def test_a_report_of_features_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str], of: str):
    label, names = OTHER_LABELS[of]
    rows = np.random.default_rng(0).normal(size=(60, 8)).astype(np.float16)
    path = pa.array([f"{at}.jpg" for at in range(60)]).cast(pa.large_string())
    features = pa.array(list(rows), pa.list_(pa.float16()))
    pq.write_table(pa.table({"path": path, "features": features, "label": label}), tmp_path / "t.parquet")
    assert main(["report", str(tmp_path / "t.parquet")]) == 0, capsys.readouterr().err
    shown = read_data_of((tmp_path / "report.html").read_text())
    assert shown["n_points"] == 60
    assert shown["labels"] == names


def test_files_of_several_tools_make_one_report(tmp_path: Path):
    for at, kind in enumerate((pa.float32(), pa.float64(), pa.float16())):
        rows = np.random.default_rng(at).normal(size=(5, 3)).astype(kind.to_pandas_dtype())
        features, label = pa.array(list(rows), pa.list_(kind)), pa.array([at] * 5) if at else pa.array(["0"] * 5)
        path = pa.array([f"{at}{row}.jpg" for row in range(5)])
        pq.write_table(pa.table({"path": path, "features": features, "label": label}), tmp_path / f"{at}.parquet")
    assert main(["report", str(tmp_path)]) == 0
    shown = read_data_of((tmp_path / "report.html").read_text())
    assert (shown["n_points"], shown["labels"]) == (15, ["0", "1", "2"])


def test_a_report_of_a_large_table_reads_its_sample_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rows = np.random.default_rng(0).normal(size=(3000, 4)).astype(np.float32)
    features = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 4)
    mask = pa.array([at % 3 == 0 for at in range(3000)])
    features = pc.if_else(mask, pa.scalar(None, features.type), features)
    table = pa.table({"path": [f"{at}.jpg" for at in range(3000)], "features": features})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=700)
    monkeypatch.setattr(look, "MOST_ROWS", 200)
    seen: list[int] = []
    whole = finished.features_of

    def features_of(*given: Any, **options: Any) -> pa.Table:
        rows = whole(*given, **options)
        seen.append(len(rows))
        return rows

    monkeypatch.setattr(finished, "features_of", features_of)
    assert main(["report", str(tmp_path / "t.parquet")]) == 0
    sampled = read_data_of((tmp_path / "report.html").read_text())["sample"]
    assert (sampled["of"], sampled["sampled"], sampled["rows"]) == (2000, True, seen[0])
    assert 150 < seen[0] < 250


def test_tables_without_the_columns_are_told_what_they_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pq.write_table(pa.table({"path": ["a"], "vector": [[1.0]]}), tmp_path / "t.parquet")
    assert main(["report", str(tmp_path / "t.parquet")]) == 2
    assert "must have the columns path and features; it has path, vector" in capsys.readouterr().err
    pq.write_table(pa.table({"path": ["a"], "features": ["b"]}), tmp_path / "t.parquet")
    assert main(["report", str(tmp_path / "t.parquet")]) == 2
    assert "features must be lists of numbers, got string" in capsys.readouterr().err

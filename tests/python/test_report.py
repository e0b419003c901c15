"""The report, as a person sees it: Chromium opens the report of real jobs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest
from browser import card, chromium, number, opened, read_data

from sparkcider.cli import main
from sparkcider.job import JobConfig, run
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

HOSTILE = "<script>alert(1)</script>'\"&</script><!--"
LONGER_SIDE = "(image) => Math.max(image.naturalWidth, image.naturalHeight)"

ON_SCREEN = {
    "phone": {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True},
    "dark": {"color_scheme": "dark"},
    "light": {"color_scheme": "light"},
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A job of the sample images, one of them with a hostile name, some of them twice."""
    folder = tmp_path_factory.mktemp("report")
    write_samples(folder / "images", images_per_label=8)
    lime = sorted((folder / "images" / "Lime").glob("*.jpg"))
    hostile = folder / "images" / HOSTILE.replace("/", "")
    hostile.mkdir()
    for at, path in enumerate(lime[:3]):
        os.link(path, hostile / f"{at}{HOSTILE.replace('/', '')}.jpg")
    config = JobConfig(
        input=str(folder / "images"), output=str(folder / "out"), model="fruits-tiny", pca_k=6, engine="embedded"
    )
    run(config, progress=lambda _line: None)
    return folder / "out"


@pytest.fixture
def page(browser: Browser, result: Path) -> Iterator[Page]:
    with opened(browser, result / "report.html") as shown:
        yield shown


def features(result: Path) -> pd.DataFrame:
    return pd.read_parquet(result / "features")


def test_it_says_what_ran_in_the_numbers_of_the_parquet(page: Page, result: Path):
    rows, summary = features(result), json.loads((result / "summary.json").read_text())
    assert number(card(page, "images")) == rows.error.isna().sum() == summary["images"]
    assert number(card(page, "errors")) == rows.error.notna().sum() > 0
    assert number(card(page, "labels")) == rows[rows.error.isna()].label.nunique()
    assert number(card(page, "images/s")) == round(summary["images_per_second"])
    shown = page.get_by_role("region", name="Images that failed, by kind").locator("tbody tr")
    assert shown.count() == len(summary["errors_by_reason"])
    assert summary["errors_by_reason"][0]["example"] in shown.first.inner_text()
    page.get_by_text("Model, options and versions", exact=True).first.click()
    assert summary["model"]["checksum"] in page.locator("#run details").inner_text()


def test_the_cost_follows_the_price(page: Page, result: Path):
    rate = json.loads((result / "summary.json").read_text())["images_per_second"]
    page.get_by_label("at $ per hour").fill("2.5")
    assert card(page, "cost of a million images") == f"$ {1e6 / rate / 3600 * 2.5:.2f}"


def test_the_variance_is_in_a_chart_and_a_table_that_sorts(page: Page, result: Path):
    ratios = pd.read_csv(result / "explained_variance.csv")
    table = page.get_by_role("region", name="Share of the variance by component")
    assert table.locator("tbody tr").count() == len(ratios) == 6
    assert table.locator("tbody tr").nth(1).inner_text().split("\t") == [
        "2", f"{100 * ratios.ratio[1]:.2f} %", f"{100 * ratios.cumulative[1]:.2f} %",
    ]  # fmt: skip
    heading = table.get_by_role("columnheader", name="component")
    heading.get_by_role("button").click()
    assert heading.get_attribute("aria-sort") == "descending"
    assert table.locator("tbody tr td").first.inner_text() == "6"
    assert page.locator("#variance canvas").count() == 1
    for share in (80, 90, 95, 99):
        needed = int((ratios.cumulative < share / 100 - 1e-9).sum()) + 1
        said = page.locator("#variance li", has_text=f"{share} % of the variance").inner_text()
        assert said.endswith("that were kept") if needed > 6 else f": {needed} component" in said


def test_the_map_shows_all_images_and_finds_them(page: Page, result: Path):
    rows = features(result)
    good = rows[rows.error.isna()]
    assert f"All {len(good)} images." in page.locator("#map .note").first.inner_text()
    counts = [int(text.rsplit("(", 1)[1].rstrip(")")) for text in page.locator(".legend button").all_inner_texts()]
    assert sum(counts) == len(good)
    assert len(counts) == good.label.nunique()
    search = page.get_by_label("Search a label or path in the map")
    search.fill("lime")
    found = good[good.path.str.lower().str.contains("lime")]
    assert page.locator("#map output").inner_text() == f"{len(found)} images found"
    assert page.locator("#map .paths li").count() == min(10, len(found))
    before = pixels(page)
    search.fill("")
    assert pixels(page) != before, "what was found was marked"


def pixels(page: Page) -> str:
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    drawn: str = page.locator("#map canvas").evaluate("(canvas) => canvas.toDataURL()")
    return drawn


def test_pointing_at_an_image_shows_its_path_and_thumbnail(page: Page, result: Path):
    canvas = page.locator("#map canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    assert box is not None
    # the place of the first point, as the page draws it
    place = page.evaluate(
        """() => {
          const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer;
          const data = JSON.parse(document.getElementById("data").textContent);
          const axes = data.axes.slice(0, 2).map((axis) => new Float32Array(bytes(axis)));
          const share = (values) => {
            const [least, most] = [Math.min(...values), Math.max(...values)];
            return ((values[0] - least) / (most - least) + 0.04) / 1.08;
          };
          return axes.map(share);
        }"""
    )
    page.mouse.move(box["x"] + place[0] * box["width"], box["y"] + (1 - place[1]) * box["height"])
    tip = page.locator(".tip")
    tip.wait_for(state="visible")
    assert tip.locator("img").evaluate(LONGER_SIDE) == 48
    assert tip.inner_text().strip().split("\n")[-1] in set(features(result).path)


def test_the_map_is_moved_by_mouse_wheel_and_keys(page: Page):
    canvas = page.locator("#map canvas")
    canvas.scroll_into_view_if_needed()
    whole = pixels(page)
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 300, box["y"] + 200)
    page.mouse.down()
    page.mouse.move(box["x"] + 380, box["y"] + 240, steps=4)
    page.mouse.up()
    dragged = pixels(page)
    page.mouse.wheel(0, -300)
    zoomed = pixels(page)
    canvas.focus()
    page.keyboard.press("ArrowLeft")
    moved = pixels(page)
    assert len({whole, dragged, zoomed, moved}) == 4
    page.keyboard.press("0")
    page.mouse.move(0, 0)
    assert pixels(page) == whole


def test_a_label_alone_is_in_colour(page: Page):
    before = pixels(page)
    button = page.locator(".legend button").first
    button.click()
    assert button.get_attribute("aria-pressed") == "true"
    assert pixels(page) != before
    button.click()
    assert pixels(page) == before


def test_each_label_has_a_contact_sheet_of_thumbnails(page: Page, result: Path):
    good = features(result).query("error.isna()", engine="python")
    table = page.get_by_role("region", name="Labels", exact=True)
    counts = {row.split("\t")[0]: int(row.split("\t")[1]) for row in table.locator("tbody tr").all_inner_texts()}
    assert counts == good.label.value_counts().to_dict()
    page.locator("#labels summary", has_text="Lime").click()
    sheet = page.locator("#labels details[open] img")
    assert sheet.count() == counts["Lime"]
    assert {image.evaluate(LONGER_SIDE) for image in sheet.all()} == {48}
    assert "fewer than 10 images" in page.locator("#labels .few").inner_text()


def test_findings_are_those_of_the_parquet(page: Page, result: Path):
    found = {
        name: pd.read_parquet(result / "findings" / f"{name}.parquet") for name in ("duplicates", "outliers", "labels")
    }
    copies = found["duplicates"][found["duplicates"].kind == "bytes"]
    assert (
        f"The same bytes: {copies.group.nunique()} groups, {len(copies)} images"
        in page.locator("#duplicates").inner_text()
    )
    first = page.locator("#duplicates .find").first
    assert first.locator("img").count() == (copies.group == 0).sum() == 2
    assert set(first.locator(".paths li").all_inner_texts()) == set(copies[copies.group == 0].path)
    rows = page.get_by_role("region", name="Outliers, the farthest first").locator("tbody tr")
    assert rows.count() == min(200, len(found["outliers"]))
    assert found["outliers"].path[0] in rows.first.inner_text()
    suspects = found["labels"][found["labels"].suspect]
    assert page.locator("#suspects .find").count() == min(20, len(suspects)) > 0
    assert suspects.path.iloc[0] in page.locator("#suspects .find").first.inner_text()


def test_findings_are_copied_as_csv(browser: Browser, result: Path):
    with opened(browser, result / "report.html", permissions=["clipboard-read", "clipboard-write"]) as page:
        page.get_by_role("button", name="Copy as CSV: Outliers, the farthest first").click()
        page.get_by_text("Copied").wait_for()
        text = page.evaluate("() => navigator.clipboard.readText()")
    copied = pd.read_csv(pd.io.common.StringIO(text))
    expected = pd.read_parquet(result / "findings" / "outliers.parquet").head(200)
    assert copied.path.tolist() == expected.path.tolist()
    np.testing.assert_allclose(copied["reconstruction error"], expected.reconstruction_error, rtol=1e-5)


def test_names_are_text_whatever_they_hold(page: Page, result: Path):
    assert any(HOSTILE[:8] in label for label in features(result).label)
    assert "<script>alert" not in (result / "report.html").read_text()
    assert page.locator("#labels summary", has_text="<script>alert(1)").count() == 1
    assert page.evaluate("() => document.querySelectorAll('main script').length") == 0


@pytest.mark.parametrize("screen", ON_SCREEN)
def test_nothing_serious_keeps_people_out(browser: Browser, result: Path, screen: str, tmp_path: Path):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    with opened(browser, result / "report.html", **ON_SCREEN[screen]) as page:
        for folded in page.locator("details").all():
            folded.evaluate("(details) => { details.open = true; }")
        found = axe.Axe().run(page).response["violations"]
        assert [fault["id"] for fault in found if fault["impact"] in ("serious", "critical")] == []
        wide, window = page.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert wide <= window, "nothing has to be scrolled sideways"
        page.screenshot(path=str(tmp_path / f"{screen}.png"), full_page=True)
        assert (tmp_path / f"{screen}.png").stat().st_size > 10_000


def test_dark_is_dark_and_can_be_changed(browser: Browser, result: Path):
    with opened(browser, result / "report.html", color_scheme="dark") as page:
        dark = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
        page.get_by_role("button", name="Light").click()
        light = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert (dark, light) == ("rgb(20, 23, 28)", "rgb(255, 255, 255)")


def test_every_section_is_reached_by_keyboard(page: Page):
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    reached = set()
    for _ in range(80):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.closest('section')?.id ?? ''"))
    assert {"run", "variance", "map"} <= reached


def test_a_report_is_made_again_of_a_finished_result(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    before = {path.name: path.read_bytes() for path in (result / "findings").iterdir()}
    for path in (result / "findings").iterdir():
        path.unlink()
    assert main(["report", str(result), "--output", str(tmp_path / "again.html")]) == 0
    assert {path.name: path.read_bytes() for path in (result / "findings").iterdir()} == before
    capsys.readouterr()
    ours, theirs = (read_data(path) for path in (tmp_path / "again.html", result / "report.html"))
    for key in ("n_rows", "n_points", "labels", "axes", "findings", "images"):
        assert ours[key] == theirs[key], key

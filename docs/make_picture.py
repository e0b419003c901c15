"""Draws the README's picture: the map in the report of a result, as Chromium shows it.

    python docs/make_picture.py sparkcider-demo/result docs/images/report.png

Needs the extra `test` and Chromium.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright


def main(result: Path, picture: Path) -> None:
    """Opens the report of `result` and writes `picture`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1180, "height": 800})
        page.goto((result / "report.html").absolute().as_uri())
        page.wait_for_selector("html[data-ready]")
        page.evaluate("document.getElementById('map').scrollIntoView()")
        box = page.locator("#map canvas").bounding_box() or {}
        for step in range(200):  # to the first image that is met
            page.mouse.move(box["x"] + 300 + 3 * step, box["y"] + 150 + step)
            if page.locator(".tip").is_visible():
                break
        page.screenshot(path=str(picture))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

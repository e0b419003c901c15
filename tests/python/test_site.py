"""The documentation site, which `make docs` builds, in a browser: pages open, and nothing is asked of a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import chromium

SITE = Path(__file__).parents[2] / "target" / "site"
PAGES = {
    "index.html": "sparkcider",
    "docs/tutorial.html": "Tutorial",
    "docs/guides/emr.html": "EMR",
    "docs/api/sparkcider.html": "sparkcider",
    "docs/api/command.html": "The command",
    "rust/sparkcider/index.html": "Crate sparkcider",
}


def test_its_pages_open_without_a_network():
    if not (SITE / "index.html").is_file():
        pytest.skip("needs the site: make docs")
    with chromium() as browser:
        page = browser.new_page()
        elsewhere: list[str] = []
        page.on("request", lambda request: elsewhere.append(request.url) if request.url.startswith("http") else None)
        for name, title in PAGES.items():
            page.goto((SITE / name).as_uri())
            page.wait_for_selector(f"h1:has-text('{title}')")
        page.goto((SITE / "docs" / "api" / "sparkcider.html").as_uri())
        assert page.locator("text=extract").first.is_visible()
        # the type is in the signature: one in a field of its own would be words of the sentence
        assert page.locator("dt.field-odd:has-text('Type')").count() == 0
        for entry in page.locator("dl.py > dd").all():
            assert entry.inner_text().strip()
    assert elsewhere == []

"""Debian's Chromium by Playwright. A page that asks for anything but its own file, or complains, is a failure."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; skips where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra test")
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=path, args=list(QUIET))
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def opened(browser: Browser, report: Path, **options: Any) -> Iterator[Page]:
    """The report in a window of its own, ready; fails at the end if the page complained or asked for anything else."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    page = context.new_page()
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_selector("html[data-ready]")
    try:
        yield page
    finally:
        context.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith("data:")] == [report.as_uri()]


def number(text: str) -> int:
    """A number as the page writes it."""
    return int(text.replace(",", ""))


def card(page: Page, name: str) -> str:
    """The value of a card at the top of a report."""
    return (
        page.locator(".cards > div", has=page.locator("dt", has_text=re.compile(f"^{name}$")))
        .locator("dd")
        .first.inner_text()
    )


def read_data(report: Path) -> dict[str, Any]:
    """The data inside of a report."""
    return read_data_of(report.read_text())


def read_data_of(html: str) -> dict[str, Any]:
    """The data inside of a report's text."""
    found = re.search('<script type="application/json" id="data">(.*?)</script>', html)
    assert found is not None
    read: dict[str, Any] = json.loads(found[1])
    return read

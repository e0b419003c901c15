"""The HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sparkcider.report.data import report_data

if TYPE_CHECKING:
    import pyarrow as pa

    from sparkcider.findings import Findings

ASSETS = Path(__file__).parent / "assets"
ECHARTS = ASSETS / "vendor" / "echarts.simple.min.js"
SCRIPTS = ("dom.js", "tables.js", "charts.js", "map.js", "sections.js", "findings.js", "app.js")
"""In the order in which they run: a script uses what those before it define."""


def render(summary: dict[str, Any], rows: pa.Table, findings: Findings | None) -> str:
    """The report as HTML, below 8 MB.

    Args:
        summary: The facts of the job: `summary.json`; of other features what is known of it.
        rows: The images that have features: path, and if there is one label, thumbnail (JPEG) and pca (k floats).
        findings: What was found among them, if that was looked for.

    Returns:
        A page that works without a network. Paths and labels are untrusted: the page shows them as text only.

    Example:
        >>> import pyarrow as pa
        >>> html = render({"images": 1}, pa.table({"path": ["file:/photos/1.jpg"]}), None)
        >>> html.startswith("<!doctype html>")
        True
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(loader=FileSystemLoader(ASSETS), autoescape=True, undefined=StrictUndefined)
    scripts = [ECHARTS.read_text(encoding="utf-8"), _own_scripts()]
    return environment.get_template("report.html.j2").render(
        title=_title(summary),
        style=(ASSETS / "report.css").read_text(encoding="utf-8"),
        scripts=scripts,
        hashes=[_hash(script) for script in scripts],
        data=as_json(report_data(summary, rows, findings)),
    )


def as_json(data: Any) -> str:
    """JSON that can be inside a script element: no text in it can end the element or begin a comment."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _own_scripts() -> str:
    parts = [(ASSETS / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return '"use strict";\n' + "\n".join(parts)


def _hash(script: str) -> str:
    """As a content security policy names a script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _title(summary: dict[str, Any]) -> str:
    source = summary.get("config", {}).get("input")
    return "Images and their features" if source is None else f"Images of {source}"

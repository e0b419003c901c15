"""HTML for notebooks: what an object is, in one small table. All text is escaped; it is readable in light and dark."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BARS = 40
"""Components that are drawn; more would be thinner than a pixel."""


def facts_table(title: str, facts: Mapping[str, Any], below: str = "") -> str:
    """A table of names and values; what is None is left out.

    Args:
        title: Its caption.
        facts: Values by name: text, numbers, or mappings of them.
        below: HTML that follows the table.

    Example:
        >>> print(facts_table("Model", {"name": "<tiny>", "size": None}))
        <table><caption style="text-align:left"><b>Model</b></caption>
        <tr><th style="text-align:left">name</th><td style="text-align:left">&lt;tiny&gt;</td></tr>
        </table>
    """
    left = 'style="text-align:left"'
    rows = [
        f"<tr><th {left}>{escape(name)}</th><td {left}>{escape(_text(value))}</td></tr>"
        for name, value in facts.items()
        if value is not None
    ]
    caption = f"<caption {left}><b>{escape(title)}</b></caption>"
    return "\n".join([f"<table>{caption}", *rows, f"</table>{below}"])


def share_bars(shares: Iterable[float]) -> str:
    """The first shares of a whole as bars, in SVG that takes the colour of the text around it."""
    drawn = [float(share) for share in shares][:_BARS]
    most = max(drawn, default=0.0) or 1.0
    bars = "".join(
        f'<rect x="{8 * at}" y="{40 - 40 * share / most:.1f}" width="6" height="{40 * share / most:.1f}">'
        f"<title>component {at + 1}: {share:.2%}</title></rect>"
        for at, share in enumerate(drawn)
    )
    label = f"share of the variance of the first {len(drawn)} components"
    return (
        f'<svg role="img" aria-label="{label}" width="{8 * len(drawn)}" height="40" fill="currentColor" opacity="0.7">'
        f"{bars}</svg>"
    )


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_text(one)}" for name, one in value.items() if one is not None)
    if isinstance(value, (tuple, list)):
        return " x ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return f"{value:,.3g}" if isinstance(value, float) else str(value)

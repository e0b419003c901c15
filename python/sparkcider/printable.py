"""Text from outside (paths, labels, tensor names, metadata) as a terminal may show it."""

from __future__ import annotations

import re

_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line ends, marks that turn the direction of text, halves of characters (they have no UTF-8)."""


def printable(text: str) -> str:
    r"""A line in which what a terminal would obey, or could not show, is escaped as Python escapes it.

    Example:
        >>> printable("caf\xe9 \x1b[31m\n")
        'caf\xe9 \\x1b[31m\\n'
    """
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def printable_json(text: str) -> str:
    r"""JSON in which the same is escaped as JSON escapes it; its own line ends stay.

    Example:
        >>> printable_json('{"name":\n"\x9b31m"}')
        '{"name":\n"\\u009b31m"}'
    """
    return _UNPRINTABLE.sub(lambda found: found[0] if found[0] in "\n\t" else f"\\u{ord(found[0]):04x}", text)

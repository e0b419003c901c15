"""Images in base64 where paths or bytes are expected, and texts as messages quote them."""

from __future__ import annotations

import base64
import re

QUOTED = 32
"""Characters of a text that a message quotes."""

_MAGIC = re.compile(rb"\xff\xd8\xff[\xc0-\xfe]|\x89PNG|GIF8|RIFF....WEBP|II\*\0|MM\0\*|BM|qoif", re.DOTALL)
"""How the files of images begin."""

_FEWEST_BYTES = 64
"""Of an image file; a path such as `/9j/abc` may be base64 by chance."""


def is_base64_image(text: str) -> bool:
    """Whether a text is an image file in base64, all of it: JSON, Kafka and REST carry images so.

    Example:
        >>> is_base64_image("/9j/4" + "A" * 131), is_base64_image("/9j/a.jpg")
        (True, False)
    """
    start = text.index(",") + 1 if text.startswith("data:image/") and "," in text else 0
    head = text[start : start + 16]
    try:  # the first bytes say for nearly all paths that it is none
        if not _MAGIC.match(base64.b64decode(head, validate=True)):
            return False
        content = base64.b64decode("".join(text[start:].split()), validate=True)
    except ValueError:
        return False
    return len(content) >= _FEWEST_BYTES


def shortened(text: str) -> str:
    """A text as messages quote it: what is long has its beginning only.

    Example:
        >>> shortened("a" * 100)
        'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa...'
    """
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}..."

"""What a wrong call tells its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sparkcider.cli import explain

if TYPE_CHECKING:
    from collections.abc import Callable


def message(call: Callable[[], Any]) -> str:
    """The type and the one line of the error that a call ends with."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the caller compares type and text
        call()
    return f"{type(caught.value).__name__}: {explain(caught.value)}"

"""What a pass over rows of features sums up, in a task of Spark or in a thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import pyarrow.compute as pc

if TYPE_CHECKING:
    import pyarrow as pa


class Summary(Protocol):
    """What a pass over the rows sums up: `Moments` or `Sketch`."""

    def update(self, features: Any, *, skip_invalid: bool = False) -> int:
        """Adds rows."""

    def merge(self, other: Any) -> None:
        """Adds the rows that another has seen."""

    def to_bytes(self) -> bytes:
        """All of it."""

    @staticmethod
    def from_bytes(data: bytes) -> Summary:
        """What `to_bytes` gave."""

    @property
    def n_samples(self) -> int:
        """Rows added."""

    @property
    def n_invalid(self) -> int:
        """Rows left out."""


def of_width(features: pa.Array[Any], width: int) -> pa.Array[Any]:
    """Rows of another length as nulls: a summary that starts with a short row must not take that for the length.

    Args:
        features: Lists of floats or doubles.
        width: D.
    """
    return pc.if_else(pc.equal(pc.list_value_length(features), width), features, None)

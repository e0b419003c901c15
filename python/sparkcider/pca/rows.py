"""The rows of features that a pass reads: null ones are left out and counted, wrong ones are an error that counts them.

A null row is a bad image. A NaN, an infinity, a null among the values or a row of another length is a bug of whatever
made the features: leaving such rows out would hide it.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from sparkcider._native import Moments, PcaError
from sparkcider.pca.summary import of_width

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkcider.pca.summary import Summary

Kind = TypeVar("Kind", bound="Summary")


class RowRules(NamedTuple):
    """Whose rows are read, for messages, and what null rows are.

    Attributes:
        stage: Class of the stage, or name of the function.
        column: Name of the column.
        skip_nulls: Null rows are left out; else they are an error.
        width: D, where it is known; None: what most rows have.
        choice: What the user sets to leave null rows out.
        skip_wrong: Rows of another length or with a value that is not finite are left out, too.
    """

    stage: str
    column: str
    skip_nulls: bool = True
    width: int | None = None
    choice: str = "handleInvalid='keep' or 'skip'"
    skip_wrong: bool = False

    @property
    def where(self) -> str:
        """Begins a message."""
        return f"{self.stage}: column {self.column}"

    def no_rows(self, n_left_out: int) -> PcaError:
        """The error of a fit to nothing."""
        rows = "invalid rows" if self.skip_wrong else "null rows"
        left_out = f" ({n_left_out:,} {rows} left out)" if n_left_out else ""
        return PcaError(f"{self.where} has no rows to fit to{left_out}")


@dataclass
class Tally:
    """What the rows of a pass, or of a part of it, are.

    Attributes:
        n_rows: All rows.
        n_null: Null ones.
        n_not_finite: Those of the right length with a NaN, an infinity or a null among their values.
        widths: Rows that are not null, by length.
        width: The length that counts so far; None while all rows are null.
    """

    n_rows: int = 0
    n_null: int = 0
    n_not_finite: int = 0
    widths: dict[int, int] = field(default_factory=dict)
    width: int | None = None

    def merge(self, other: Tally) -> None:
        """Adds the rows of another part."""
        self.n_rows += other.n_rows
        self.n_null += other.n_null
        self.n_not_finite += other.n_not_finite
        self.widths = dict(Counter(self.widths) + Counter(other.widths))
        self.width = other.width if self.width is None else self.width

    @property
    def n_left_out(self) -> int:
        """Rows that are not in the sum."""
        others = sum(rows for length, rows in self.widths.items() if length != self.width)
        return self.n_null + self.n_not_finite + others

    def to_json(self) -> str:
        """All of it, as text."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> Tally:
        """What `to_json` gave."""
        found = json.loads(text)
        return Tally(**{**found, "widths": {int(width): rows for width, rows in found["widths"].items()}})

    def check(self, rules: RowRules, of: str = "rows") -> None:
        """Raises an error about the rows that are wrong.

        Args:
            rules: Whose rows they are, and what is wrong with them.
            of: What the rows are counted among.

        Raises:
            PcaError: Some are wrong; it names the stage, the column and how many.
        """
        if rules.skip_wrong:
            return
        faults = []
        width = rules.width
        if width is None and self.widths:
            width = max(self.widths, key=lambda length: (self.widths[length], length))
        others = {length: rows for length, rows in self.widths.items() if length != width}
        if others:
            lengths = ", ".join(f"{length:,}" for length in sorted(others)[:3])
            faults.append(f"{_have(sum(others.values()))} {lengths} values, not {width:,}")
        if self.n_not_finite:
            faults.append(f"{_have(self.n_not_finite)} a NaN, an infinity or a null inside")
        if faults:
            remedy = "correct what makes them, or set these rows to null, which leaves them out"
            raise PcaError(f"{rules.where}: of {self.n_rows:,} {of} {' and '.join(faults)}: {remedy}")
        if self.n_null and not rules.skip_nulls:
            are = "is" if self.n_null == 1 else "are"
            raise PcaError(
                f"{rules.where}: of {self.n_rows:,} {of} {self.n_null:,} {are} null: "
                f"{rules.choice} leaves null rows out"
            )


def _have(rows: int) -> str:
    return f"{rows:,} has" if rows == 1 else f"{rows:,} have"


class RowSum(Generic[Kind]):
    """The summary of the rows that are right, and the tally of all.

    Args:
        new: Makes a summary of no rows for D values per row.
        width: D; None: that of the first row which is neither null nor empty.
    """

    def __init__(self, new: Callable[[int], Kind], width: int | None = None) -> None:
        self._new = new
        self.summary: Kind | None = None
        self.tally = Tally(width=width)

    @classmethod
    def of(cls, moments: Moments) -> RowSum[Moments]:
        """Rows that were summed elsewhere."""
        summed = RowSum(lambda _width: Moments())
        summed.summary = moments
        summed.tally = Tally(moments.n_samples + moments.n_invalid, moments.n_invalid)
        return summed

    def update(self, batch: Any) -> None:
        """Adds the rows of an Arrow array of lists."""
        features: pa.Array[Any] = batch if isinstance(batch, pa.Array) else pa.array(batch)
        lengths = pc.list_value_length(features).drop_null()
        widths = {found["values"]: found["counts"] for found in pc.value_counts(lengths).to_pylist()}
        first = next(filter(None, widths), None)  # they are counted in the order in which they come
        self.tally.merge(Tally(len(features), features.null_count, 0, widths, first))
        if self.tally.width is None:
            return
        if self.summary is None:
            self.summary = self._new(self.tally.width)
        # a comparison with a number makes pyarrow import pandas, which takes a third of a second
        fitting = features if widths.keys() <= {self.tally.width} else of_width(features, self.tally.width)
        before = self.summary.n_invalid
        self.summary.update(fitting, skip_invalid=True)
        self.tally.n_not_finite += self.summary.n_invalid - before - fitting.null_count

    def add(self, summary: Kind | None, tally: Tally) -> None:
        """Adds a part; one whose rows have another length is only counted."""
        fits = self.tally.width in (None, tally.width)
        self.tally.merge(tally)
        if self.summary is None:
            self.summary = summary if fits else None
        elif summary is not None and fits:
            self.summary.merge(summary)

"""Counts of a job's images: by label, and of those that failed by kind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider import SparkciderError
from sparkcider.error_kinds import FETCHING_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkcider.job.config import JobConfig

FEWEST_TO_JUDGE = 1000
"""Images after which a rate of errors is looked at for the first time."""

LISTED = 1000
"""How many labels the summary lists; the most frequent ones."""


class TooManyErrorsError(SparkciderError):
    """More images failed than `max_error_rate` allows."""


class TooManyUnreadError(SparkciderError):
    """More images could not be read than `max_unread_rate` allows."""


class Example(NamedTuple):
    """One image that failed: of several the first by path.

    Attributes:
        path: Its path.
        reason: Why it failed.
    """

    path: str | None
    reason: str

    def first(self, other: Example) -> Example:
        """This one or the other; a path that is null goes first, as Spark sorts."""
        return min(self, other, key=lambda one: (one.path is not None, one.path or "", one.reason))


@dataclass
class Failed:
    """Images of one label that failed for a kind of fault: how many, and one of them."""

    count: int
    example: Example


@dataclass
class Counts:
    """What became of the images.

    Attributes:
        files: Images by label, failed ones among them.
        failed: Failed images by (label, kind of `sparkcider.error_kinds`).
        n_paths: How many different paths the images have.
    """

    n_paths: int = 0
    files: Counter[str | None] = field(default_factory=Counter)
    failed: dict[tuple[str | None, str], Failed] = field(default_factory=dict)

    def add(
        self,
        paths: Iterable[str | None],
        labels: Iterable[str | None],
        reasons: Iterable[str | None],
        kinds: Iterable[str | None],
    ) -> None:
        """Adds images; reason and kind are None of good ones."""
        for path, label, reason, kind in zip(paths, labels, reasons, kinds):
            self.files[label] += 1
            if reason is not None and kind is not None:
                self.add_failed(label, kind, 1, Example(path, reason))

    def add_failed(self, label: str | None, kind: str, count: int, example: Example) -> None:
        """Adds failed images that `files` counts already."""
        known = self.failed.setdefault((label, kind), Failed(0, example))
        known.count += count
        known.example = known.example.first(example)

    @property
    def n_images(self) -> int:
        """Images that have features."""
        return self.n_files - self.n_errors

    @property
    def n_files(self) -> int:
        """Images in all."""
        return sum(self.files.values())

    @property
    def n_errors(self) -> int:
        """Images that failed."""
        return sum(failed.count for failed in self.failed.values())

    @property
    def n_unread(self) -> int:
        """Images that could not be read."""
        return sum(count for kind, count in self.by_kind().items() if kind in FETCHING_KINDS)

    def by_kind(self) -> dict[str, int]:
        """Failed images of each kind, the most frequent one first."""
        return {fault["kind"]: fault["count"] for fault in self.by_reason()}

    def by_reason(self) -> list[dict[str, Any]]:
        """Of each kind the number of images, and the reason and the path of one; the most frequent kind first."""
        kinds: dict[str, Failed] = {}
        for (_, kind), failed in self.failed.items():
            known = kinds.setdefault(kind, Failed(0, failed.example))
            known.count += failed.count
            known.example = known.example.first(failed.example)
        order = sorted(kinds.items(), key=lambda item: (-item[1].count, item[0]))
        return [
            {"kind": kind, "reason": failed.example.reason, "count": failed.count, "example": failed.example.path}
            for kind, failed in order
        ]

    def by_label(self) -> list[dict[str, Any]]:
        """The labels, the most frequent ones first."""
        failed: Counter[str | None] = Counter()
        for (label, _), some in self.failed.items():
            failed[label] += some.count
        order = sorted(self.files, key=lambda label: (-self.files[label], label or ""))
        return [
            {"label": label, "files": self.files[label], "images": self.files[label] - failed[label]}
            for label in order[:LISTED]
        ]


def check_error_rate(config: JobConfig, done: int, errors: int, *, finished: bool = False) -> None:
    """Stops a job of which too much failed.

    Args:
        config: The job.
        done: Images so far.
        errors: How many of them failed.
        finished: These are all; else fewer than `FEWEST_TO_JUDGE` say nothing.

    Raises:
        TooManyErrorsError: More than `max_error_rate` of them failed.
    """
    most = config.max_error_rate
    if most is None or (done < FEWEST_TO_JUDGE and not finished) or errors <= most * done:
        return
    raise TooManyErrorsError(
        f"{errors:,} of {done:,} images failed ({errors / done:.1%}), more than max_error_rate {most:g} allows; "
        "the column error of the finished features says why"
    )


def check_unread_rate(config: JobConfig, images: int, unread: int, example: str | None) -> None:
    """Stops a job of which too much could not be read: credentials that ended, a store or a disk that is gone.

    Args:
        config: The job.
        images: All that were listed, so that it is known from the first block how many may fail.
        unread: How many could not be read so far.
        example: The error of one of them.

    Raises:
        TooManyUnreadError: More than `max_unread_rate` of them could not be read.
    """
    most = config.max_unread_rate
    if unread <= most * images:
        return
    raise TooManyUnreadError(
        f"{unread:,} of {images:,} images could not be read, more than max_unread_rate {most:g} allows, such as: "
        f"{example}; the same job with --resume (resume=True) reads them again"
    )

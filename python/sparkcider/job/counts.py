"""Counts of a job's images: by label, and of those that failed by fault."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sparkcider import SparkciderError
from sparkcider.error_kinds import FETCHING_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkcider.job.config import JobConfig

FEWEST_TO_JUDGE = 1000
"""Images after which a rate of errors is looked at for the first time."""

LISTED = 1000
"""How many labels and how many faults the summary lists; the most frequent ones."""

# 60000 x 50000 and 70000 x 50000 pixels are one fault; so are two unknown formats by their first bytes.
# Java reads this expression as Python does: the Spark engine counts with it, too.
PARTICULARS = r"(?<=first bytes: )[0-9a-f ]+|0x[0-9A-Fa-f]+|\d+"


class TooManyErrorsError(SparkciderError):
    """More images failed than `max_error_rate` allows."""


class TooManyUnreadError(SparkciderError):
    """More images could not be read than `max_unread_rate` allows."""


class Fault(NamedTuple):
    """Why images failed.

    Attributes:
        kind: One word of `sparkcider.error_kinds`.
        reason: The reason without the numbers of one image.
    """

    kind: str
    reason: str


@dataclass
class Failed:
    """Images of one label that failed for one fault: how many, and the path of one."""

    count: int
    example: str


@dataclass
class Counts:
    """What became of the images.

    Attributes:
        files: Images by label, failed ones among them.
        failed: Failed images by (label, fault).
    """

    files: Counter[str | None] = field(default_factory=Counter)
    failed: dict[tuple[str | None, Fault], Failed] = field(default_factory=dict)

    def add(
        self,
        paths: Iterable[str],
        labels: Iterable[str | None],
        reasons: Iterable[str | None],
        kinds: Iterable[str | None],
    ) -> None:
        """Adds images; reason and kind are None of good ones."""
        for path, label, reason, kind in zip(paths, labels, reasons, kinds):
            self.files[label] += 1
            if reason is not None and kind is not None:
                self.add_failed(label, Fault(kind, without_particulars(reason)), 1, path)

    def add_failed(self, label: str | None, fault: Fault, count: int, example: str) -> None:
        """Adds failed images that `files` counts already."""
        known = self.failed.setdefault((label, fault), Failed(0, example))
        known.count += count
        known.example = min(known.example, example)

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
        kinds: Counter[str] = Counter()
        for (_, fault), failed in self.failed.items():
            kinds[fault.kind] += failed.count
        return dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0])))

    def by_reason(self) -> list[dict[str, Any]]:
        """The faults, the most frequent ones first."""
        faults: dict[Fault, Failed] = {}
        for (_, fault), failed in self.failed.items():
            known = faults.setdefault(fault, Failed(0, failed.example))
            known.count += failed.count
            known.example = min(known.example, failed.example)
        order = sorted(faults, key=lambda fault: (-faults[fault].count, fault))
        return [{**fault._asdict(), **asdict(faults[fault])} for fault in order[:LISTED]]

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


def without_particulars(reason: str) -> str:
    """The reason without the numbers of one image.

    Example:
        >>> without_particulars("image of 60000 x 50000 pixels is over the limit of 178956970")
        'image of N x N pixels is over the limit of N'
    """
    return re.sub(PARTICULARS, "N", reason)


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

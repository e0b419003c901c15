"""Encoded images as they were read, or the reasons why they could not be; and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkcider._native import FeatureExtractor


PREVIEWS = pa.schema([(name, pa.binary()) for name in ("digest", "fingerprint", "thumbnail")])
"""What is seen of an image on the way to its features; null for a bad image.

`digest` is the SHA-256 of the file's bytes. `fingerprint` has 256 bits that change little when an image is encoded or
sized again: the signs of the lowest coefficients of a DCT of its grey levels. `thumbnail` is a JPEG file of at most
48 x 48 pixels."""


class Contents(NamedTuple):
    """The bytes of N files.

    Attributes:
        images: `binary`; null where a file could not be read.
        errors: `string`; the reason why a file could not be read, null where it could.
        kinds: `string`; the same in one word of `sparkcider.error_kinds`.
    """

    images: pa.Array[Any]
    errors: pa.Array[Any]
    kinds: pa.Array[Any]

    @classmethod
    def read(cls, images: pa.Array[Any]) -> Contents:
        """Images that are there."""
        return cls(images, *[pa.nulls(len(images), pa.string())] * 2)

    @classmethod
    def fetched(cls, files: Iterable[tuple[bytes | None, str | None, str | None]]) -> Contents:
        """What `sparkcider.storage.fetch` gives of at least one file."""
        images, errors, kinds = zip(*files)
        return cls(pa.array(images, pa.binary()), pa.array(errors, pa.string()), pa.array(kinds, pa.string()))

    def slice(self, start: int, count: int) -> Contents:
        """Some of the files."""
        return Contents(*(column.slice(start, count) for column in self))


class Outcome(NamedTuple):
    """What became of N images.

    Attributes:
        features: A fixed-size list of D float32; null for a bad image.
        errors: `string`; the reason why an image is bad, null for a good one.
        kinds: `string`; the same in one word of `sparkcider.error_kinds`.
    """

    features: pa.Array[Any]
    errors: pa.Array[Any]
    kinds: pa.Array[Any]


def extract(extractor: FeatureExtractor, contents: Contents) -> Outcome:
    """The features of images; a file that could not be read keeps its own reason."""
    features, errors, kinds = extractor.extract(contents.images, with_kinds=True)
    return Outcome(features, pc.coalesce(contents.errors, errors), pc.coalesce(contents.kinds, kinds))


def extract_with_previews(
    extractor: FeatureExtractor, contents: Contents, *, thumbnails: bool
) -> tuple[Outcome, list[pa.Array[Any]]]:
    """The same, and the columns of `PREVIEWS`, all made of one decoding; without `thumbnails` that column is null."""
    features, errors, kinds, previews = extractor._extract_with_previews(contents.images, thumbnails=thumbnails)  # noqa: SLF001 - for the job
    outcome = Outcome(features, pc.coalesce(contents.errors, errors), pc.coalesce(contents.kinds, kinds))
    return outcome, previews.flatten()

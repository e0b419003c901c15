"""Encoded images as they were read, or the reasons why they could not be; and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sparkcider._native import FeatureExtractor


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

"""What is wrong with an image, in one word: of columns named `error_kind`, beside the reason in `error`."""

from __future__ import annotations

NULL = "null"

DECODING_KINDS = {
    NULL: "the row, or its path, is null",
    "empty": "the file has no bytes",
    "not_an_image": "text, an HTML page, an archive, a video or another known kind of file that holds no image",
    "unknown_format": "the bytes begin as no known kind of file does",
    "unsupported_format": "an image of a format, or of a variant of one, that is not decoded",
    "truncated": "the file ends before its image does",
    "damaged": "the content contradicts the format",
    "too_large": "the image has more pixels, or takes more memory or work, than the limits allow",
}
"""Of `FeatureExtractor.extract`; `ErrorKind` in Rust has the same."""

MISSING, FORBIDDEN, UNREACHABLE = "missing", "forbidden", "unreachable"

FETCHING_KINDS = {
    MISSING: "there is no such file or object, or it is a folder",
    FORBIDDEN: "the file or object may not be read with these rights",
    UNREACHABLE: "the store, the network or the disk failed, and did so again in every retry",
}
"""Of `sparkcider.storage.fetch`: only where files are read by their paths. The content may be good: such images could
not be read, and a resumed job reads them again."""

ERROR_KINDS = {**DECODING_KINDS, **FETCHING_KINDS}
"""Every word that `error_kind` can hold, and what it means."""

"""The one table of what can go wrong at a file or a store: its reason, its kind, and whether to try again."""

from __future__ import annotations

import errno
import http.client
import random
import re
import socket
import ssl
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sparkcider.error_kinds import FORBIDDEN, MISSING, UNREACHABLE
from sparkcider.storage.https import HttpError
from sparkcider.storage.uri import error_cause, redacted_uri, store_parts

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

RETRIES = 4
"""How many more times a fault that may pass is tried, of a model and of an image."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 20.0
"""Seconds before the first retry, doubled for each more, half of it by chance."""

_LASTING = frozenset(
    {
        socket.EAI_NONAME, errno.ELOOP, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO, errno.ENODEV, errno.ENOSPC,
        errno.EDQUOT, errno.EROFS,
    }
)  # fmt: skip
_LASTING_AWS = re.compile(
    r"AWS Error (ACCESS_DENIED|NO_SUCH_\w+|INVALID_\w+|\w*SIGNATURE\w*|UNKNOWN \(HTTP status (?!408|429)[34])"
)
_AWS = re.compile(
    r"AWS Error (?P<name>[A-Z_]+)[^:]*: (?:Unable to parse ExceptionName: (?P<code>\w+) Message: )?(?P<message>.*)"
)
_NO_CODES = ("UNKNOWN", "NETWORK_CONNECTION")
_NO_WORDS = ("", "No response body.", "Failed to flush response stream (eof: 0, bad: 1)")
"""Names and messages of pyarrow's own, which no store said."""


class Fault(NamedTuple):
    """What an error means.

    Attributes:
        reason: One line without the file's name, so that equal faults are equal.
        kind: In one word of `sparkcider.error_kinds`.
        passes: Whether the same request may succeed later.
    """

    reason: str
    kind: str
    passes: bool


class LengthError(OSError):
    """Other bytes came than there must be: of a file that is being written, or of a store that broke off."""

    def __init__(self, came: int, stated: int) -> None:
        super().__init__(f"{came:,} bytes came, {stated:,} were stated")


class ReadError(OSError):
    """What could not be read, although a fault that may pass was tried again.

    Attributes:
        reason: As that of `Fault`, with the number of tries.
        kind: Likewise.
    """

    def __init__(self, uri: str, reason: str, kind: str) -> None:
        super().__init__(f"{redacted_uri(uri)}: {reason}")
        self.reason = reason
        self.kind = kind


def tried_again(
    uri: str,
    work: Callable[[], T],
    *,
    retries: int = RETRIES,
    sleep: Callable[[float], bool | None] = time.sleep,
    passes: Callable[[Exception], bool] = lambda _: True,
) -> T:
    """What `work` gives of a file, a fault that may pass tried again.

    Args:
        uri: The path or URI.
        work: Starts from the beginning each time.
        retries: How many more times.
        sleep: Waits so many seconds; False if nobody wants the result any more.
        passes: Whether a fault that may pass is tried again here.

    Raises:
        ReadError: There was a fault in the last try.
    """
    for attempt in range(retries + 1):
        try:
            return work()
        except (OSError, http.client.HTTPException, ValueError, NotImplementedError) as error:  # noqa: PERF203
            fault = fault_of(uri, error)
            if not fault.passes or attempt == retries or not passes(error):
                tries = "" if attempt == 0 else f" (tried {attempt + 1} times)"
                raise ReadError(uri, fault.reason + tries, fault.kind) from None
            pause = min(FIRST_PAUSE * 2**attempt, LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311 - no secret
            asked = getattr(error, "retry_after", None) or 0.0
            if sleep(max(pause, min(asked, LONGEST_PAUSE))) is False:
                break
    raise ReadError(uri, "not fetched to its end", UNREACHABLE)


def fault_of(uri: str, error: Exception) -> Fault:
    """What an error of a file or store means.

    An error of S3 whose answer had no body may have the store's own words in an attribute `said`.
    """
    number = getattr(error, "errno", None)
    status = error.status if isinstance(error, HttpError) else None
    text = error_cause(uri, error)
    said = getattr(error, "said", None) or store_words(uri, text)
    if isinstance(error, FileNotFoundError) or number in (errno.ENOENT, errno.ENOTDIR) or status in (404, 410):
        return Fault("not found" if said in (None, "NoSuchKey") else f"not found: {said}", MISSING, passes=False)
    if isinstance(error, IsADirectoryError) or "Not a regular file" in text:
        return Fault("a folder, not a file", MISSING, passes=False)
    detail = said or text[max(text.find("AWS Error"), 0) :]  # before it stand the bucket and the key
    if isinstance(error, PermissionError) or status in (401, 403) or re.search(r"ACCESS_DENIED|status 40[13]\)", text):
        return Fault(f"no permission: {getattr(error, 'strerror', None) or detail}", FORBIDDEN, passes=False)
    if isinstance(error, HttpError):
        return Fault(f"cannot be read: {detail}", UNREACHABLE, error.transient)
    if isinstance(error, OSError) and number is not None and error.strerror:
        detail = error.strerror  # without the name of a local file
    never = (ValueError, NotImplementedError, http.client.InvalidURL, ssl.SSLCertVerificationError)
    lasting = isinstance(error, never) or number in _LASTING or _LASTING_AWS.search(text)
    return Fault(f"cannot be read: {detail}", UNREACHABLE, not lasting)


def store_words(uri: str, text: str) -> str | None:
    """The code that S3 gave, and its message where that does not name the object; None of an answer without a body.

    Example:
        >>> store_words("s3://b/a.jpg", "AWS Error SLOW_DOWN during GetObject operation: Please reduce your rate")
        'SlowDown: Please reduce your rate'
    """
    found = _AWS.search(text)
    if found is None or found["message"] in _NO_WORDS:
        return None
    if found["code"] is None and found["name"] in _NO_CODES:
        return None
    # pyarrow spells a code that it knows in its own way
    code = found["code"] or "".join(word.capitalize() for word in found["name"].split("_"))
    code = "InternalError" if code == "InternalFailure" else code
    _, bucket, key = store_parts(uri)
    names_it = f"{bucket}/{key}" in found["message"]  # as AccessDenied does
    return code if names_it or code == "NoSuchKey" else f"{code}: {found['message']}"

"""Objects by https with the standard library: connections that are kept, redirects, proxies."""

from __future__ import annotations

import base64
import http.client
import ssl
import string
import urllib.parse
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MOST_REDIRECTS = 5

KEPT_CONNECTIONS = 8
"""Of one thread, to as many hosts."""

CHUNK_BYTES = 1 << 16

_REDIRECTS = (301, 302, 303, 307, 308)
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
_CLOSED_MEANWHILE = (ConnectionError, http.client.BadStatusLine, ssl.SSLError)


class HttpError(OSError):
    """An answer without the object.

    Attributes:
        status: Its status.
        transient: Whether the same request may succeed later.
        retry_after: Seconds that the server asks to wait; None where it does not say.
    """

    def __init__(self, status: int, message: str, *, transient: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.transient = transient
        self.retry_after = retry_after


class Answer(NamedTuple):
    """An answer with the object, whose bytes are still to be read.

    Attributes:
        length: How many there are; None where the server does not say.
        version: What changes when they do; None where the server does not say.
        readinto: Fills a buffer, as that of files.
    """

    length: int | None
    version: str | None
    readinto: Callable[[memoryview], int]


class HttpsConnections:
    """The connections of one thread."""

    def __init__(self, timeout: float, trusted: Callable[[], ssl.SSLContext] = ssl.create_default_context) -> None:
        """Connects to nothing yet.

        Args:
            timeout: Seconds for the server to say the next word.
            trusted: Gives whose certificates are; reading the system's takes milliseconds.
        """
        self._trusted = trusted
        self._timeout = timeout
        self._kept: dict[str, http.client.HTTPSConnection] = {}

    @contextmanager
    def opened(self, url: str) -> Iterator[Answer]:
        """The object at a URL, as https spells it: percent-encoded, with a query.

        Raises:
            HttpError: The server has no object for it.
            OSError, HTTPException: The server is not reached, or breaks off.
            ValueError: It is not a URL.
        """
        for _ in range(MOST_REDIRECTS + 1):
            parts = urllib.parse.urlsplit(url)
            try:
                response = self._answer(parts)
                if response.status == http.client.OK:
                    version = response.headers.get("ETag") or response.headers.get("Last-Modified")
                    yield Answer(_length(response), version, response.readinto)
                else:
                    response.read(CHUNK_BYTES)
                if not response.isclosed():  # the rest would be read as the next answer
                    self._close(parts.netloc)
            except BaseException:
                self._close(parts.netloc)
                raise
            if response.status == http.client.OK:
                return
            url = _redirected(url, response)
        raise HttpError(http.client.LOOP_DETECTED, f"redirected more than {MOST_REDIRECTS} times")

    def close(self) -> None:
        """Closes all of them."""
        for place in list(self._kept):
            self._close(place)

    def _close(self, place: str) -> None:
        connection = self._kept.pop(place, None)
        if connection is not None:
            connection.close()

    def _answer(self, parts: urllib.parse.SplitResult) -> http.client.HTTPResponse:
        target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
        target = urllib.parse.quote(target, safe=string.punctuation)  # what is encoded already stays so
        kept = self._kept.get(parts.netloc)
        if kept is not None:
            try:
                return _asked(kept, target)
            except _CLOSED_MEANWHILE:
                self._close(parts.netloc)
        if len(self._kept) >= KEPT_CONNECTIONS:
            self.close()
        connection = self._kept[parts.netloc] = self._connection(parts)
        return _asked(connection, target)

    def _connection(self, parts: urllib.parse.SplitResult) -> http.client.HTTPSConnection:
        host, port = parts.hostname or "", parts.port or 443
        proxy = urllib.request.getproxies().get("https")
        if not proxy or urllib.request.proxy_bypass(host):
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._trusted())
        through = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        connection = http.client.HTTPSConnection(
            through.hostname or "", through.port or 80, timeout=self._timeout, context=self._trusted()
        )
        headers = {}
        if through.username is not None:
            name, word = (urllib.parse.unquote(part or "") for part in (through.username, through.password))
            headers = {"Proxy-Authorization": f"Basic {base64.b64encode(f'{name}:{word}'.encode()).decode()}"}
        connection.set_tunnel(host, port, headers)
        return connection


def _asked(connection: http.client.HTTPSConnection, target: str) -> http.client.HTTPResponse:
    # some servers refuse who does not say a name
    connection.request("GET", target, headers={"User-Agent": "sparkcider", "Accept": "*/*"})
    return connection.getresponse()


def _redirected(url: str, response: http.client.HTTPResponse) -> str:
    """Where an answer without the object sends to; HttpError if nowhere, or to what anybody on the way could change."""
    location = response.headers.get("Location", "")
    status, message = response.status, f"HTTP status {response.status} {response.reason}"
    if status not in _REDIRECTS or not location:
        wait = response.headers.get("Retry-After", "")
        raise HttpError(
            status, message, transient=status in _TRANSIENT, retry_after=float(wait) if wait.isdecimal() else None
        )
    url = urllib.parse.urljoin(url, location)
    if not url.startswith("https://"):
        raise HttpError(status, f"HTTP status {status}: redirected to what is not https")
    return url


def _length(response: http.client.HTTPResponse) -> int | None:
    stated = response.headers.get("Content-Length")
    if stated is not None and not stated.strip().isdecimal():
        raise HttpError(response.status, f"Content-Length is {stated[:20]!r}, not a number", transient=True)
    return response.length

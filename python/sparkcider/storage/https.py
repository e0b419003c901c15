"""Objects by https with the standard library: connections that are kept, redirects, proxies."""

from __future__ import annotations

import http.client
import ssl
import string
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def __init__(self, status: int, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.transient = status in _TRANSIENT
        self.retry_after = retry_after


class HttpsConnections:
    """The connections of one thread."""

    def __init__(self, context: ssl.SSLContext, timeout: float) -> None:
        """Connects to nothing yet; `timeout` is in seconds, for the server to say the next word."""
        self._context = context
        self._timeout = timeout
        self._kept: dict[str, http.client.HTTPSConnection] = {}

    def read(self, url: str, reserve: Callable[[int], None]) -> bytes:
        """The object at a URL.

        Args:
            url: As https spells it: percent-encoded, with a query.
            reserve: Is called with the number of bytes before they are read; where the server does not say how many
                there are, with the number of those read so far after each chunk.

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
                    return _content(response, reserve)
                response.read(CHUNK_BYTES)
                if not response.isclosed():  # the rest would be read as the next answer
                    self._close(parts.netloc)
            except BaseException:
                self._close(parts.netloc)
                raise
            url = urllib.parse.urljoin(url, _location(response))
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
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        through = urllib.parse.urlsplit(proxy if "://" in proxy else f"http://{proxy}")
        connection = http.client.HTTPSConnection(
            through.hostname or "", through.port or 80, timeout=self._timeout, context=self._context
        )
        connection.set_tunnel(host, port)
        return connection


def _asked(connection: http.client.HTTPSConnection, target: str) -> http.client.HTTPResponse:
    # some servers refuse who does not say a name
    connection.request("GET", target, headers={"User-Agent": "sparkcider", "Accept": "*/*"})
    return connection.getresponse()


def _location(response: http.client.HTTPResponse) -> str:
    """Where an answer without the object sends to; HttpError if nowhere."""
    location = response.headers.get("Location", "")
    if response.status not in _REDIRECTS or not location:
        wait = response.headers.get("Retry-After", "")
        message = f"HTTP status {response.status} {response.reason}"
        raise HttpError(response.status, message, float(wait) if wait.isdigit() else None)
    if "://" in location and not location.lower().startswith("https://"):
        raise HttpError(response.status, f"HTTP status {response.status}: redirected to what is not https")
    return location


def _content(response: http.client.HTTPResponse, reserve: Callable[[int], None]) -> bytes:
    if response.length is not None:
        reserve(response.length)
        return response.read()  # raises IncompleteRead where the server breaks off
    content = bytearray()
    while chunk := response.read(CHUNK_BYTES):
        content += chunk
        reserve(len(content))
    return bytes(content)

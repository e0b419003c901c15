"""A light S3 server on this machine: objects in memory, answers that can be late or wrong.

It knows what readers ask for: an object or part of one, its size, a bucket's listing. With `tls` it is an https server.
"""

from __future__ import annotations

import asyncio
import random
import re
import threading
import urllib.parse
from collections import Counter, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

TIME = "Wed, 01 Jan 2025 00:00:00 GMT"
TIME_IN_LISTINGS = "2025-01-01T00:00:00.000Z"
HANG_SECONDS = 10.0


class ObjectStore:
    """The server; `serving` starts it.

    Attributes:
        objects: Content by `bucket/key`.
        faults: What becomes of the next requests for an object, by `bucket/key`, instead of an answer: a status such as
            `503`, with the store's code in its body if `503 SlowDown` names one; `reset` breaks the connection; `hang`
            says nothing; `short`, `empty`, `foreign` and `html` answer 200 with half of the content, none of it, an
            error's XML and a page for people, each of the length that they state. Of GET alone, `half` sends half of
            the content and breaks the connection, `plain` does not say how long it is, `abc` states a length that is
            no number. An empty word is an answer without a fault. By the bucket's name, of its listings, too.
        always: The same, for all requests.
        requests: How many there were, by `GET bucket/key`.
        connected: How many connections there were.
        most_at_once: The most that waited for their answers together.
        delay: Seconds that each answer takes.
        redirects: Where a path sends to, by `bucket/key`.
        faulty: Share of all requests that get a fault by chance: 503, a reset, or `hang`.
        failed: How many did.
        page: Most names that an answer to a listing has.
    """

    def __init__(
        self,
        objects: dict[str, bytes] | None = None,
        *,
        delay: float = 0.0,
        faulty: float = 0.0,
        seed: int = 0,
        page: int = 1000,
    ) -> None:
        self.objects = dict(objects or {})
        self.faults: defaultdict[str, list[str]] = defaultdict(list)
        self.always: dict[str, str] = {}
        self.redirects: dict[str, str] = {}
        self.requests: Counter[str] = Counter()
        self.connected = 0
        self.most_at_once = 0
        self.delay = delay
        self.faulty, self.failed = faulty, 0
        self.page = page
        self.chance = random.Random(seed)  # noqa: S311 - no secret
        self.port = 0
        self.waiting = 0
        self.open: set[Any] = set()
        self.loop: asyncio.AbstractEventLoop | None = None

    def drop_connections(self) -> None:
        """Closes the connections that wait for a request."""
        assert self.loop is not None
        self.loop.call_soon_threadsafe(lambda: [transport.close() for transport in list(self.open)])

    @property
    def endpoint(self) -> str:
        """What `AWS_ENDPOINT_URL` takes."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What reaches this server in place of Amazon's."""
        keys = {"AWS_ACCESS_KEY_ID": "KEY", "AWS_SECRET_ACCESS_KEY": "SECRET", "AWS_EC2_METADATA_DISABLED": "true"}
        return {**keys, "AWS_ENDPOINT_URL": self.endpoint, "AWS_REGION": "us-east-1"}

    def fault(self, name: str) -> str:
        """What becomes of the next request for an object instead of an answer; empty if it is answered."""
        fault = (self.faults.get(name) or [self.always.get(name, "")])[0]
        if not fault and self.chance.random() < self.faulty:
            fault = self.chance.choice(["503", "reset", "hang"])
            self.failed += 1
        return fault

    def listing(self, bucket: str, query: dict[str, str]) -> bytes:
        """The answer to ListObjectsV2."""
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        after = query.get("continuation-token") or query.get("start-after") or ""
        keys = sorted(name[len(bucket) + 1 :] for name in self.objects if name.startswith(f"{bucket}/{prefix}"))
        most = min(int(query.get("max-keys", "1000")), self.page)
        encode = urllib.parse.quote if query.get("encoding-type") == "url" else _escaped
        entries: dict[str, str] = {}
        for key in keys:
            folder, found, _ = key[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
            if found:
                name = prefix + folder + delimiter
                entries[name] = f"<CommonPrefixes><Prefix>{encode(name)}</Prefix></CommonPrefixes>"
            else:
                size = len(self.objects[f"{bucket}/{key}"])
                entries[key] = (
                    f"<Contents><Key>{encode(key)}</Key><LastModified>{TIME_IN_LISTINGS}</LastModified><ETag>e</ETag>"
                    f"<Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                )
        rest = [name for name in entries if name > after]
        more = f"<NextContinuationToken>{_escaped(rest[most - 1])}</NextContinuationToken>" if len(rest) > most else ""
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>{bucket}</Name><Prefix>{encode(prefix)}</Prefix><KeyCount>{len(rest[:most])}</KeyCount>"
            f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(bool(more)).lower()}</IsTruncated>{more}"
            f"{''.join(entries[name] for name in rest[:most])}</ListBucketResult>"
        ).encode()


def _error(code: str) -> bytes:
    return f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>said by the store</Message></Error>'.encode()


def _faulty(content: bytes, fault: str) -> bytes:
    answers = {"short": content[: len(content) // 2], "empty": b"", "foreign": _error("InternalError")}
    return {**answers, "html": b"<html><body>please log in</body></html>"}.get(fault, content)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class _Connection(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._received = b""
        self._transport: Any = None
        self._busy = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._store.open.add(transport)
        self._store.connected += 1

    def connection_lost(self, _: Exception | None) -> None:
        self._store.open.discard(self._transport)
        self._transport.close()  # Python 3.9 takes one of TLS that was aborted for open
        if self._busy:
            self._store.waiting -= 1
            self._busy = False

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        self._received = rest
        lines = head.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ", 2)
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        store = self._store
        path, _, query = target.partition("?")
        name = urllib.parse.unquote(path).lstrip("/")
        store.requests[f"{method} {name}"] += 1
        store.waiting += 1
        self._busy = True
        store.most_at_once = max(store.most_at_once, store.waiting)
        loop = asyncio.get_running_loop()
        if store.delay:
            loop.call_later(store.delay, self._answer, method, name, query, headers)
        else:
            self._answer(method, name, query, headers)

    def _answer(self, method: str, name: str, query: str, headers: dict[str, str]) -> None:
        store = self._store
        fault = store.fault(name)
        if method == "HEAD" and fault in ("half", "plain", "abc"):
            fault = ""
        elif store.faults.get(name):
            store.faults[name].pop(0)
        bucket, slash, key = name.partition("/")
        if fault == "reset":
            self._transport.abort()
        elif fault == "hang":
            asyncio.get_running_loop().call_later(HANG_SECONDS, self._transport.abort)
        elif fault[:3].isdigit():
            self._send(method, int(fault[:3]), _error(fault[4:] or "Fault"), {})
        elif name in store.redirects:
            self._send(method, 302, b"", {"Location": store.redirects[name]})
        elif method == "GET" and (not slash or not key):
            self._send(method, 200, _faulty(store.listing(bucket, dict(urllib.parse.parse_qsl(query))), fault), {})
        elif not key:
            self._send(method, 200, b"", {"x-amz-bucket-region": "us-east-1"})
        elif name not in store.objects:
            self._send(method, 404, _error("NoSuchKey"), {})
        else:
            self._send_object(method, store.objects[name], fault, headers.get("range", ""))

    def _send_object(self, method: str, content: bytes, fault: str, range_: str) -> None:
        headers = {"Last-Modified": TIME, "ETag": '"e"', "Accept-Ranges": "bytes"}
        if fault in ("short", "empty", "foreign", "html"):
            self._send(method, 200, _faulty(content, fault), headers)
            return
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", range_)
        status, body = 200, content
        if found:
            first, last = int(found[1]), min(int(found[2] or len(content) - 1), len(content) - 1)
            status, body = 206, content[first : last + 1]
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        if fault == "half":
            self._transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode())
            self._transport.write(body[: len(body) // 2])
            self._transport.close()
        elif fault == "plain":
            self._transport.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)
            self._transport.close()
        elif fault == "abc":
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n" + body)
            self._transport.close()
        else:
            self._send(method, status, body, headers)

    def _send(self, method: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        head = f"HTTP/1.1 {status} Fault\r\n{lines}Content-Length: {len(body)}\r\nx-amz-request-id: 1\r\n\r\n"
        self._store.waiting -= 1
        self._busy = False
        self._transport.write(head.encode() + (b"" if method == "HEAD" else body))


@contextmanager
def serving(store: ObjectStore, tls: ssl.SSLContext | None = None) -> Iterator[ObjectStore]:
    """Runs the server in a thread until the block ends."""
    started = threading.Event()
    loop = store.loop = asyncio.new_event_loop()
    ends: asyncio.Future[None] = loop.create_future()  # an Event of Python 3.9 would belong to another loop

    async def serve() -> None:
        server = await loop.create_server(lambda: _Connection(store), "127.0.0.1", 0, ssl=tls, backlog=1024)
        store.port = server.sockets[0].getsockname()[1]
        started.set()
        await ends
        server.close()
        for transport in list(store.open):
            transport.abort()
        await asyncio.sleep(0.05)  # for the transports to go

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait()
    try:
        yield store
    finally:
        loop.call_soon_threadsafe(ends.set_result, None)
        thread.join()

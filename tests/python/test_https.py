"""`fetch` over https: a real server on this machine, its connections, redirections, faults and lengths."""

from __future__ import annotations

import base64
import functools
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from certificates import trusted_context
from object_store import ObjectStore, serving

from sparkcider.storage import faults
from sparkcider.storage.fetch import Fetched, fetch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

quick = functools.partial(fetch, timeout=1)


def content(number: int) -> bytes:
    return bytes([number]) * (1000 + number)


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An https server of 100 files with a certificate that this process trusts."""
    context = trusted_context(tmp_path, monkeypatch)
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    with serving(ObjectStore({f"b/{number}": content(number) for number in range(100)}), context) as store:
        yield store


def urls(store: ObjectStore, *names: str) -> list[str]:
    return [f"https://localhost:{store.port}/b/{name}" for name in names]


def test_https_is_read_over_kept_connections(https: ObjectStore):
    https.delay = 0.005
    found = list(fetch(urls(https, *map(str, range(100)), *map(str, range(100))), in_flight=8))
    assert found == [Fetched(content(number), None) for number in [*range(100)] * 2]
    assert https.most_at_once == 8
    assert https.connected == 8


def test_https_faults(https: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    https.faults.update({"b/1": ["503"], "b/2": ["reset"], "b/3": ["half", "half"], "b/4": ["plain"], "b/5": ["429"]})
    https.always.update({"b/6": "403", "b/7": "404", "b/8": "500", "b/9": "hang", "b/10": "410"})
    https.redirects.update({"b/11": "/b/20", "b/12": "/b/12", "b/13": f"http://localhost:{https.port}/b/20"})
    https.redirects.update({"b/14": urls(https, "21")[0]})
    found = list(quick(urls(https, *map(str, range(15)), "a b/é"), retries=2))
    assert [fetched.content for fetched in found[:6]] == [content(number) for number in range(6)]
    assert [fetched.reason for fetched in found[6:11]] == [
        "no permission: HTTP status 403 Fault",
        "not found",
        "cannot be read: HTTP status 500 Fault (tried 3 times)",
        "cannot be read: The read operation timed out (tried 3 times)",
        "not found",
    ]
    assert [found[11].content, found[14].content] == [content(20), content(21)]
    assert found[12].reason == "cannot be read: redirected more than 5 times"
    assert found[13].reason == "cannot be read: HTTP status 302: redirected to what is not https"
    assert found[15].reason == "not found"
    https.faults.update({"b/1": ["abc"], "b/2": ["short"], "b/3": ["empty", "foreign"]})
    https.always.update({"b/4": "abc", "b/5": "short"})
    found = list(quick(urls(https, *map(str, range(6))), lengths=map(len, map(content, range(6))), retries=2))
    assert [fetched.content for fetched in found[:4]] == [content(number) for number in range(4)]
    assert [fetched.reason for fetched in found[4:]] == [
        "cannot be read: Content-Length is 'abc', not a number (tried 3 times)",
        "cannot be read: 502 bytes came, 1,005 were stated (tried 3 times)",
    ]
    monkeypatch.delenv("SSL_CERT_FILE")
    [strange] = fetch(urls(https, "0"))
    assert "certificate" in str(strange.reason)
    assert "tried" not in str(strange.reason)


def test_a_server_that_closes_kept_connections_costs_no_retry(https: ObjectStore):
    found = fetch(urls(https, "0", *["1"] * 600), in_flight=1, retries=0)
    assert next(found).content == content(0)
    https.drop_connections()
    assert all(fetched.content for fetched in found)


def test_the_environments_proxy_is_used(https: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody there
    [fetched] = fetch(urls(https, "0"), retries=0)
    assert "refused" in str(fetched.reason)
    monkeypatch.setenv("no_proxy", "localhost")
    assert next(fetch(urls(https, "0"))).content == content(0)


def test_the_proxys_user_and_password_are_sent_to_it_alone(https: ObjectStore, monkeypatch: pytest.MonkeyPatch):
    heads = []

    def proxy(server: socket.socket) -> None:
        with server.accept()[0] as connection:
            heads.append(connection.recv(4096).decode())
            connection.sendall(b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=proxy, args=(server,))
        thread.start()
        monkeypatch.setenv("https_proxy", f"http://me:SEC%2FRET@127.0.0.1:{server.getsockname()[1]}")
        [fetched] = fetch(urls(https, "0"), retries=0)
        thread.join()
    assert f"Proxy-Authorization: Basic {base64.b64encode(b'me:SEC/RET').decode()}\r\n" in heads[0]
    assert "407" in str(fetched.reason)
    assert "SEC" not in str(fetched.reason)
    assert not https.requests


def test_a_query_is_not_in_a_reason(https: ObjectStore):
    https.always["b/8"] = "500"
    [fetched] = fetch([f"{urls(https, '8')[0]}?signature=SECRET"], retries=0)
    assert fetched.reason == "cannot be read: HTTP status 500 Fault"

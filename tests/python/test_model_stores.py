"""Models of stores: what is brought, what is kept, what is refused; from real servers on this machine."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from certificates import trusted_context

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.models import cache as model_cache
from sparkcider.storage import remote as stores
from sparkcider.storage.uri import redacted_uri

if TYPE_CHECKING:
    from collections.abc import Iterator


DATA = Path(__file__).parent.parent / "data"
TINY = DATA / "tiny_nchw.onnx"
CHECKSUM = sha256(TINY.read_bytes()).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# The cache


def remote(content: bytes, size: int | None, version: str | None) -> Any:
    @contextlib.contextmanager
    def open_remote(uri: str) -> Iterator[stores.Remote]:
        remote.calls.append(uri)  # type: ignore[attr-defined]
        yield stores.Remote(io.BytesIO(content), size, version)

    remote.calls = []  # type: ignore[attr-defined]
    return open_remote


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, *, size: int | None = None, version: str | None) -> None:
    monkeypatch.setattr(model_cache, "open_remote", remote(content, len(content) if size is None else size, version))


def test_what_comes_is_kept_under_its_checksum(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TINY.read_bytes(), version="1")
    path = Path(models.resolve("s3://bucket/model.onnx"))
    assert path == cache / "models" / f"{CHECKSUM}.onnx"
    assert path.read_bytes() == TINY.read_bytes()
    FeatureExtractor(path)


def test_half_a_file_is_refused_and_never_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = TINY.read_bytes()
    serve(monkeypatch, whole[:-100], size=len(whole), version="1")
    with pytest.raises(
        ModelError, match=rf"^s3://bucket/model\.onnx is cut short: {len(whole) - 100:,} of {len(whole):,} "
    ):
        models.resolve("s3://bucket/model.onnx")
    assert files(cache) == []


def test_what_is_no_onnx_is_refused_and_never_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, b"<html>please log in</html>", version="1")
    with pytest.raises(ModelError, match=r"^model https://host/model\.onnx: cannot read ONNX graph: "):
        models.resolve("https://host/model.onnx")
    assert files(cache) == []


def test_a_wrong_checksum_is_refused_and_never_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TINY.read_bytes(), version="1")
    with pytest.raises(ModelError, match=rf"^s3://bucket/model\.onnx has checksum {CHECKSUM}, expected {'0' * 64}$"):
        models.resolve(f"s3://bucket/model.onnx#sha256={'0' * 64}")
    assert files(cache) == []


def test_a_damaged_cached_file_is_brought_again(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TINY.read_bytes(), version="1")
    path = Path(models.resolve("s3://bucket/model.onnx"))
    path.write_bytes(b"damaged")
    assert models.resolve("s3://bucket/model.onnx") == str(path)
    assert path.read_bytes() == TINY.read_bytes()
    path.write_bytes(b"damaged")
    models.resolve(f"s3://bucket/model.onnx#sha256={CHECKSUM}")
    assert path.read_bytes() == TINY.read_bytes()


def test_a_known_checksum_asks_no_store(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TINY.read_bytes(), version="1")
    reference = f"s3://bucket/model.onnx#sha256={CHECKSUM}"
    first = models.resolve(reference)
    assert remote.calls == ["s3://bucket/model.onnx"]  # type: ignore[attr-defined]
    assert models.resolve(reference) == first
    assert len(remote.calls) == 1  # type: ignore[attr-defined]


def test_a_new_version_is_brought(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, TINY.read_bytes(), version="1")
    first = models.resolve("s3://bucket/model.onnx")
    other = (DATA / "tiny_nhwc.onnx").read_bytes()
    serve(monkeypatch, other, version="2")
    second = models.resolve("s3://bucket/model.onnx")
    assert second != first
    assert Path(second).read_bytes() == other


# Secrets


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://KEY:SECRET@bucket/a.onnx?region=eu", "s3://bucket/a.onnx"),
        ("https://user:SECRET@host:8443/a.onnx?X-Amz-Signature=SECRET#x", "https://host:8443/a.onnx"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, expected: str) -> None:
    assert redacted_uri(uri) == expected


def test_errors_of_stores_name_no_secret() -> None:
    uri = "s3://KEY:SECRET@/broken?endpoint_override=SECRET"
    with pytest.raises(ModelError) as caught:
        models.resolve(uri)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


# Real servers on this machine


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Address of an S3 server with a bucket `models`."""
    pytest.importorskip("moto.server", reason="needs moto[server]")
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with contextlib.suppress(OSError):
                request = urllib.request.Request(f"http://127.0.0.1:{port}/models", method="PUT")
                urllib.request.urlopen(request, timeout=5).close()  # noqa: S310 - its own server
                break
            time.sleep(0.1)
        yield f"127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


@pytest.fixture
def s3_query(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "KEY",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return f"endpoint_override={s3}&scheme=http&region=us-east-1"


def test_s3_is_written_and_read(s3_query: str) -> None:
    uri = f"s3://models/folder/tiny.onnx?{s3_query}"
    stores.upload(TINY, uri)
    path = Path(models.resolve(uri))
    assert path.read_bytes() == TINY.read_bytes()
    assert models.resolve(uri.replace("s3://", "s3a://") + f"#sha256={CHECKSUM}") == str(path)
    assert models.show(uri).checksum == CHECKSUM


def test_s3_brings_another_version(s3_query: str) -> None:
    uri = f"s3://models/changes.onnx?{s3_query}"
    stores.upload(TINY, uri)
    assert Path(models.resolve(uri)).read_bytes() == TINY.read_bytes()
    stores.upload(DATA / "tiny_nhwc.onnx", uri)
    assert Path(models.resolve(uri)).read_bytes() == (DATA / "tiny_nhwc.onnx").read_bytes()


def test_s3_without_the_object_is_not_found(s3_query: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: s3://models/nowhere\.onnx$"):
        models.resolve(f"s3://models/nowhere.onnx?{s3_query}")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the test models; `half.onnx` breaks off in the middle."""

    requests: list[str] = []  # noqa: RUF012 - read by the tests

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.startswith("/half"):
            self.send_response(200)
            self.send_header("Content-Length", str(TINY.stat().st_size))
            self.end_headers()
            self.wfile.write(TINY.read_bytes()[:-50])
            self.close_connection = True
        else:
            super().do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def https(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of an HTTPS server of the test models, with a certificate that this process trusts."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(DATA)))
    context = trusted_context(tmp_path, monkeypatch)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    Handler.requests.clear()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"https://localhost:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_https_is_read_and_cached(https: str, cache: Path) -> None:
    path = Path(models.resolve(f"{https}/tiny_nchw.onnx"))
    assert path.read_bytes() == TINY.read_bytes()
    models.resolve(f"{https}/tiny_nchw.onnx")
    models.resolve(f"{https}/tiny_nchw.onnx#sha256={CHECKSUM}")
    assert len(Handler.requests) == 2
    assert files(cache / "models") == [f"{CHECKSUM}.onnx"]


def test_https_that_breaks_off_is_refused(https: str, cache: Path) -> None:
    with pytest.raises(ModelError, match=r"half\.onnx is cut short"):
        models.resolve(f"{https}/half.onnx")
    assert files(cache) == []


def test_https_without_the_file_is_not_found(https: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: https://localhost:\d+/nowhere\.onnx$"):
        models.resolve(f"{https}/nowhere.onnx?signature=SECRET")


def test_https_with_a_strange_certificate_is_refused(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(ModelError, match=r"cannot be read: .*certificate"):
        models.resolve(f"{https}/tiny_nchw.onnx")


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^https://localhost:\d+/x\.onnx cannot be read: [^\n]*refused[^\n]*$"):
        models.resolve(f"https://localhost:{free_port()}/x.onnx")
    assert model_cache.folder().name == "cache"

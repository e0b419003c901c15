"""Models of stores: what is brought, what is kept, what is refused; from real servers on this machine."""

from __future__ import annotations

import contextlib
import functools
import http.server
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
from object_store import ObjectStore, serving

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.models import cache as model_cache
from sparkcider.storage import faults
from sparkcider.storage.files import upload

if TYPE_CHECKING:
    from collections.abc import Iterator


DATA = Path(__file__).parent.parent / "data"
TINY = DATA / "tiny_nchw.onnx"
MODEL = "bucket/model.onnx"
CHECKSUM = sha256(TINY.read_bytes()).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# The cache


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server with the object `bucket/model.onnx`, that this process's environment names."""
    monkeypatch.setattr(faults, "FIRST_PAUSE", 0.01)
    with serving(ObjectStore({MODEL: TINY.read_bytes()})) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store


def test_what_comes_is_kept_under_its_checksum(cache: Path, bucket: ObjectStore) -> None:
    path = Path(models.resolve(f"s3://{MODEL}"))
    assert path == cache / "models" / f"{CHECKSUM}.onnx"
    assert path.read_bytes() == bucket.objects[MODEL]
    FeatureExtractor(path)


@pytest.mark.parametrize("fault", ["503 SlowDown", "reset", "half", "short", "empty", "foreign"])
def test_a_fault_that_passes_is_tried_again(cache: Path, bucket: ObjectStore, fault: str) -> None:
    bucket.faults[MODEL] = ["", "", fault, fault]  # the size and the time are right
    assert Path(models.resolve(f"s3://{MODEL}")).read_bytes() == TINY.read_bytes()
    assert not bucket.faults[MODEL]
    assert files(cache / "models") == [f"{CHECKSUM}.onnx"]


def test_faults_that_last_are_refused_and_never_cached(cache: Path, bucket: ObjectStore) -> None:
    for fault, reason in {
        "503 SlowDown": r"cannot be read: SlowDown: said by the store \(tried 5 times\)",
        "400 ExpiredToken": "cannot be read: ExpiredToken: said by the store",
        "403 AccessDenied": "no permission: AccessDenied: said by the store",
    }.items():
        bucket.always[MODEL] = fault
        with pytest.raises(ModelError, match=rf"^s3a://{MODEL}: {reason}$"):
            models.resolve(f"s3a://{MODEL}")
    bucket.always.clear()
    bucket.faults[MODEL] = ["", "", "short", "short"] * 5
    with pytest.raises(ModelError, match=r"model\.onnx: cannot be read: fewer bytes came .* \(tried 5 times\)$"):
        models.resolve(f"s3://{MODEL}#sha256={CHECKSUM}")
    assert files(cache) == []


def test_what_is_no_onnx_is_refused_and_never_cached(cache: Path, bucket: ObjectStore) -> None:
    bucket.objects[MODEL] = b"<html>please log in</html>"
    with pytest.raises(ModelError, match=rf"^model s3://{MODEL}: cannot read ONNX graph: "):
        models.resolve(f"s3://{MODEL}")
    assert files(cache) == []


def test_a_wrong_checksum_is_refused_and_never_cached(cache: Path, bucket: ObjectStore) -> None:
    assert bucket.objects
    with pytest.raises(ModelError, match=rf"^s3://{MODEL} has checksum {CHECKSUM}, expected {'0' * 64}$"):
        models.resolve(f"s3://{MODEL}#sha256={'0' * 64}")
    assert files(cache) == []


def test_a_damaged_cached_file_is_brought_again(bucket: ObjectStore) -> None:
    path = Path(models.resolve(f"s3://{MODEL}"))
    path.write_bytes(b"damaged")
    assert models.resolve(f"s3://{MODEL}") == str(path)
    assert path.read_bytes() == bucket.objects[MODEL]
    path.write_bytes(b"damaged")
    models.resolve(f"s3://{MODEL}#sha256={CHECKSUM}")
    assert path.read_bytes() == TINY.read_bytes()


def test_a_known_checksum_asks_no_store(bucket: ObjectStore) -> None:
    first = models.resolve(f"s3://{MODEL}#sha256={CHECKSUM}")
    before = bucket.requests.copy()
    assert before[f"GET {MODEL}"] == 1
    assert models.resolve(f"s3://{MODEL}#sha256={CHECKSUM}") == first
    assert bucket.requests == before


def test_a_new_version_is_brought(bucket: ObjectStore) -> None:
    first = models.resolve(f"s3://{MODEL}")
    assert models.resolve(f"s3://{MODEL}") == first
    assert bucket.requests[f"GET {MODEL}"] == 1
    other = bucket.objects[MODEL] = (DATA / "tiny_nhwc.onnx").read_bytes()
    second = models.resolve(f"s3://{MODEL}")
    assert second != first
    assert Path(second).read_bytes() == other


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
def models_bucket(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ACCESS_KEY_ID": "KEY",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{s3}",
    }.items():
        monkeypatch.setenv(name, value)
    return "s3://models"


def test_s3_is_written_and_read(models_bucket: str) -> None:
    uri = f"{models_bucket}/folder/tiny.onnx"
    upload(TINY, uri)
    path = Path(models.resolve(uri))
    assert path.read_bytes() == TINY.read_bytes()
    assert models.resolve(uri.replace("s3://", "s3a://") + f"#sha256={CHECKSUM}") == str(path)
    assert models.show(uri).checksum == CHECKSUM


def test_s3_brings_another_version(models_bucket: str) -> None:
    uri = f"{models_bucket}/changes.onnx"
    upload(TINY, uri)
    assert Path(models.resolve(uri)).read_bytes() == TINY.read_bytes()
    upload(DATA / "tiny_nhwc.onnx", uri)
    assert Path(models.resolve(uri)).read_bytes() == (DATA / "tiny_nhwc.onnx").read_bytes()


def test_s3_without_the_object_is_not_found(models_bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: s3://models/nowhere\.onnx$"):
        models.resolve(f"{models_bucket}/nowhere.onnx")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves the test models; `half.onnx` breaks off in the middle, `abc.onnx` has no length, `away` sends away."""

    requests: list[str] = []  # noqa: RUF012 - read by the tests

    def do_GET(self) -> None:
        self.requests.append(self.path)
        if self.path.startswith("/away/"):
            self.send_response(302)
            self.send_header("Location", self.path[len("/away/") :])
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif self.path.startswith("/abc"):
            self.send_response(200)
            self.send_header("Content-Length", "abc")
            self.end_headers()
            self.close_connection = True
        elif self.path.startswith("/half"):
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
    size = TINY.stat().st_size
    reason = rf"cannot be read: {size - 50:,} bytes came, {size:,} were stated \(tried 5 times\)"
    with pytest.raises(ModelError, match=rf"half\.onnx: {reason}$"):
        models.resolve(f"{https}/half.onnx")
    with pytest.raises(ModelError, match=r"abc\.onnx: cannot be read: Content-Length is 'abc', not a number"):
        models.resolve(f"{https}/abc.onnx")
    assert files(cache) == []


def test_a_redirection_leads_to_https_only(https: str) -> None:
    assert Path(models.resolve(f"{https}/away//tiny_nchw.onnx")).read_bytes() == TINY.read_bytes()
    for target in (f"http{https[len('https') :]}/tiny_nchw.onnx", "http:/x", "ftp://localhost/x", "file:///etc/passwd"):
        with pytest.raises(ModelError, match=r"cannot be read: HTTP status 302: redirected to what is not https$"):
            models.resolve(f"{https}/away/{target}")


def test_https_without_the_file_is_not_found(https: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: https://localhost:\d+/nowhere\.onnx$"):
        models.resolve(f"{https}/nowhere.onnx?signature=SECRET")


def test_https_with_a_strange_certificate_is_refused(https: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with pytest.raises(ModelError, match=r"cannot be read: .*certificate"):
        models.resolve(f"{https}/tiny_nchw.onnx")


def test_a_server_that_is_not_there_is_one_line() -> None:
    with pytest.raises(ModelError, match=r"^https://localhost:\d+/x\.onnx: cannot be read: [^\n]*refused[^\n]*$"):
        models.resolve(f"https://localhost:{free_port()}/x.onnx")
    assert model_cache.folder().name == "cache"

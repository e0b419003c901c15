"""What a URI means: the same to a model, an image, a result and a listing; and no secret in it is kept or shown."""

from __future__ import annotations

import socket
import urllib.parse
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from object_store import ObjectStore, serving

from sparkcider import FeatureExtractor, ModelError, models
from sparkcider.job import JobConfig
from sparkcider.models import descriptions
from sparkcider.storage import uri as uris
from sparkcider.storage.fetch import fetch
from sparkcider.storage.files import ArrowFiles
from sparkcider.storage.listing import list_files
from sparkcider.storage.uri import arrow_uri, check_uri, full_uri, redacted_uri, store_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = Path(__file__).parent.parent / "data" / "tiny_nchw.onnx"
CHECKSUM = sha256(TINY.read_bytes()).hexdigest()


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """An S3 server that this process's environment names."""
    with serving(ObjectStore()) as store:
        for name, value in store.environment.items():
            monkeypatch.setenv(name, value)
        yield store


@pytest.mark.parametrize("name", ["a%20b.onnx", "a b.onnx", "é+?x=1#y.onnx", "%2e.onnx"])
@pytest.mark.parametrize("start", ["file:", "file://", "FILE:", "local:"])
def test_nothing_is_decoded_in_a_local_uri(tmp_path: Path, start: str, name: str) -> None:
    file = tmp_path / name
    file.write_bytes(TINY.read_bytes())
    (tmp_path / urllib.parse.unquote(name)).touch()  # what it would be
    file.write_bytes(TINY.read_bytes())
    uri = f"{start}{file}"
    assert models.resolve(uri) == models.resolve(f"{uri}#sha256={CHECKSUM}") == str(file)
    if start != "local:":
        assert [fetched.content for fetched in fetch([uri])] == [TINY.read_bytes()]
        assert full_uri(uri) == f"file:{file}"
        (tmp_path / "said.json").write_text("{}")
        with pytest.raises(ModelError, match=r"said\.json does not describe"):
            descriptions.read(f"{start}{tmp_path}/said.json")


@pytest.mark.parametrize("scheme", ["s3", "s3a", "s3n", "S3"])
@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("a%20b.onnx", "a%20b.onnx"),
        ("a b.onnx", "a b.onnx"),
        ("é+?x=1#y.onnx", "é+?x=1#y.onnx"),
        ("a//b.onnx", "a/b.onnx"),
        ("a/./c/../b.onnx", "a/b.onnx"),
    ],
)
def test_nothing_is_decoded_in_the_uri_of_a_store(bucket: ObjectStore, scheme: str, written: str, key: str) -> None:
    bucket.objects = {f"bucket/{key}": TINY.read_bytes()}
    uri = f"{scheme}://bucket/{written}"
    assert Path(models.resolve(uri)).read_bytes() == TINY.read_bytes()
    assert models.resolve(f"{uri}#sha256={CHECKSUM}") == models.resolve(uri)
    assert [fetched.content for fetched in fetch([uri])] == [TINY.read_bytes()]
    assert ArrowFiles(uri).read(uri) == TINY.read_bytes()
    if "*?[{".find(written) < 0 and "?" not in written:
        assert list_files(uri)["path"].to_pylist() == [f"{scheme.lower()}://bucket/{key}"]


@pytest.mark.parametrize(
    ("uri", "parts"),
    [
        ("gs://bucket/a%20b", ("gs", "bucket", "a%20b")),
        ("gcs://bucket/a", ("gs", "bucket", "a")),
        ("abfss://container@a.dfs.core.windows.net/a%2Fb", ("abfss", "container@a.dfs.core.windows.net", "a%2Fb")),
        ("abfs://container@account/a/", ("abfss", "container@account", "a")),
        ("hdfs://name:8020/a b", ("hdfs", "name:8020", "a b")),
        ("hdfs:///a", ("hdfs", "", "a")),
        ("s3a://bucket", ("s3", "bucket", "")),
    ],
)  # fmt: skip
def test_the_parts_of_other_stores(uri: str, parts: tuple[str, str, str]) -> None:
    assert store_parts(arrow_uri(uri)) == parts
    check_uri(uri)


def test_dbfs_is_the_file_that_is_mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uris, "DBFS_MOUNT", str(tmp_path))
    (tmp_path / "a%20b.onnx").write_bytes(TINY.read_bytes())
    assert models.resolve("dbfs:/a%20b.onnx") == f"{tmp_path}/a%20b.onnx"
    assert [fetched.content for fetched in fetch(["dbfs:/a%20b.onnx"])] == [TINY.read_bytes()]
    assert list_files("dbfs:/a%20b.onnx")["path"].to_pylist() == [f"file:{tmp_path}/a%20b.onnx"]


@pytest.mark.parametrize("uri", ["file:a.onnx", "file://host/a.onnx"])
def test_a_file_of_another_host_or_of_no_folder_is_refused(uri: str) -> None:
    for opened in (models.resolve, full_uri, list_files, lambda path: list(fetch([path]))):
        with pytest.raises(ValueError, match=f"^a URI of a file is file:/ABSOLUTE/PATH, got {uri}$"):
            opened(uri)


# Secrets


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://KEY:SECRET@bucket/a.onnx?region=eu", "s3://bucket/a.onnx"),
        ("https://user:SECRET@host:8443/a.onnx?X-Amz-Signature=SECRET#x", "https://host:8443/a.onnx"),
        ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
        ("s3a://KEY:SEC/SECRET@bucket/a.onnx", "s3a://bucket/a.onnx"),
        ("https://user:SEC/SECRET@host/a@b.onnx?x=y@SECRET", "https://b.onnx"),
        ("s3://KEY:SE?SECRET/RET@bucket/a", "s3://***"),
        ("s3://bucket/a?secret_key=SECRET", "s3://***"),
        ("https://[::1]:8443/a@b", "https://[::1]:8443/a@b"),
        ("hdfs://name:8020/a@b", "hdfs://name:8020/a@b"),
        ("/a?b#c@d", "/a?b#c@d"),
    ],
)
def test_a_uri_is_shown_without_its_secrets(uri: str, expected: str) -> None:
    assert redacted_uri(uri) == expected


@pytest.mark.parametrize(
    "uri",
    [
        "s3://KEY:SECRET@bucket/a.onnx", "s3a://KEY:SEC/SECRET@bucket/a.onnx", "https://user:SECRET@host/a.onnx",
        "https://user:SEC/SECRET@host/a.onnx", "https://SECRET@host/a.onnx", "s3://bucket/a?secret_key=SECRET",
        "abfss://container:SECRET@account/a", "hdfs://user:SECRET@name:8020/a", "gs://KEY:1234/SECRET@bucket/a",
    ],
)  # fmt: skip
@pytest.mark.parametrize("checksum", ["", f"#sha256={CHECKSUM}"])
def test_a_password_is_refused_before_any_request(
    bucket: ObjectStore, monkeypatch: pytest.MonkeyPatch, uri: str, checksum: str
) -> None:
    monkeypatch.setattr(socket.socket, "connect", None)  # Python's own
    models.resolve(TINY)
    for opened in (models.resolve, FeatureExtractor, lambda name: descriptions.read(name.partition("#")[0])):
        with pytest.raises(ValueError, match="has a password in it; leave it to the environment") as caught:
            opened(uri + checksum)
        assert "SECRET" not in str(caught.value)
    assert not bucket.requests
    for part in ("input", "output", "model"):
        with pytest.raises(ValueError, match=f"^{part} has a password in its URI; ") as caught:
            JobConfig(**{"input": "in", "output": "out", "model": "pixels", part: uri})
        assert "SECRET" not in str(caught.value)


def test_options_of_pyarrow_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"^s3://b/a has options behind a `\?`.* variable AWS_ENDPOINT_URL"):
        models.resolve("s3://b/a?region=x&endpoint_override=y")

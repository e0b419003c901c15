"""Models by name, path and URI: what is found, what is cached, what is refused, and in which words."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider import FeatureExtractor, ModelError, _cache, _storage, models

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import DataFrame, SparkSession

DATA = Path(__file__).parent.parent / "data"
TINY = DATA / "tiny_nchw.onnx"
CHECKSUM = sha256(TINY.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of each test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("SPARKCIDER_CACHE", str(folder))
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Names and paths


def test_pixels_is_no_file() -> None:
    assert models.resolve("pixels") == "pixels"


def test_a_path_is_taken_as_it_is_and_its_checksum_checked() -> None:
    assert models.resolve(str(TINY)) == str(TINY)
    assert models.resolve(TINY) == str(TINY)
    assert models.resolve(f"{TINY}#sha256={CHECKSUM}") == str(TINY)
    assert models.resolve(TINY.as_uri()) == str(TINY)
    assert models.resolve(f"{TINY.as_uri()}#sha256={CHECKSUM.upper()}") == str(TINY)
    assert models.resolve(f"local:{TINY}") == str(TINY)


def test_another_checksum_is_refused() -> None:
    with pytest.raises(ModelError, match=rf"has checksum {CHECKSUM}, expected {'0' * 64}$"):
        models.resolve(f"{TINY}#sha256={'0' * 64}")


def test_half_a_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^#sha256= takes 64 hexadecimal digits, got 'abc'$"):
        models.resolve(f"{TINY}#sha256=abc")


@pytest.mark.parametrize("path", ["nowhere/model.onnx", "nowhere.onnx", "local:/nowhere/x", "file:///nowhere/x"])
def test_a_missing_file_is_named(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: .*nowhere"):
        models.resolve(path)


def test_an_unknown_name_brings_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"^no model is called resnet5; near: resnet50, "):
        models.resolve("resnet5")
    with pytest.raises(ValueError, match=r"^no model is called qqqq; give a name of the registry, or the path"):
        models.resolve("qqqq")


def test_a_name_that_was_not_exported_brings_the_command() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^model resnet50 is not on this machine: `sparkcider export resnet50`"
    ):
        models.resolve("ResNet50")


def test_an_exported_name_is_found_in_every_spelling(cache: Path) -> None:
    (cache / "named").mkdir(parents=True)
    shutil.copy(TINY, cache / "named" / "mobilenet_v2.onnx")
    for name in ("mobilenet_v2", "MobileNetV2", "mobilenetv2", "MobileNet-V2"):
        assert models.resolve(name) == str(cache / "named" / "mobilenet_v2.onnx")


def test_an_embedded_model_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(TINY, tmp_path / "tiny-net.onnx")
    monkeypatch.setattr(models, "_EMBEDDED", tmp_path)
    assert models.resolve("tiny_net") == str(tmp_path / "tiny-net.onnx")
    with pytest.raises(ValueError, match=r"^no model is called tiny_nut; near: tiny-net"):
        models.resolve("tiny_nut")


def test_an_unknown_scheme_brings_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"^a URI begins with one of file://, s3://, gs://, abfss://, .*got ftp://a/b$"
    ):
        models.resolve("ftp://a/b")


# What a file says


def test_show_tells_what_the_file_says() -> None:
    card = models.show(TINY)
    assert card.checksum == CHECKSUM
    assert card.opset == 17
    assert card.inputs == [("image", [0, 3, 16, 16])]
    assert card.outputs == [("features", [0, 4]), ("map", [0, 4, 4, 4])]
    assert card.metadata == {"normalization": "torch", "filter": "bilinear"}


def test_show_refuses_what_is_no_onnx(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("this is no network")
    with pytest.raises(ModelError, match=r"text\.onnx: cannot read ONNX graph: "):
        models.show(text)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match=r"empty\.onnx: cannot read ONNX graph: there is no graph in it$"):
        models.show(tmp_path / "empty.onnx")


def test_pixels_has_nothing_to_show() -> None:
    with pytest.raises(ValueError, match=r"^pixels is no file"):
        models.show("pixels")


def test_layers_are_the_vectors_and_maps_in_order() -> None:
    assert models.layers(TINY) == [
        ("map", "Conv", (4, 4, 4)),
        ("pooled", "GlobalAveragePool", (4, 1, 1)),
        ("features", "Flatten", (4,)),
    ]
    assert [layer.name for layer in models.layers(DATA / "tiny_nhwc.onnx")] == ["image", "map", "map_nhwc"]
    assert models.layers(DATA / "fixed_batch.onnx")[-1] == ("features", "Flatten", (4,))


def test_each_layer_can_be_taken() -> None:
    for name, _, shape in models.layers(TINY):
        extractor = FeatureExtractor(TINY, layer=name, pooling="flatten")
        width = 1
        for axis in shape:
            width *= axis
        assert extractor.embedding_dim == width


def test_layers_of_a_network_of_any_size_need_one() -> None:
    with pytest.raises(ValueError, match=r"^input_size must be given as .*takes images of any size$"):
        models.layers(DATA / "any_size.onnx")
    assert models.layers(DATA / "any_size.onnx", input_size=32)[0] == ("map", "Conv", (4, 8, 8))
    assert models.layers(DATA / "any_size.onnx", input_size=(16, 32))[0] == ("map", "Conv", (4, 4, 8))


def test_layers_of_a_real_classifier(test_data: Path) -> None:
    found = {name: shape for name, _, shape in models.layers(test_data / "models" / "mobilenetv2_imagenet.onnx")}
    assert (1280,) in found.values()
    assert len(found) > 100


# Files that no extractor can take


def onnx_file(path: Path, shape: list[int | str] | None, *, opset: int = 17, external: bool = False) -> Path:
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    kernel = onnx.numpy_helper.from_array(__import__("numpy").ones((4, 3, 1, 1), "float32"), "kernel")
    if external:
        kernel.data_location = tensor.EXTERNAL
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["map"])],
        "net",
        [helper.make_tensor_value_info("image", tensor.FLOAT, shape)],
        [helper.make_tensor_value_info("map", tensor.FLOAT, None)],
        [kernel],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_input_of_open_rank_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "open.onnx", None)
    with pytest.raises(ModelError, match=r"expects an image input of rank 4, but its graph leaves the rank .* open$"):
        FeatureExtractor(path, normalization="raw")
    assert models.show(path).inputs == [("image", None)]


def test_an_opset_of_the_future_is_refused_in_one_line(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "future.onnx", ["N", 3, 8, 8], opset=99)
    with pytest.raises(ModelError, match=r"(?i)^model .*future\.onnx: .*opset 99[^\n]*$"):
        FeatureExtractor(path, normalization="raw")


def test_several_image_inputs_are_named() -> None:
    with pytest.raises(ModelError, match=r"expects one image input, found 2: image, other$"):
        FeatureExtractor(DATA / "two_inputs.onnx", normalization="raw")


def test_weights_in_other_files_are_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "outside.onnx", ["N", 3, 8, 8], external=True)
    with pytest.raises(ModelError, match=r"outside\.onnx: its weights lie in other files: .*save it as one file"):
        models.resolve(path)


# The cache


def remote(content: bytes, size: int | None, version: str | None) -> Any:
    @contextlib.contextmanager
    def open_remote(uri: str) -> Iterator[_storage.Remote]:
        remote.calls.append(uri)  # type: ignore[attr-defined]
        yield _storage.Remote(io.BytesIO(content), size, version)

    remote.calls = []  # type: ignore[attr-defined]
    return open_remote


def serve(monkeypatch: pytest.MonkeyPatch, content: bytes, *, size: int | None = None, version: str | None) -> None:
    monkeypatch.setattr(_storage, "open_remote", remote(content, len(content) if size is None else size, version))


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


def test_a_damaged_cached_file_is_brought_anew(monkeypatch: pytest.MonkeyPatch) -> None:
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
    assert _storage.shown(uri) == expected


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
    _storage.upload(TINY, uri)
    path = Path(models.resolve(uri))
    assert path.read_bytes() == TINY.read_bytes()
    assert models.resolve(uri.replace("s3://", "s3a://") + f"#sha256={CHECKSUM}") == str(path)
    assert models.show(uri).checksum == CHECKSUM


def test_s3_brings_another_version(s3_query: str) -> None:
    uri = f"s3://models/changes.onnx?{s3_query}"
    _storage.upload(TINY, uri)
    assert Path(models.resolve(uri)).read_bytes() == TINY.read_bytes()
    _storage.upload(DATA / "tiny_nhwc.onnx", uri)
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
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl for a certificate")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make, *names], check=True, capture_output=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(DATA)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
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
    assert _cache.folder().name == "cache"


# Spark


def one_image(spark: SparkSession) -> DataFrame:
    import numpy as np

    from sparkcider._export import bmp

    image = bmp(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))
    return spark.createDataFrame([(image,)], "content binary")


def expected(frame: DataFrame) -> list[float]:
    import pyarrow as pa

    found: list[float] = FeatureExtractor(TINY).extract(pa.array([frame.first().content]))[0][0].as_py()
    return found


def test_spark_takes_names_and_checked_uris(spark: SparkSession, cache: Path) -> None:
    from sparkcider.functions import image_features

    (cache / "named").mkdir(parents=True)
    shutil.copy(TINY, cache / "named" / "mobilenet_v2.onnx")
    frame = one_image(spark)
    for model in ("mobilenet_v2", f"{TINY.as_uri()}#sha256={CHECKSUM}"):
        assert frame.select(image_features("content", model=model).alias("f")).first().f == expected(frame)


def test_a_preplaced_model_is_not_sent(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparkcider import functions

    def refuse(*_: Any) -> None:
        raise AssertionError("sent")

    monkeypatch.setattr(functions, "deliver", refuse)
    placed = tmp_path / "placed.onnx"
    shutil.copy(TINY, placed)
    frame = one_image(spark)
    column = functions.image_features("content", model=f"local:{placed}").alias("f")
    assert frame.select(column).first().f == expected(frame)


def test_spark_is_told_of_a_bad_name_before_any_job(spark: SparkSession) -> None:
    from sparkcider.functions import image_features

    assert spark.version
    with pytest.raises(ValueError, match=r"^no model is called resnet5; near: resnet50"):
        image_features("content", model="resnet5")

"""`hf://OWNER/NAME` against a server on this machine that answers as the Hub does: `make test-hubs`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider.models.hub import HubModel
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Iterator

FOREIGN = Path(__file__).parents[1] / "data" / "tiny_nhwc.onnx"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
VIT = {"image_processor_type": "ViTImageProcessor", "size": 16}
FILES = {
    "onnx/model.onnx": FOREIGN.read_bytes(),
    "other.onnx": FOREIGN.read_bytes(),
    "preprocessor_config.json": json.dumps(VIT).encode(),
    "README.md": b"text",
}


class Hub(BaseHTTPRequestHandler):
    """One model, owner/net; owner/gated may not be read."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        self.asked.append(self.path)
        if self.path.startswith("/api/models/owner/net"):
            siblings = [{"rfilename": name} for name in FILES]
            return self.send(json.dumps({"id": "owner/net", "sha": COMMIT, "siblings": siblings}).encode(), body=body)
        if "/owner/gated" in self.path:
            return self.send(b"{}", body=body, status=403, headers={"X-Error-Code": "GatedRepo"})
        found = re.match(rf"/owner/net/resolve/(?:main|{COMMIT})/([^?]+)", self.path)
        name = found[1] if found else ""
        if name not in FILES:
            return self.send(b"{}", body=body, status=404, headers={"X-Error-Code": "RepoNotFound"})
        etag = f'"{hash(name) & 0xFFFFFFFF:040x}"'
        return self.send(FILES[name], body=body, headers={"X-Repo-Commit": COMMIT, "ETag": etag})

    def send(self, content: bytes, *, body: bool, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    """Where it listens, and what it was asked for."""
    pytest.importorskip("huggingface_hub", reason="needs the extra sparkcider[hub]: make test-hubs")
    asked: list[str] = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OwnHub", (Hub,), {"asked": asked}))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


def run(script: str, tmp_path: Path, endpoint: str, **environment: str) -> dict[str, Any]:
    """Runs a script that prints JSON: `huggingface_hub` reads its settings when it is imported."""
    own = {"HF_ENDPOINT": endpoint, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment = {**os.environ, **own, "HF_HUB_DISABLE_TELEMETRY": "1", **environment}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


EXTRACT = """
import json
from sparkcider import FeatureExtractor
extractor = FeatureExtractor({model!r})
found = extractor.resolved_options["preprocessing"]
print(json.dumps({{"source": found.source, "size": extractor.input_size, "checksum": extractor.checksum}}))
"""

REFUSE = """
import json
from sparkcider import models
try:
    models.resolve({model!r})
except Exception as error:
    print(json.dumps({{"kind": type(error).__name__, "text": str(error)}}))
"""


def test_a_model_comes_with_its_description_and_stays_in_the_cache(server: tuple[str, list[str]], tmp_path: Path):
    endpoint, asked = server
    found = run(EXTRACT.format(model="hf://owner/net"), tmp_path, endpoint)
    assert found["size"] == [16, 16]
    assert found["source"].endswith(f"snapshots/{COMMIT}/preprocessor_config.json")
    assert not [path for path in asked if "README" in path or "other.onnx" in path]
    for model in ("hf://owner/net", f"hf://owner/net@{COMMIT}"):
        assert run(EXTRACT.format(model=model), tmp_path, endpoint, HF_HUB_OFFLINE="1") == found
    assert run(EXTRACT.format(model="hf://owner/net"), tmp_path, "http://127.0.0.1:9") == found


JOB = """
import json
from sparkcider.job import JobConfig, run
config = JobConfig(input={images!r}, output={out!r}, model={model!r}, pca=False)
print(json.dumps(run(config, progress=lambda line: None)["model"]))
"""


def test_a_job_says_which_commit_it_took(server: tuple[str, list[str]], tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=1)
    for number, model in enumerate(["hf://owner/net", f"hf://owner/net@{COMMIT}#file=other.onnx"]):
        script = JOB.format(images=f"{tmp_path}/images", out=f"{tmp_path}/out{number}", model=model)
        assert run(script, tmp_path, server[0])["hub_commit"] == COMMIT


def test_another_file_is_named(server: tuple[str, list[str]], tmp_path: Path):
    found = run(EXTRACT.format(model="hf://owner/net#file=other.onnx"), tmp_path, server[0])
    assert found["size"] == [16, 16]


@pytest.mark.parametrize(
    ("model", "kind", "text"),
    [
        (
            "hf://owner/gated",
            "ModelError",
            "hf://owner/gated is gated: accept its terms at https://huggingface.co/owner/",
        ),
        ("hf://owner/none", "FileNotFoundError", "the Hub has no model owner/none; a private one needs"),
        (
            "hf://owner/net#file=onnx/int8.onnx",
            "FileNotFoundError",
            "owner/net has no onnx/int8.onnx; its ONNX files are onnx/model.onnx, other.onnx: name one by #file=",
        ),
    ],
)
def test_what_cannot_be_had_says_what_to_do(
    server: tuple[str, list[str]], tmp_path: Path, model: str, kind: str, text: str
):
    found = run(REFUSE.format(model=model), tmp_path, server[0])
    assert found["kind"] == kind
    assert found["text"].startswith(text)


def test_what_was_never_fetched_cannot_be_had_offline(server: tuple[str, list[str]], tmp_path: Path):
    found = run(REFUSE.format(model="hf://owner/net"), tmp_path, server[0], HF_HUB_OFFLINE="1")
    assert found["kind"] == "ModelError"
    assert "with `hf download owner/net`, or give the path of its ONNX file" in found["text"]
    assert not server[1]


@pytest.mark.parametrize("reference", ["hf://net", "hf://a/b/c", "hf://a/b#revision=1", "hf:///b", "hf://a/b@"])
def test_a_wrong_reference_is_refused(reference: str):
    with pytest.raises(ValueError, match=r"a model of the Hub is hf://OWNER/NAME\[@REVISION\]\[#file=PATH\], got hf:"):
        HubModel.of(reference)

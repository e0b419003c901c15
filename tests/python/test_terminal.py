"""What a command prints: plain lines, whatever is in names and whatever warns."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from onnx_nets import new_net, onnx

from sparkcider import cli
from sparkcider.job import JobConfig, Progress, run
from sparkcider.notice import warn
from sparkcider.printable import printable
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from collections.abc import Callable

EVIL = "\x1b[31mred\n\x9b0m\u202eder"
SHOWN = r"\x1b[31mred\n\x9b0m\u202eder"
CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text, if no terminal obeys anything in it."""
    assert not CONTROL.search(text), repr(text)
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images under a name that colours a terminal."""
    images = tmp_path / "images" / EVIL
    images.mkdir(parents=True)
    random = np.random.default_rng(0)
    for at in range(3):
        (images / f"{at}.png").write_bytes(encode_png(random.integers(0, 256, (8, 8, 3), np.uint8)))
    (images / "bad\x1b[0m.png").write_bytes(b"no image")
    return tmp_path


def texts(value: Any) -> list[str]:
    """All texts in what JSON holds."""
    if isinstance(value, dict):
        return [*value, *texts(list(value.values()))]
    return [text for one in value for text in texts(one)] if isinstance(value, list) else [str(value)]


def evil_model(path: Path) -> Path:
    net = new_net()
    net.add("ReduceMean", ["image"], f"features{EVIL}", axes=[2, 3], keepdims=0)
    kind, shape = onnx.TensorProto.FLOAT, ["N", 3, 8, 8]
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        net.nodes, "net", [value("image", kind, shape)], [value(f"features{EVIL}", kind, None)], net.weights
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    model.metadata_props.add(key=f"key{EVIL}", value=f"value{EVIL}")
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.filterwarnings("ignore:.*components of .* rows")
def test_names_in_a_job_are_escaped(folder: Path, capfd: pytest.CaptureFixture[str]):
    words = ["run", "--input", str(folder / "images"), "--output", str(folder / f"out{EVIL}"), "--model", "pixels"]
    assert cli.main([*words, "--engine", "embedded", "--pca-k", "1"]) == 0
    printed = clean(capfd.readouterr().err)
    assert rf"such as file:{folder}/images/{SHOWN}/bad\x1b[0m.png: " in printed
    image = next((folder / "images" / EVIL).glob("0*"))
    assert cli.main(["nearest", str(folder / f"out{EVIL}"), "--image", str(image), "--k", "1"]) == 0
    assert f"{SHOWN}  file:{folder}/images/{SHOWN}/0.png" in clean(capfd.readouterr().out)
    assert cli.main(["nearest", str(folder / f"out{EVIL}"), "--image", str(image), "--k", "1", "--json"]) == 0
    text = clean(capfd.readouterr().out)
    assert json.loads(text)[0]["label"] == EVIL


def test_names_in_a_model_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    model = evil_model(tmp_path / "net.onnx")
    for words in (["model", "show", str(model)], ["model", "layers", str(model)]):
        assert cli.main(words) == 0
        assert SHOWN in clean(capsys.readouterr().out)
        assert cli.main([*words, "--json"]) == 0
        assert any(EVIL in text for text in texts(json.loads(clean(capsys.readouterr().out))))


@pytest.mark.parametrize(
    "words",
    [
        ["report", f"/nowhere/{EVIL}"],
        ["run", "--input", EVIL, "--output", "out", "--model", "pixels"],
        ["run", "--input", "in", "--output", "out", "--model", EVIL],
        ["run", "--input", "in", "--output", "out", f"--{EVIL}"],
        ["model", "show", f"/nowhere/{EVIL}.onnx"],
        ["report", f"/nowhere/{EVIL}", "--verbose"],
    ],
)
def test_names_in_errors_are_escaped_and_whole(words: list[str], capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    assert SHOWN in clean(capsys.readouterr().err).splitlines()[-1]


def test_progress_of_a_library_is_escaped():
    lines: list[str] = []
    progress = Progress(lines.append)
    progress.line(EVIL)
    progress.failure(EVIL)
    assert lines == [SHOWN] * 2


def test_what_people_read_stays_as_it_is():
    text = "Éclair 日本 \N{GRINNING FACE} a\\b 100 %"
    assert printable(text) == text


# Warnings


def one_line(done: subprocess.CompletedProcess[str], pattern: str) -> None:
    assert done.returncode == 0, done.stderr
    assert re.search(rf"^sparkcider: warning: {pattern}$", done.stderr, re.MULTILINE), done.stderr
    assert "UserWarning" not in done.stderr
    assert ".py:" not in done.stderr


def run_command(*words: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sparkcider", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_warnings_of_a_command_are_lines_without_a_place_in_the_code(folder: Path):
    for name in (b"caf\xe9.png", b"b\xff.png"):
        (folder / "images" / os.fsdecode(name)).write_bytes(b"")
    done = run_command(
        "run", "--input", folder / "images", "--output", folder / "out", "--model", "pixels", "--pca-k", 3, "--engine",
        "embedded",
    )  # fmt: skip
    one_line(done, r"3 components of 3 rows: the ratios past rank 2 are 0")
    one_line(done, r"left out 2 names that are not UTF-8, which Spark cannot read, such as .*\\udc(e9|ff)\.png'")


def test_a_library_user_gets_a_warning_at_their_own_line(folder: Path):
    config = JobConfig(
        input=str(folder / "images"), output=str(folder / "out"), model="pixels", pca_k=3, engine="embedded"
    )
    with pytest.warns(UserWarning, match="3 components of 3 rows") as caught:
        run(config, progress=lambda _line: None)
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_a_command_leaves_the_warnings_of_its_process_as_they_were():
    before = warnings.showwarning
    assert cli.main(["model", "show", "fruits-tiny"]) == 0
    assert warnings.showwarning is before


def test_the_place_of_a_warning_is_outside_of_the_package():
    code = "from sparkcider.notice import warn\ndef call(): warn('text')"
    inside: dict[str, Callable[[], None]] = {"__name__": "sparkcider.somewhere"}  # type: ignore[dict-item]
    exec(code, inside)  # noqa: S102 - a module of the package
    with pytest.warns(UserWarning, match="^text$") as caught:
        inside["call"]()
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="^text$") as caught:
        warn("text")
    assert caught[0].filename == __file__

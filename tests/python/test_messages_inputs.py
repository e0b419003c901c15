"""Messages about what is read: models, images, queries, inputs of a job; and how the command line says them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from told import message

from sparkcider import FeatureExtractor, cli, findings, models
from sparkcider.job import JobConfig, run
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from collections.abc import Callable

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
PAGE = b"<!DOCTYPE html>\n<html><body>Sign in</body></html>"
PATH = "row 0: expected the bytes of an image file, got str: read the file first, Path(...).read_bytes()"
COLUMN = "expected a column of binary (encoded images), got"
A_MODEL = "model must be the name, path or URI of an ONNX file, or 'pixels'; got"
TEXT = "of text: read the file first, Path(...).read_bytes()"
TEXTS = "expected the bytes of image files, got pyarrow"
TABLE = pa.table({"path": ["a", "b"], "features": [[1.0, 0.0], [0.0, 1.0]]})


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (PAGE, "this is an HTML page: give the address of the file itself"),
        (LFS, "this is a Git LFS pointer: `git lfs pull` fetches the file itself"),
        (b"PK\x03\x04\x14", "this is a zip archive: a model of Keras or PyTorch must be exported to ONNX first"),
        (b"\x89HDF\r\n\x1a\n", "this is HDF5: a model of Keras or PyTorch must be exported to ONNX first"),
        (b"a,b\n1,2\n", "this is text"),
    ],
)
def test_a_file_that_is_no_model(content: bytes, expected: str, capsys: pytest.CaptureFixture[str]):
    Path("net.onnx").write_bytes(content)
    reason = f"net.onnx: cannot read ONNX graph: {expected}"
    assert message(lambda: FeatureExtractor("net.onnx")) == f"ModelError: model {reason}"
    assert message(lambda: models.show("net.onnx")) == f"ModelError: model {reason}"
    Path("in").mkdir()
    assert (
        cli.main(["run", "--input", "in", "--output", "out", "--model", "net.onnx", "--quiet", "--engine", "embedded"])
        == 2
    )
    assert capsys.readouterr().err == f"sparkcider: --model {reason}\n"


@pytest.mark.parametrize("call", [FeatureExtractor, models.resolve, models.show, models.layers, models.preplaced])
@pytest.mark.parametrize(("model", "found"), [(None, "None"), (3, "3"), (b"net", "b'net' (bytes)"), ([], "list")])
def test_a_model_that_is_no_name(call: Callable[[Any], Any], model: Any, found: str):
    assert message(lambda: call(model)) == f"TypeError: {A_MODEL} {found}"


def test_a_model_that_is_empty_or_a_folder(here: Path):
    assert message(lambda: FeatureExtractor("")) == f"ValueError: {A_MODEL} an empty text"
    (here / "net" / "onnx").mkdir(parents=True)
    told = "FileNotFoundError: model file not found: net is a folder, and model must name a file; it has"
    for name in ("net", "./net", Path("net")):
        assert message(lambda name=name: FeatureExtractor(name)) == f"{told} no .onnx file"
    (here / "net" / "onnx" / "model.onnx").touch()
    assert message(lambda: FeatureExtractor("net")) == f"{told} onnx/model.onnx"


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (["a.jpg"], PATH),
        (pd.Series(["a.jpg"], dtype=object), PATH),
        (pd.Series(["a.jpg"], dtype="string[pyarrow]"), f"{TEXTS} ChunkedArray {TEXT}"),
        (pa.array(["a.jpg"]), f"{TEXTS} StringArray {TEXT}"),
        (pa.array([1]), f"{COLUMN} Int64"),
        (
            [np.zeros((8, 8, 3), np.uint8)],
            ("row 0: expected the bytes of an image file, got numpy ndarray: pixels must be encoded first, as PNG for "
            "example"),
        ),
    ],
)  # fmt: skip
def test_images_that_are_something_else(images: Any, expected: str):
    assert message(lambda: FeatureExtractor("pixels").extract(images)) == f"TypeError: {expected}"


def test_a_query_that_is_one_row():
    told = "TypeError: row 0: expected a list of numbers, got float: one row is [row]"
    assert message(lambda: findings.nearest(TABLE, [1.0, 0.0])) == told
    assert message(lambda: findings.nearest(TABLE, np.array([1.0, 0.0]))) == (
        "ValueError: expected features of shape (N, D), got (2,). Reshape your data: one row is .reshape(1, -1)"
    )


def test_parquet_without_the_name_of_its_column(here: Path, capsys: pytest.CaptureFixture[str]):
    (here / "in").mkdir()
    pq.write_table(pa.table({"path": ["a"], "content": [b"x"]}), here / "in" / "part.parquet")
    for name in ("in", "in/part.parquet"):
        config = JobConfig(input=name, output="out", model="pixels", engine="embedded")
        assert message(lambda config=config: run(config, progress=lambda _: None)) == (
            f"ValueError: input {name} holds Parquet: content_column must name its column of encoded images"
        )
    assert (
        cli.main(["run", "--input", "in", "--output", "out", "--model", "pixels", "--quiet", "--engine", "embedded"])
        == 2
    )
    assert capsys.readouterr().err == (
        "sparkcider: --input in holds Parquet: --content-column must name its column of encoded images\n"
    )


def test_another_model_at_resume(here: Path):
    write_samples(here / "in", images_per_label=1)
    config = {"input": "in", "output": "out", "engine": "embedded", "report": False}
    run(JobConfig(model="fruits-tiny", **config), progress=lambda _: None)
    checksum = FeatureExtractor("fruits-tiny").checksum
    told = message(lambda: run(JobConfig(model="pixels", resume=True, **config), progress=lambda _: None))
    assert told == (
        f"ValueError: file:{here}/out cannot be resumed: model was fruits-tiny ({checksum[:12]}...) and is pixels; "
        "--mode overwrite (mode='overwrite') starts over"
    )
    named = str(models.available()["fruits-tiny"])
    assert run(JobConfig(model=named, resume=True, **config), progress=lambda _: None)["images"] == 20


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--pca-k", "0"], "--pca-k must be at least 1, got 0"),
        (["--max-error-rate", "2"], "--max-error-rate must be in [0, 1], got 2.0"),
        (["--format", "xls"], "--format must be among parquet, json, csv, got 'xls'"),
        (["--workers", "0"], "--workers must be at least 1, got 0"),
        (
            ["--no-pca", "--standardize"],
            "--pca-k, --pca-variance and --standardize have no effect without a PCA",
        ),
        (
            ["--path-column", "path"],
            "--path-column has no effect without --content-column, the column of encoded images",
        ),
        (["--label-regex", "x"], "--label-regex x must have a group, such as ([^/]+), for the label"),
        (
            ["--input-size", "0"],
            "--input-size must be a side or (height, width) of 1 to 4096 pixels, got (0, 0)",
        ),
        (["--pca-k", "5000"], "--pca-k must be at most 1200, the number of features of pixels, got 5000"),
    ],
)
def test_the_command_line_names_its_options(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]):
    Path("in").mkdir()
    assert (
        cli.main(
            ["run", "--input", "in", "--output", "out", "--model", "pixels", "--quiet", "--engine", "embedded", *words]
        )
        == 2
    )
    assert capsys.readouterr().err == f"sparkcider: {expected}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("input s3://b/pca_k/x holds no file", "--input s3://b/pca_k/x holds no file"),
        ("model file not found: /data/pca_k", "model file not found: /data/pca_k"),
        ("3 failed, more than max_error_rate 0.1 allows", "3 failed, more than --max-error-rate 0.1 allows"),
        ("the mode of the input is wrong: use pca_k=3", "the mode of the input is wrong: use pca_k=3"),
        ("image over the limit of 5 pixels (max_pixels)", "image over the limit of 5 pixels (--max-pixels)"),
    ],
)  # fmt: skip
def test_words_of_sentences_are_no_options(text: str, expected: str):
    parser = cli._parser()
    commands = next(action for action in parser._actions if action.dest == "==SUPPRESS==" or action.choices)
    assert commands.choices["run"].in_options(text) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--inputs", "in"], "unknown argument --inputs: did you mean --input?"),
        (["--input", "in", "--k", "3"], "unknown argument --k: the number of components is --pca-k"),
        (
            ["--device=cuda"],
            (
                "unknown argument --device=cuda: networks run on processors, and several cores by --workers or "
                "--engine spark"
            ),
        ),
        (
            ["--batch-size", "8"],
            "unknown argument --batch-size: how many images the network takes in a run is chosen for the processor",
        ),
        (["--outp", "out"], "the following arguments are required: --input"),
        (["--", "--inputs"], "the following arguments are required: --input, --output"),
    ],
)
def test_unknown_options_before_missing_ones(words: list[str], expected: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["run", *words]) == 2
    assert capsys.readouterr().err == f"sparkcider run: {expected}; see `sparkcider run --help`\n"

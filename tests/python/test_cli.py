"""The command line: its options, its one-line errors and the demo."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sparkcider
from sparkcider import cli
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

REPOSITORY = Path(__file__).parents[2]
COMMANDS = ("run", "demo", "report", "nearest", "model", "export", "quantize", "doctor", "completion")
MINIMUM = ["run", "--input", "in", "--output", "out", "--model", "pixels"]


def parsed(*words: str) -> JobConfig:
    return cli.run._config(cli._parser().parse_args([*MINIMUM, *words]))


@pytest.fixture
def no_spark(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong command must be refused before Spark starts."""

    def start(*_arguments: Any, **_options: Any) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr("sparkcider.job.session.start_session", start)


def test_every_option_of_run_is_explained_with_its_default(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["run", "--help"]) == 0
    text = capsys.readouterr().out
    required = {"input", "output", "model"}
    free = {"help", "master", "conf"}
    for action in vars(cli._parser())["_subparsers"]._group_actions[0].choices["run"]._actions:
        name = action.option_strings[-1].lstrip("-")
        assert f"--{name}" in text
        if name not in required | free | {"pca-k"}:
            assert "default" in action.help, name


def test_help_and_version_end_well(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"sparkcider {sparkcider.__version__}\n"
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in COMMANDS:
        assert re.search(rf"^    {command}\s", shown, re.MULTILINE)
        assert re.search(rf"^  .*sparkcider {command}\b", shown, re.MULTILINE), "an example"
    assert len(shown.splitlines()) < 50, "one screen"


def test_the_exit_codes_of_the_help_are_those_of_the_docs(capsys: pytest.CaptureFixture[str]):
    cli.main(["--help"])
    shown = dict(re.findall(r"^  (\d+) +(.+)$", capsys.readouterr().out, re.MULTILINE))
    page = (REPOSITORY / "docs" / "job.md").read_text(encoding="utf-8")
    told = dict(re.findall(r"^\| (\d+) \| (.+) \|$", page.partition("## Exit codes")[2], re.MULTILINE))
    assert shown == {code: text.replace("`", "") for code, text in told.items()}
    assert set(shown) == {"0", "1", "2", "3", "129", "130", "143"}


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "sparkcider: the following arguments are required: COMMAND; see `sparkcider --help`"),
        (
            ["run"],
            "sparkcider run: the following arguments are required: --input, --output; see `sparkcider run --help`",
        ),
        (
            [*MINIMUM, "--normalisation", "tf"],
            (
                "sparkcider run: unknown argument --normalisation: did you mean --normalization?; "
                "see `sparkcider run --help`"
            ),
        ),
        (["doctor", "--xyz"], "sparkcider doctor: unknown argument --xyz; see `sparkcider doctor --help`"),
        (
            ["nearest"],
            "sparkcider nearest: the following arguments are required: OUT, --image; see `sparkcider nearest --help`",
        ),
    ],
)
def test_a_wrong_command_line_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(words) == 2
    assert capsys.readouterr() == ("", f"{line}\n")


def test_an_unknown_command_names_those_there_are(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["rum"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert all(command in line for command in COMMANDS)


def test_json_is_one_document_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_samples(tmp_path / "images", images_per_label=2)
    images, out = str(tmp_path / "images"), str(tmp_path / "out")

    def answer(*words: str) -> Any:
        assert cli.main([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    summary = answer("run", "--input", images, "--output", out, "--model", "fruits-tiny", "--engine", "embedded")
    assert summary["images"] == json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert answer("report", out) == {"report": f"file:{tmp_path}/out/report.html"}
    image = next((tmp_path / "images" / "Lime").iterdir())
    assert answer("nearest", out, "--image", str(image), "--k", "2")[0]["path"] == f"file:{image}"
    card = answer("model", "show", "fruits-tiny")
    assert card["inputs"] == [{"name": "image", "shape": [0, 3, 64, 64]}]
    assert card["metadata"]["normalization"] == "tf"
    assert answer("model", "layers", "fruits-tiny")[-1]["shape"] == [128]
    assert {finding["name"] for finding in answer("doctor")} >= {"python", "numpy", "inference"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion_knows_commands_and_options(shell: str, capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("shtab", reason="needs sparkcider[test]")
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "normalization" in script


def test_bash_completes_by_the_script(capsys: pytest.CaptureFixture[str]):
    pytest.importorskip("shtab", reason="needs sparkcider[test]")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("needs bash")
    cli.main(["completion", "bash"])
    script = capsys.readouterr().out
    ask = 'COMP_WORDS=(sparkcider run --norm); COMP_CWORD=2; _shtab_sparkcider; echo "${COMPREPLY[@]}"'
    done = subprocess.run([bash, "-c", f"{script}\n{ask}"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["--normalization"]


def test_without_shtab_completion_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "shtab", None)
    assert cli.main(["completion", "bash"]) == 1
    assert capsys.readouterr().err == "sparkcider: completion needs shtab: pip install shtab\n"


def test_nothing_said_means_the_libraries_defaults():
    assert parsed() == JobConfig(input="in", output="out", model="pixels")


def test_options_have_the_names_of_the_library():
    words = (
        "--input-size 192x256 --resize-mode center_crop --crop-ratio 0.9 --filter box --layout NHWC --color-order BGR "
        "--normalization 0.5,0.4,0.3/0.2,0.2,0.1 --pooling max --prefix-tokens 5 --layer top --layer-layout NHWC "
        "--l2-normalize --intra-threads 2 --decode scaled --no-exif --max-pixels 1000 --background 255,0,7"
    )
    assert parsed(*words.split()).options == {
        "input_size": (192, 256),
        "resize_mode": "center_crop",
        "crop_ratio": 0.9,
        "filter": "box",
        "normalization": ([0.5, 0.4, 0.3], [0.2, 0.2, 0.1]),
        "layout": "NHWC",
        "color_order": "BGR",
        "pooling": "max",
        "prefix_tokens": 5,
        "layer": "top",
        "layer_layout": "NHWC",
        "l2_normalize": True,
        "intra_threads": 2,
        "decode": "scaled",
        "apply_exif": False,
        "max_pixels": 1000,
        "background": (255, 0, 7),
    }
    assert parsed("--input-size", "224").options == {"input_size": 224}
    assert parsed("--normalization", "torch").options == {"normalization": "torch"}
    assert parsed("--no-l2-normalize").options == {"l2_normalize": False}


def test_the_jobs_options_arrive():
    words = ["--glob", "*.jpg", "--label-regex", "(x)", "--pca-k", "7", "--standardize", "--mode", "overwrite"]
    assert parsed(*words, "--format", "json, csv") == JobConfig(
        input="in",
        output="out",
        model="pixels",
        glob="*.jpg",
        label_regex="(x)",
        pca_k=7,
        standardize=True,
        formats=("json", "csv"),
        mode="overwrite",
    )


@pytest.mark.usefixtures("no_spark")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pca-variance", "1.5"], "sparkcider: --pca-variance must be in (0, 1], got 1.5"),
        (["--pca-k", "2000"], "sparkcider: --pca-k must be at most 1200, the number of features of pixels, got 2000"),
        (["--format", "xml"], "sparkcider: --format must be among parquet, json, csv, got 'xml'"),
        (["--model", "/no/such.onnx"], "sparkcider: model file not found: /no/such.onnx"),
        (["--input-size", "big"], "argument --input-size: a side (224) or height x width (224x224), not 'big'"),
        (["--background", "256,0,0"], "argument --background: three levels from 0 to 255 as R,G,B, not '256,0,0'"),
        (["--normalization", "1,2/3"], "argument --normalization: one of tf, caffe, torch, unit, raw, or mean/std"),
        (["--conf", "spark.x"], "argument --conf: KEY=VALUE, not 'spark.x'"),
        (["--pca-k", "1", "--pca-variance", "0.5"], "argument --pca-variance: not allowed with argument --pca-k"),
    ],
)
def test_a_wrong_command_is_one_line_and_code_2(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main([*MINIMUM, *words]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.usefixtures("no_spark")
def test_a_model_that_is_no_onnx_is_code_2_and_shows_a_traceback_only_if_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    model = tmp_path / "model.onnx"
    model.write_text("no network")
    words = [*MINIMUM, "--model", str(model), "--normalization", "tf"]
    assert cli.main(words) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # the engine, and the error
    assert lines[1].startswith(f"sparkcider: --model {model}: ")
    assert cli.main([*words, "--verbose"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("one line", "one line"),
        ("", "RuntimeError"),
        (
            "[PATH_NOT_FOUND] Path does not exist. SQLSTATE: 42K03\n\nJVM stacktrace:\nat x",
            "[PATH_NOT_FOUND] Path does not",
        ),
        (
            "An error occurred while calling o94.load.\n: java.io.IOException: Illegal\n\tat x",
            "java.io.IOException: Illegal",
        ),
        (
            (
                'Job aborted\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n'
                "sparkcider.ModelError: model m: broken\n\n\tat org.apache.spark"
            ),
            "model m: broken",
        ),
        (
            "[JAVA_GATEWAY_EXITED] Java gateway process exited",
            "Java does not start, and Spark needs it; `sparkcider doctor`",
        ),
    ],
)
def test_errors_of_spark_shrink_to_the_line_that_says_the_cause(text: str, line: str):
    explained = cli.explain(RuntimeError(text))
    assert explained.startswith(line)
    assert "\n" not in explained


def test_the_demo_shows_labels_variance_speed_and_where_the_result_is(tmp_path: Path):
    # In a folder with a space, by a Python that is not the first of the PATH.
    environment = {name: value for name, value in os.environ.items() if name != "PYSPARK_PYTHON"}
    command = [sys.executable, "-m", "sparkcider", "demo", "--output", "my demo"]
    answer = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment, timeout=280
    )
    assert answer.returncode == 0, answer.stderr[-2000:]
    lines = answer.stdout.splitlines()
    assert sum(line.split()[-2:] == ["12", "12"] for line in lines) == 19
    assert any(line.startswith("Apple Green") and line.split()[-2:] == ["13", "12"] for line in lines)
    assert any(line.startswith("1 x truncated, such as ") and ": JPEG: " in line for line in lines)
    assert any(line.endswith(" images/s") for line in lines)
    result = tmp_path / "my demo" / "result"
    assert lines[-2:] == [f"Result: {result}", f"Report: {(result / 'report.html').as_uri()}"]
    assert (result / "report.html").is_file()
    summary = json.loads((result / "summary.json").read_text())
    assert (summary["images"], summary["errors"]) == (240, 1)
    assert f"... {summary['pca']['k']} in all" in answer.stdout


@pytest.mark.parametrize("engine", ["embedded", "spark"])
def test_a_missing_input_is_one_line_and_leaves_nothing(
    spark: SparkSession,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    engine: str,
):
    monkeypatch.setattr("sparkcider.job.session.start_session", lambda *_arguments, **_options: spark)
    monkeypatch.setattr(spark, "stop", lambda: None)
    words = ["run", "--input", f"{tmp_path}/nowhere", "--output", f"{tmp_path}/out", "--model", "pixels"]
    assert cli.main([*words, "--engine", engine]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"engine    {engine} (as requested)"
    assert lines[-2:] == [
        f"input     {tmp_path}/nowhere ...",
        f"sparkcider: input file:{tmp_path}/nowhere does not exist",
    ]
    assert list(tmp_path.iterdir()) == []


def test_without_a_model_the_command_lists_those_at_hand(capsys: pytest.CaptureFixture[str]):
    assert cli.main(["run", "--input", "in", "--output", "out"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("sparkcider: --model is required. Available: fruits-tiny, pixels.")
    assert "sparkcider export mobilenet_v2" in lines[-1]
    assert len(lines) <= 4


def test_quiet_prints_nothing_but_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_samples(tmp_path / "images", images_per_label=2)
    words = ["run", "--input", f"{tmp_path}/images", "--output", f"{tmp_path}/out", "--model", "fruits-tiny", "--quiet"]
    assert cli.main([*words, "--engine", "embedded"]) == 0
    assert capsys.readouterr() == ("", "")
    assert cli.main([*words, "--engine", "embedded"]) == 2
    assert "exists; take another name" in capsys.readouterr().err


def test_mostly_garbage_is_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "page.jpg").write_text("<html>not found</html>")
    words = ["run", "--input", f"{tmp_path}/images", "--output", f"{tmp_path}/out", "--model", "fruits-tiny"]
    assert cli.main([*words, "--engine", "embedded", "--max-error-rate", "0.1"]) == 3
    assert "1 of 1 images failed (100.0%), more than --max-error-rate 0.1 allows" in capsys.readouterr().err


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m sparkcider doctor | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("ok       python")
    assert done.stderr == ""

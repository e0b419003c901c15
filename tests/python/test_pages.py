"""The commands and snippets of the tutorial and of the guides to duplicates and streams work, in their order."""

from __future__ import annotations

import io
import re
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from sparkcider import cli
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sparkcider.job.stages.session_is_active", lambda: False)  # of another test
    return tmp_path


def blocks_of(name: str) -> list[tuple[str, str]]:
    """The commands and snippets of a page, each with its language."""
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"^```(sh|python)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def run_page(name: str, names: dict[str, Any], folder: Path | None = None) -> None:
    """Runs a page; the paths of its Spark snippets get `folder`, as the JVM's working directory is another one."""
    blocks = blocks_of(name)
    assert len(blocks) > 2
    run_blocks(name, names, blocks, folder)


def run_blocks(name: str, names: dict[str, Any], blocks: list[tuple[str, str]], folder: Path | None = None) -> None:
    """Runs some of the commands and snippets of a page."""
    for language, block in blocks:
        if language == "sh":
            for command in block.splitlines():
                words = shlex.split(command)
                assert words[0] == "sparkcider"
                assert cli.main(words[1:]) == 0, command
            continue
        code = block if folder is None else re.sub(r'"(images|features|checkpoint)"(?=\))', rf'"{folder}/\1"', block)
        exec(compile(code, name, "exec"), names)  # noqa: S102 - the page's own code


def test_the_tutorial(capsys: pytest.CaptureFixture[str], folder: Path):
    run_page("tutorial.md", {})
    assert "240 images, 128 features each" in capsys.readouterr().out
    assert (folder / "out" / "report.html").is_file()


def test_the_guide_to_duplicates(folder: Path):
    write_samples(folder / "images" / "Training", images_per_label=2)
    (folder / "images" / "Test").mkdir()
    for number, image in enumerate(sorted((folder / "images" / "Training" / "Lime").iterdir())):
        shutil.copy(image, folder / "images" / "Test" / f"{number}{image.suffix}")
    names: dict[str, Any] = {}
    run_page("guides/duplicates.md", names)
    assert len(names["leaks"]) == 2
    assert len(names["extra"]) >= 2
    paths = pq.read_table(folder / "out" / "features", columns=["path"])["path"].to_pylist()
    assert len(names["kept"]) == len(paths) - len(names["extra"])


def test_the_guide_to_duplicates_keeps_an_image_whose_row_is_there_twice(folder: Path):
    def image(seed: int) -> bytes:
        file = io.BytesIO()
        Image.fromarray(np.random.default_rng(seed).integers(0, 256, (20, 30, 3), np.uint8)).save(file, "PNG")
        return file.getvalue()

    contents = [image(seed) for seed in (0, 1, 2, 3, 1, 1, 0)]
    paths = ["a/0.png", "a/1.png", "a/2.png", "a/3.png", "a/1.png", "a/1.png", "a/2.png"]  # the last is a copy of a/0
    pq.write_table(pa.table({"path": paths, "content": contents}), folder / "images.parquet")
    words = ["--input", "images.parquet", "--content-column", "content", "--output", "out", "--model", "fruits-tiny"]
    assert cli.main(["run", *words, "--pca-k", "2", "--quiet"]) == 0
    names: dict[str, Any] = {}
    run_blocks("guides/duplicates.md", names, blocks_of("guides/duplicates.md")[1:2])
    assert sorted(names["kept"]) == ["a/0.png", "a/1.png", "a/2.png", "a/3.png"]


def test_the_guide_to_streams(spark: SparkSession, folder: Path):
    write_samples(folder / "images", images_per_label=1)
    names: dict[str, Any] = {"spark": spark}
    run_page("guides/streaming.md", names, folder)
    features = spark.read.parquet(str(folder / "features"))
    assert features.count() == 21
    assert features.where("error_kind = 'truncated'").count() == 1
    assert names["reduced"].isStreaming
    shutil.copytree(folder / "images" / "Lime", folder / "images" / "New")
    again = names["features"].writeStream.format("parquet").option("path", str(folder / "features"))
    again.option("checkpointLocation", str(folder / "checkpoint")).trigger(availableNow=True).start().awaitTermination()
    assert spark.read.parquet(str(folder / "features")).count() == 22, "no image is embedded twice"

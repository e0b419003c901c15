"""The whole job on both engines: what it writes, what it refuses, and that an older result is never lost.

Over 400 lines, as all tests share the samples and the jobs of both engines.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sparkcider import FeatureExtractor, ModelError
from sparkcider.job import JobConfig
from sparkcider.samples import write_samples

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Run = Callable[..., dict[str, Any]]

# Names that Spark, Hadoop or a CSV reader could take apart.
ODD_LABELS = ["Apple Braeburn", "Éclair 100%", "a%20b", 'quo"te, comma', " spaces ", "日本"]
# scikit-learn computes on the features in float64, as we do; what differs is the order of sums.
TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of each label, one broken file, one that is not an image, and two that are not input."""
    folder = tmp_path_factory.mktemp("images")
    write_samples(folder, images_per_label=2)
    (folder / "Lime" / "notes.txt").write_text("no image")
    (folder / "Lime" / "_SUCCESS").touch()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "0.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(run: Run, images: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The result of one run with every format, and its summary."""
    out = tmp_path_factory.mktemp("job") / "out"
    summary = run(config(images, out, pca_k=5, formats=("parquet", "json", "csv")))
    return out, summary


def config(source: Path, out: Path, **settings: Any) -> JobConfig:
    settings.setdefault("model", "pixels")
    return JobConfig(input=str(source), output=str(out), **settings)


def features_of(out: Path) -> pd.DataFrame:
    return pd.read_parquet(out / "features").sort_values("path", ignore_index=True)


PARQUET_ONLY = ("length", "modified", "digest", "fingerprint", "thumbnail")
"""Columns that JSON and CSV leave out."""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_one_line(error: BaseException) -> None:
    assert "\n" not in str(error)


def test_the_result_has_every_part_and_nothing_is_left_beside_it(whole: tuple[Path, dict[str, Any]]):
    out, _ = whole
    assert names(out.parent) == ["out"]
    tables = ["features", "features-csv", "features-json", "pca", "pca-csv", "pca-json", "pca-model"]
    assert names(out) == sorted(
        [*tables, "explained_variance.csv", "findings", "job.json", "report.html", "summary.json"]
    )


def test_every_file_is_a_row_with_its_folder_as_label(whole: tuple[Path, dict[str, Any]], images: Path):
    table = features_of(whole[0])
    known = ["path", "label", "length", "modified"]
    assert list(table.columns) == [*known, "features", "error", "error_kind", "digest", "fingerprint", "thumbnail"]
    files = [Path(path[len("file:") :]).stat() for path in table.path]
    assert list(table.length) == [file.st_size for file in files]
    assert list(table.modified) == [file.st_mtime_ns // 1_000_000 for file in files]
    inputs = [path for path in images.rglob("*.*") if path.is_file() and ".hidden" not in path.parts]
    assert sorted(table.path) == sorted(f"file:{path}" for path in inputs)
    assert all(label == path.split("/")[-2] for path, label in zip(table.path, table.label))


def test_features_are_the_extractors_bit_for_bit(whole: tuple[Path, dict[str, Any]]):
    assert_features(whole[0], "pixels")


def assert_features(out: Path, model: str) -> None:
    table = features_of(out)
    contents = [Path(path[len("file:") :]).read_bytes() for path in table.path]
    expected, errors = FeatureExtractor(model).extract(pa.array(contents))
    assert table.error.dropna().to_dict() == {n: why for n, why in enumerate(errors.to_pylist()) if why is not None}
    good = table.features.notna()
    np.testing.assert_array_equal(
        np.stack(table.features[good]), expected.drop_null().flatten().to_numpy().reshape(40, -1)
    )


def test_the_summary_counts_what_was_found(whole: tuple[Path, dict[str, Any]], images: Path):
    out, summary = whole
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    assert summary["input"]["files"] == 42
    assert summary["input"]["labels"] == 20
    assert (summary["images"], summary["errors"]) == (40, 2)
    assert summary["errors_by_kind"] == {"not_an_image": 1, "truncated": 1}
    faults = {fault["example"]: fault for fault in summary["errors_by_reason"]}
    assert set(faults) == {f"file:{images}/Apple Green/broken.jpg", f"file:{images}/Lime/notes.txt"}
    assert faults[f"file:{images}/Apple Green/broken.jpg"]["kind"] == "truncated"
    assert faults[f"file:{images}/Apple Green/broken.jpg"]["reason"].startswith("JPEG: ")
    assert faults[f"file:{images}/Lime/notes.txt"]["kind"] == "not_an_image"
    assert faults[f"file:{images}/Lime/notes.txt"]["reason"].startswith("unknown format: ")
    assert faults[f"file:{images}/Lime/notes.txt"]["reason"].endswith("first bytes: 6e 6f 20 69 6d 61 67 65)")
    assert {"label": "Lime", "files": 3, "images": 2} in summary["by_label"]
    assert list(summary["seconds"]) == ["input", "features", "pca", "findings", "files", "report"]
    assert set(summary["worker_seconds"]) >= {"fetching", "decoding", "resizing", "inference"}
    assert summary["worker_seconds"]["decoding"] > 0
    assert summary["images_per_second"] > 0
    assert summary["model"] == {
        "name": "pixels",
        "hub_commit": None,
        "embedding_dim": 1200,
        "input_size": (20, 20),
        "checksum": "pixels",
        "outputs": {},
        "l2_normalize": False,
        "preprocessing": FeatureExtractor("pixels").preprocessing,
        "description": None,
    }
    assert summary["config"]["pca_k"] == 5
    assert set(summary["versions"]) - {"spark"} == {"sparkcider", "python", "pyarrow", "numpy"}


def test_pandas_reads_json_and_csv_back_as_the_same_numbers(whole: tuple[Path, dict[str, Any]]):
    out, _ = whole
    for name in ("features", "pca"):
        expected = pd.read_parquet(out / name).sort_values("path", ignore_index=True)
        lines = pd.concat([pd.read_json(part, lines=True) for part in sorted((out / f"{name}-json").glob("*.json"))])
        texts = pd.concat([pd.read_csv(part) for part in sorted((out / f"{name}-csv").glob("*.csv"))])
        numbers = texts.filter(regex=f"^{name}_")
        assert list(numbers.columns) == [f"{name}_{at}" for at in range(len(expected[name].dropna().iloc[0]))]
        good = numbers.notna().all(axis=1)
        vectors = pd.Series([row if fine else None for row, fine in zip(numbers.to_numpy(), good)], index=texts.index)
        texts = texts.drop(columns=numbers.columns)
        texts.insert(list(expected.columns).index(name) - 2 if name == "features" else 2, name, vectors)
        for table in (lines, texts):
            found = table.sort_values("path", ignore_index=True)
            assert list(found.columns) == [column for column in expected.columns if column not in PARQUET_ONLY]
            pd.testing.assert_series_equal(found.label, expected.label, check_dtype=False)
            good = expected[name].notna()
            assert found[name].notna().equals(good)
            dtype = expected[name][good].iloc[0].dtype
            numbers = np.stack(found[name][good]).astype(dtype)
            np.testing.assert_array_equal(numbers, np.stack(expected[name][good]))


@pytest.mark.parametrize("standardize", [False, True])
def test_explained_variance_is_scikit_learns(run: Run, images: Path, tmp_path: Path, standardize: bool):  # noqa: FBT001
    decomposition = pytest.importorskip("sklearn.decomposition", reason="needs scikit-learn")
    preprocessing = pytest.importorskip("sklearn.preprocessing", reason="needs scikit-learn")
    run(config(images, tmp_path / "out", pca_k=8, standardize=standardize))
    table = pd.read_csv(tmp_path / "out" / "explained_variance.csv")
    matrix = np.stack(features_of(tmp_path / "out").features.dropna()).astype(np.float64)
    if standardize:
        matrix = preprocessing.StandardScaler().fit_transform(matrix)
    expected = decomposition.PCA(8, svd_solver="full").fit(matrix).explained_variance_ratio_
    assert list(table.component) == list(range(1, 9))
    np.testing.assert_allclose(table.ratio, expected, rtol=TOLERANCE)
    np.testing.assert_allclose(table.cumulative, expected.cumsum(), rtol=TOLERANCE)


def test_the_saved_model_is_the_one_that_was_applied(spark: SparkSession, whole: tuple[Path, dict[str, Any]]):
    from sparkcider.feature import PCAModel

    out, _ = whole
    model = PCAModel.load(str(out / "pca-model"))
    features = spark.read.parquet(str(out / "features")).where("features is not null")
    again = model.transform(features).select("path", "pca").toPandas().sort_values("path", ignore_index=True)
    written = pd.read_parquet(out / "pca").sort_values("path", ignore_index=True)
    assert list(written.columns) == ["path", "label", "pca"]
    np.testing.assert_array_equal(np.stack(again.pca), np.stack(written.pca))
    assert np.stack(written.pca).shape == (40, 5)


def test_the_share_of_variance_chooses_the_components(run: Run, images: Path, tmp_path: Path):
    summary = run(config(images, tmp_path / "out", pca_variance=0.5))
    ratios = summary["pca"]["explained_variance_ratio"]
    assert sum(ratios) >= 0.5 > sum(ratios[:-1])


def test_images_are_embedded_once(run: Run, images: Path, tmp_path: Path):
    source = tmp_path / "images"
    shutil.copytree(images, source)

    def remove_the_images_before_the_pca(line: str) -> None:
        if line.startswith("pca "):
            shutil.rmtree(source)

    summary = run(config(source, tmp_path / "out", formats=("csv",)), progress=remove_the_images_before_the_pca)
    assert not source.exists()
    assert summary["images"] == 40


def test_odd_folder_names_become_labels_and_come_back_from_csv(run: Run, images: Path, tmp_path: Path):
    source = tmp_path / "odd images %41"
    for label in ODD_LABELS:
        (source / label).mkdir(parents=True)
        for number in range(2):
            shutil.copy(images / "Lime" / f"00{number}.jpg", source / label / f"{number} é%20.jpg")
    run(config(source, tmp_path / "out", pca_k=1, formats=("csv", "json")))
    for table in (
        features_of(tmp_path / "out"),
        pd.concat([pd.read_csv(part) for part in (tmp_path / "out" / "features-csv").glob("*.csv")]),
        pd.concat([pd.read_json(part, lines=True) for part in (tmp_path / "out" / "features-json").glob("*.json")]),
    ):
        assert sorted(table.label) == sorted(ODD_LABELS * 2)
        assert set(table.path) == {f"file:{path}" for path in source.rglob("*.jpg")}


def test_two_spellings_of_a_name_are_one_label(run: Run, images: Path, tmp_path: Path):
    spellings = [unicodedata.normalize(form, "Éclair") for form in ("NFC", "NFD")]
    for number, name in enumerate(spellings):
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(images / "Lime" / f"00{number}.jpg", tmp_path / "in" / name / f"{number}.jpg")
    if len(list((tmp_path / "in").iterdir())) == 1:
        pytest.skip("this file system has one spelling")
    for regex in (None, "/(Écl[^/]+)/", unicodedata.normalize("NFD", "/(Écl[^/]+)/")):
        summary = run(config(tmp_path / "in", tmp_path / "out", pca_k=1, label_regex=regex, mode="overwrite"))
        assert summary["by_label"] == [{"label": spellings[0], "files": 2, "images": 2}]
        table = features_of(tmp_path / "out")
        assert set(table.label) == {spellings[0]}
        assert {path.rsplit("/", 2)[1] for path in table.path} == set(spellings)


def test_csv_has_an_apostrophe_before_what_a_spreadsheet_would_run(run: Run, images: Path, tmp_path: Path):
    names = ["=HYPERLINK(1)", "+1", "-1+2", "@a", "\tb", "\rc", "a=b"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        shutil.copy(images / "Lime" / "000.jpg", tmp_path / "in" / name / "0.jpg")
    run(config(tmp_path / "in", tmp_path / "out", pca_k=1, formats=("csv",)))
    assert sorted(features_of(tmp_path / "out").label) == sorted(names), "Parquet keeps what was there"
    for table in ("features", "pca"):
        parts = (tmp_path / "out" / f"{table}-csv").glob("*.csv")
        # the csv module alone keeps a carriage return
        texts = [io.StringIO(part.read_bytes().decode(), newline="") for part in parts]
        rows = [row for text in texts for row in csv.DictReader(text)]
        assert sorted(row["label"] for row in rows) == sorted(["a=b", *(f"'{name}" for name in names[:-1])])
        assert not [row for row in rows if row[f"{table}_0"].startswith("'")], "a number is none"


def test_the_label_can_be_a_group_of_the_path(run: Run, images: Path, tmp_path: Path):
    summary = run(config(images, tmp_path / "out", pca_k=1, label_regex=r"/([A-Z])[^/]*/\d+\.jpg$", glob="*.jpg"))
    table = features_of(tmp_path / "out")
    assert set(table.label.dropna()) == {"A", "B", "C", "G", "K", "L", "M", "O", "P", "S", "W"}
    assert summary["input"]["unlabeled"] == 1  # broken.jpg
    assert summary["input"]["files"] == 41


def test_a_glob_reads_the_folders_it_names(run: Run, images: Path, tmp_path: Path):
    summary = run(config(images / "[LM]*", tmp_path / "out", pca_k=1, glob="*.{jpg,png}"))
    assert {row["label"] for row in summary["by_label"]} == {"Lemon", "Lime", "Mango"}
    assert summary["errors"] == 0


def test_an_existing_output_is_an_error_and_stays(run: Run, images: Path, tmp_path: Path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for mode in ("error", "overwrite"):
        with pytest.raises(FileExistsError, match=r"output file:.*/out exists") as caught:
            run(config(images, tmp_path / "out", mode=mode))
        assert_one_line(caught.value)
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / "mine.txt").read_text() == "mine"


def test_overwrite_replaces_an_older_result_only_when_the_new_one_is_whole(run: Run, images: Path, tmp_path: Path):
    out = tmp_path / "out"
    run(config(images, out, pca_k=2, formats=("csv",)))

    def fail(line: str) -> None:
        if line.startswith("pca "):
            raise RuntimeError("pulled the plug")

    with pytest.raises(RuntimeError, match="pulled the plug"):
        run(config(images, out, pca_k=3, mode="overwrite"), progress=fail)
    assert names(tmp_path) == ["out", "out.partial"]  # the features are finished
    assert json.loads((out / "summary.json").read_text())["pca"]["k"] == 2
    run(config(images, out, pca_k=3, mode="overwrite"))
    assert names(tmp_path) == ["out"]
    assert json.loads((out / "summary.json").read_text())["pca"]["k"] == 3
    assert "features-csv" not in names(out)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"pca_k": 1201}, ValueError, "pca_k must be at most 1200, the number of features of pixels, got 1201"),
        ({"model": "/no/such.onnx"}, FileNotFoundError, "/no/such.onnx"),
        ({"options": {"input_size": 0}}, ValueError, "input_size"),
        ({"label_regex": "([0-9]{9})"}, ValueError, r"label_regex \(\[0-9\]\{9\}\) finds no label in any path"),
        ({"glob": "*.webp"}, ValueError, r"input .* holds no file whose name matches \*\.webp"),
        ({"glob": "*.txt"}, ValueError, r"no image among 1 files of .*; most often: unknown format"),
    ],
)
def test_a_wrong_setting_is_a_one_line_error(
    run: Run, images: Path, tmp_path: Path, settings: dict[str, Any], kind: type[Exception], message: str
):
    with pytest.raises(kind, match=message) as caught:
        run(config(images, tmp_path / "out", **settings))
    assert_one_line(caught.value)
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pca_variance": 0.0}, r"pca_variance must be in \(0, 1\], got 0.0"),
        ({"pca_variance": 1.5}, r"pca_variance must be in \(0, 1\], got 1.5"),
        ({"pca_k": 0}, "pca_k must be at least 1, got 0"),
        ({"pca_k": 1, "pca_variance": 0.5}, "pca_k and pca_variance exclude each other"),
        ({"formats": ("xml",)}, "formats must be among parquet, json, csv, got 'xml'"),
        ({"mode": "append"}, "mode must be error or overwrite, got 'append'"),
    ],
)
def test_a_wrong_setting_is_known_without_a_session(settings: dict[str, Any], message: str):
    with pytest.raises(ValueError, match=message):
        JobConfig(input="in", output="out", model="pixels", **settings)


def test_a_model_that_is_no_onnx_is_a_model_error(run: Run, images: Path, tmp_path: Path):
    model = tmp_path / "model.onnx"
    model.write_text("no network")
    with pytest.raises(ModelError) as caught:
        run(config(images, tmp_path / "out", model=str(model), options={"normalization": "tf"}))
    assert_one_line(caught.value)


def test_a_missing_and_an_empty_input_say_so(run: Run, tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"input .*/nowhere does not exist") as caught:
        run(config(tmp_path / "nowhere", tmp_path / "out"))
    assert_one_line(caught.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"input .*/empty holds no file"):
        run(config(tmp_path / "empty", tmp_path / "out"))


def test_input_and_output_must_lie_apart(run: Run, images: Path):
    for source, out in ((images, images / "out"), (images, images), (images / "Lime", images), (images / "*", images)):
        with pytest.raises(ValueError, match="are inside one another; keep them apart"):
            run(config(source, out, mode="overwrite"))


def test_features_alone_where_no_pca_is_wanted(run: Run, images: Path, tmp_path: Path):
    summary = run(config(images, tmp_path / "out", pca=False, formats=("json",)))
    known = ["features", "features-json", "findings", "job.json", "report.html", "summary.json"]
    assert names(tmp_path / "out") == known
    assert summary["pca"] is None
    assert_features(tmp_path / "out", "pixels")


@pytest.mark.parametrize("center", [True, False])
def test_components_are_centred_unless_it_is_turned_off(run: Run, images: Path, tmp_path: Path, center: bool):  # noqa: FBT001
    summary = run(config(images, tmp_path / "out", pca_k=4, center=center))
    written = pd.read_parquet(tmp_path / "out" / "pca")
    mean = np.stack(written.pca).astype(np.float64).mean(axis=0)
    assert (np.abs(mean).max() < 1e-5) == center
    assert summary["pca"]["center"] == center


@pytest.fixture
def table(images: Path) -> pa.Table:
    """The images as rows, one of them null."""
    paths = sorted(images.glob("L*/*.jpg"))
    rows = [{"name": f"shop/{path.parent.name}/{path.name}", "jpeg": path.read_bytes()} for path in paths]
    rows.append({"name": "shop/Lime/lost", "jpeg": None})
    return pa.Table.from_pylist(rows, pa.schema([("name", pa.string()), ("jpeg", pa.binary())]))


def test_rows_of_a_parquet_table_are_images(run: Run, table: pa.Table, tmp_path: Path):
    pq.write_table(table, tmp_path / "images.parquet")
    summary = run(
        config(tmp_path / "images.parquet", tmp_path / "out", content_column="jpeg", path_column="name", pca_k=2)
    )
    found = features_of(tmp_path / "out")
    assert list(found.path) == sorted(table["name"].to_pylist())
    assert set(found.label) == {"Lemon", "Lime"}
    assert dict(zip(found.path, found.error))["shop/Lime/lost"] == "null image"
    expected, _ = FeatureExtractor("pixels").extract(table.sort_by("name")["jpeg"])
    assert [None if row is None else list(row) for row in found.features] == expected.to_pylist()
    assert (summary["input"]["files"], summary["images"], summary["errors"]) == (5, 4, 1)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"content_column": "png"}, ValueError, r"content_column png is not a column of .*; it has name, jpeg"),
        ({"content_column": "jpeg"}, ValueError, r"path_column path is not a column of .*; it has name, jpeg"),
        (
            {"content_column": "name", "path_column": "name"},
            TypeError,
            r"content_column name must be binary \(encoded images\), got string",
        ),
    ],
)
def test_a_wrong_column_of_a_table_is_refused(
    run: Run, table: pa.Table, tmp_path: Path, settings: dict[str, Any], kind: type[Exception], message: str
):
    pq.write_table(table, tmp_path / "images.parquet")
    with pytest.raises(kind, match=message):
        run(config(tmp_path / "images.parquet", tmp_path / "out", **settings))
    assert not (tmp_path / "out").exists()

"""Duplicates, outliers and suspect labels, against planted truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from PIL import Image
from planted import COPIES, Rows, cropped, encoded, scene

from sparkcider import FeatureExtractor, findings
from sparkcider.findings import duplicates, labels, outliers
from sparkcider.samples import write_samples

SCENES = 60
COPIED = 20


@pytest.fixture(scope="module")
def tiny() -> FeatureExtractor:
    return FeatureExtractor("fruits-tiny")


@pytest.fixture(scope="module")
def scenes() -> list[Image.Image]:
    return [scene(seed) for seed in range(SCENES)]


def rows_of(vectors: list[list[float]] | np.ndarray, **columns: list[object]) -> pa.Table:
    features = pa.array(np.asarray(vectors, np.float32).tolist(), pa.list_(pa.float32()))
    return pa.table({"path": [f"{at:03}" for at in range(len(features))], "features": features, **columns})


def pairs_of(found: pa.Table, kind: str) -> set[tuple[str, str]]:
    """(representative, member) of each group."""
    pairs, leader = set(), ""
    for row in found.to_pylist():
        if row["kind"] != kind:
            continue
        if row["representative"]:
            leader = row["path"]
        else:
            pairs.add((leader, row["path"]))
    return pairs


@pytest.mark.parametrize("what", COPIES)
def test_copies_of_scenes_are_found_and_nothing_else_is(tiny: FeatureExtractor, scenes: list[Image.Image], what: str):
    rows = Rows(
        [f"a{at}" for at in range(SCENES)] + [f"copy of a{at}" for at in range(COPIED)],
        [None] * (SCENES + COPIED),
        [encoded(image, quality=90) for image in scenes] + [COPIES[what](image) for image in scenes[:COPIED]],
    )
    found = findings.find(rows.table(tiny))
    assert pairs_of(found.duplicates, "copy") == {(f"a{at}", f"copy of a{at}") for at in range(COPIED)}
    assert found.facts["duplicates"]["copy"] == {"groups": COPIED, "images": 2 * COPIED}
    assert min(found.duplicates["score"].to_pylist()) >= 0.95


def test_the_same_bytes_are_found_first_and_take_part_in_no_other_kind(
    tiny: FeatureExtractor, scenes: list[Image.Image]
):
    files = [encoded(image) for image in scenes[:10]]
    rows = Rows(
        [f"{at:02}" for at in range(14)],
        [None] * 14,
        [*files, files[3], files[3], files[0], COPIES["re-encoded"](scenes[3])],
    )
    found = findings.find(rows.table(tiny), similarity=0.9999).duplicates
    assert pairs_of(found, "bytes") == {("03", "10"), ("03", "11"), ("00", "12")}
    assert pairs_of(found, "copy") == {("03", "13")}
    assert found["score"].to_pylist()[:5] == [1.0] * 5
    assert found["group"].to_pylist()[:5] == [0, 0, 0, 1, 1], "the largest group is the first"


def test_cropped_images_are_similar_and_no_copies(tiny: FeatureExtractor, scenes: list[Image.Image]):
    contents = [encoded(image) for image in scenes] + [encoded(cropped(image), quality=85) for image in scenes[:COPIED]]
    rows = Rows([f"a{at}" for at in range(SCENES + COPIED)], [None] * len(contents), contents)
    found = findings.find(rows.table(tiny), similarity=0.9).duplicates
    planted = {(f"a{at}", f"a{at + SCENES}") for at in range(COPIED)}
    assert not pairs_of(found, "copy")
    assert len(pairs_of(found, "similar") & planted) >= 0.7 * COPIED


def test_every_member_of_a_group_is_near_its_representative_so_that_nothing_chains():
    angles = np.radians(np.arange(0, 90, 6))  # each is near the next; the ends are far from each other
    rows = rows_of(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    least = float(np.cos(np.radians(13)))
    found = findings.find(rows, similarity=least).duplicates
    vectors = dict(zip(rows["path"].to_pylist(), np.array(rows["features"].to_pylist())))
    assert len(set(found["group"].to_pylist())) >= 3
    for leader, member in pairs_of(found, "similar"):
        assert vectors[leader] @ vectors[member] >= least - 1e-6
    assert found["path"].to_pylist() == sorted(set(found["path"].to_pylist())), "no image is in two groups"


def test_many_similar_images_in_blocks_are_the_groups_of_one_block(monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(5)
    centres = random.standard_normal((30, 16))
    vectors = centres[random.integers(0, 30, 400)] + 0.05 * random.standard_normal((400, 16))
    whole = findings.find(rows_of(vectors)).duplicates
    assert len(set(whole["group"].to_pylist())) == 30
    monkeypatch.setattr(duplicates, "_BLOCK", 37)
    again = findings.find(rows_of(vectors)).duplicates
    assert again.drop(["score"]).equals(whole.drop(["score"]))


def test_foreign_images_are_the_farthest_outliers(tmp_path):
    write_samples(tmp_path, images_per_label=8)
    files = sorted(path for path in tmp_path.glob("*/*.jpg") if len(path.read_bytes()) > 1000 and opens(path))
    contents = [path.read_bytes() for path in files] + [encoded(scene(seed, (100, 100))) for seed in range(5)]
    rows = Rows([f"{at:03}" for at in range(len(contents))], [None] * len(contents), contents)
    found = findings.find(rows.table(FeatureExtractor("pixels")), k=6).outliers
    foreign = {f"{at:03}" for at in range(len(files), len(contents))}
    assert len(foreign & set(found["path"].to_pylist()[:10])) >= 4
    assert found["reconstruction_error"].null_count == len(found)


def opens(path) -> bool:
    try:
        Image.open(path).load()
    except OSError:
        return False
    return True


def test_reconstruction_error_is_that_of_the_pca_with_its_quantile():
    from sparkcider import Pca

    random = np.random.default_rng(2)
    vectors = random.standard_normal((50, 2)) @ random.standard_normal((2, 6)) + 5.0
    vectors[7] += random.standard_normal(6)
    rows = rows_of(vectors)
    found = findings.find(rows, pca=Pca(k=2).fit(np.asarray(vectors, np.float32))).outliers
    assert found["path"][0].as_py() == "007"
    assert found["reconstruction_error_quantile"][0].as_py() == 1.0
    by_path = dict(zip(found["path"].to_pylist(), found["reconstruction_error"].to_pylist()))
    centred = vectors.astype(np.float32) - vectors.astype(np.float32).mean(axis=0)
    components = np.linalg.svd(centred, full_matrices=False)[2][:2]
    expected = np.linalg.norm(centred - centred @ components.T @ components, axis=1)
    np.testing.assert_allclose([by_path[f"{at:03}"] for at in range(50)], expected, atol=1e-4)


def test_neighbor_distance_is_one_minus_the_mean_similarity():
    found = findings.find(rows_of([[1, 0], [1, 0], [0, 1]]), k=2).outliers.sort_by("path")
    np.testing.assert_allclose(found["neighbor_distance"], [0.5, 0.5, 1.0], atol=1e-6)
    assert found["neighbor_distance_quantile"].to_pylist() == pytest.approx([2 / 3, 2 / 3, 1.0])


def test_swapped_labels_of_real_fruits_are_found(test_data):
    files = sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))
    truth = [path.parent.name for path in files]
    random = np.random.default_rng(4)
    swapped = set(random.choice(len(files), len(files) // 20, replace=False).tolist())
    names = sorted(set(truth))
    given = [
        names[(names.index(name) + 1 + int(random.integers(len(names) - 1))) % len(names)] if at in swapped else name
        for at, name in enumerate(truth)
    ]
    rows = Rows([str(path) for path in files], given, [path.read_bytes() for path in files])
    model = test_data / "models" / "mobilenetv2_imagenet.onnx"
    found = findings.find(rows.table(FeatureExtractor(str(model), normalization="tf", intra_threads=2)))
    suspects = {row["path"] for row in found.labels.to_pylist() if row["suspect"]}
    planted = {str(files[at]) for at in swapped}
    assert len(suspects & planted) / len(suspects) >= 0.85, "precision"
    assert len(suspects & planted) / len(planted) >= 0.9, "recall"
    assert found.facts["suspects"] == len(suspects)
    right = {row["path"]: row["vote"] for row in found.labels.to_pylist()}
    assert sum(right[str(files[at])] == truth[at] for at in swapped) >= 0.9 * len(swapped)


def test_an_image_and_its_copies_have_no_vote_on_its_label():
    rows = rows_of(
        [[1, 0], [1, 0], [0.9, 0.1], [0.9, 0.12], [0, 1]],
        label=["wrong", "wrong", "right", "right", "right"],
        digest=[b"a", b"a", b"b", b"c", b"d"],
    )
    by_path = {row["path"]: row for row in findings.find(rows, k=3).labels.to_pylist()}
    assert by_path["000"]["vote"] == "right"
    assert by_path["000"]["suspect"]
    assert by_path["000"]["neighbors"][0] == "001", "it is shown all the same"


def test_images_without_a_label_neither_vote_nor_are_judged():
    rows = rows_of([[1, 0], [1, 0.1], [1, 0.2], [0, 1]], label=[None, "x", "x", "y"])
    found = findings.find(rows, k=3)
    assert sorted(found.labels["path"].to_pylist()) == ["001", "002", "003"]
    assert found.facts["knn_accuracy"] == pytest.approx(2 / 3)
    assert found.facts["confusions"] == [{"label": "y", "vote": "x", "count": 1}]
    assert {row["label"]: row["accuracy"] for row in found.facts["accuracy_by_label"]} == {"x": 1.0, "y": 0.0}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_images_have_findings_too(n: int):
    rows = rows_of(np.eye(3)[:n] if n else np.zeros((0, 3)), label=["a"] * n)
    found = findings.find(rows)
    assert found.duplicates.schema == duplicates.SCHEMA
    assert found.outliers.schema == outliers.SCHEMA
    assert found.labels.schema == labels.SCHEMA
    assert len(found.outliers) == len(found.labels) == found.facts["rows"] == n


def test_rows_without_finite_features_are_left_out_and_null_paths_are_empty():
    rows = rows_of([[1, 0], [np.nan, 0], [np.inf, 1], [0, 1]], label=["a"] * 4)
    found = findings.find(rows)
    assert found.facts["rows"] == 2
    assert sorted(found.outliers["path"].to_pylist()) == ["000", "003"]
    rows = pa.table({"path": [None, None, "b"], "features": [[1.0], [1.0], None]})
    assert findings.find(rows).duplicates["path"].to_pylist() == ["", ""]


def test_findings_repeat_whatever_the_threads():
    rows = rows_of(np.random.default_rng(1).standard_normal((700, 20)), label=["a", "b"] * 350)
    one, three = (findings.find(rows, threads=threads) for threads in (1, 3))
    assert all(ours.equals(theirs) for ours, theirs in zip(one[:3], three[:3]))


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        ({"path": ["a"]}, {}, "expected the columns path and features, found path"),
        ({"path": ["a"], "features": [1.0]}, {}, "features must be lists of numbers, got double"),
        ({"path": ["a", "b"], "features": [[1.0], [1.0, 2.0]]}, {}, "features must be of one length, found 1, 2"),
        ({"path": ["a"], "features": [[1.0]]}, {"k": 0}, "k must be at least 1, got 0"),
        ({"path": ["a"], "features": [[1.0]]}, {"similarity": 1.5}, r"similarity must be in \(0, 1\], got 1.5"),
        ({"path": ["a"], "features": [[1.0]]}, {"threads": 0}, "threads must be at least 1, got 0"),
    ],
)
def test_wrong_tables_and_options_are_errors(rows, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        findings.find(pa.table(rows), **options)


NUMBERED = np.random.default_rng(4).normal(size=(12, 4)).astype(np.float16)
HALVES = pa.array(list(NUMBERED), pa.list_(pa.float16()))
CLASSES = pa.array([at % 3 for at in range(len(NUMBERED))])
DICTIONARY = pa.dictionary(pa.int32(), pa.string())

TABLES = {
    "class numbers": {"label": CLASSES},
    "class numbers in a dictionary": {"label": CLASSES.dictionary_encode()},
    "truths": {"label": pc.equal(CLASSES, 0)},
    "large strings": {"path": pa.large_string(), "label": CLASSES.cast(pa.large_string())},
    "dictionaries": {"path": DICTIONARY, "label": CLASSES.cast(pa.string()).dictionary_encode()},
    "half floats": {"features": HALVES},
    "doubles": {"features": pa.list_(pa.float64())},
    "large lists": {"features": pa.large_list(pa.float32())},
    "fixed-size lists": {"features": pa.list_(pa.float32(), 4)},
    "fixed-size lists of half floats": {
        "features": pa.FixedSizeListArray.from_arrays(HALVES.flatten(), 4),
    },
}
if hasattr(pa, "string_view"):  # pyarrow 16
    VIEWS = pa.array(NUMBERED.astype(np.float32).tolist(), pa.list_view(pa.float32()))
    TABLES["views"] = {"path": pa.string_view(), "features": VIEWS}


def table_of(columns: dict[str, object]) -> pa.Table:
    """`NUMBERED` with columns, or types of columns, of another tool."""
    made = rows_of(NUMBERED)
    for name, given in columns.items():
        column = made[name].cast(given) if isinstance(given, pa.DataType) else given
        made = made.drop([name]) if name in made.column_names else made
        made = made.append_column(name, column)
    return made


@pytest.mark.parametrize("of", TABLES)
def test_tables_of_other_tools_give_the_findings_of_plain_ones(of: str):
    given = table_of(TABLES[of])
    label = CLASSES if "label" in given.column_names else None
    words = ["true", "false", "false"] if of == "truths" else ["0", "1", "2"]
    labels_given = {} if label is None else {"label": [words[at] for at in label.to_pylist()]}
    plain, found = findings.find(rows_of(NUMBERED, **labels_given)), findings.find(given)
    assert found.facts == plain.facts
    assert found.outliers.equals(plain.outliers)
    assert found.labels.equals(plain.labels)
    assert findings.neighbors(given, 2).equals(findings.neighbors(rows_of(NUMBERED, **labels_given), 2))


def test_data_frames_give_the_findings_of_tables():
    polars = pytest.importorskip("polars")
    columns = {"path": [f"{at:03}" for at in range(12)], "label": CLASSES.to_pylist()}
    rows = NUMBERED.astype(np.float32)
    wanted = findings.find(table_of({"label": CLASSES})).labels
    frame = pd.DataFrame({**columns, "features": list(rows), "other": [object()] * 12})
    assert findings.find(frame).labels.equals(wanted)
    assert findings.find(frame.astype({"label": "category"})).labels.equals(wanted)
    assert findings.find(polars.DataFrame({**columns, "features": rows})).labels.equals(wanted)
    assert findings.find(polars.DataFrame({**columns, "features": rows.tolist()})).labels.equals(wanted)
    assert findings.nearest(frame, rows[:1], 1)["path"].to_pylist() == ["000"]
    frame.loc[3, "features"] = None
    assert findings.find(frame).facts["rows"] == 11


def test_a_value_that_is_null_leaves_the_row_out():
    rows = pa.table({"path": ["a", "b", "c"], "features": [[1.0, 2.0], [None, 2.0], [2.0, 1.0]]})
    assert findings.neighbors(rows, 1)["path"].to_pylist() == ["a", "c"]


def test_columns_of_other_types_are_refused_by_name():
    rows = rows_of(NUMBERED)
    with pytest.raises(TypeError, match=r"^label must be text or numbers, got list<"):
        findings.find(rows.append_column("label", rows["features"]))
    with pytest.raises(TypeError, match=r"^features must be lists of numbers, got string$"):
        findings.find(rows.set_column(1, "features", rows["path"]))
    with pytest.raises(TypeError, match=r"^thumbnail must be binary, got int64$"):
        findings.find(rows.append_column("thumbnail", CLASSES))
    with pytest.raises(TypeError, match=r"^expected a table of Arrow, pandas or Polars, got ndarray$"):
        findings.find(NUMBERED)

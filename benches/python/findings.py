"""What is found of what was planted: copies among scenes and fruits, swapped labels, foreign images.

    python benches/python/findings.py

Fruits, photos and MobileNetV2 come from the test data (SPARKCIDER_TEST_DATA, default ../shared/data). Needs the extra
`bench`, which brings cleanlab.
"""

# ruff: noqa: SLF001 - asks the native module what users need not

import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "python"))

from PIL import Image, ImageOps
from planted import COPIES, Rows, cropped, encoded, scene

from sparkcider import FeatureExtractor, Pca, _native, findings
from sparkcider.findings import duplicates

DATA = Path(os.environ.get("SPARKCIDER_TEST_DATA", "../shared/data"))
SCENES, COPIED = 400, 100


def main() -> None:
    """Prints a table for each finding."""
    model = FeatureExtractor(
        str(DATA / "models" / "mobilenetv2_imagenet.onnx"),
        normalization="tf",
        intra_threads=_native._available_cores(),
    )
    files = sorted((DATA / "fruits" / "Test").glob("*/*.jpg"))
    fruits = Rows(
        [str(path) for path in files], [path.parent.name for path in files], [path.read_bytes() for path in files]
    )
    copies_of_scenes(model)
    table = fruits.table(model)
    copies_of_fruits(model, files, table)
    swapped_labels(table)
    foreign_images(model, table)


def copies_of_scenes(model: FeatureExtractor) -> None:
    """Copies planted among generated scenes and the photos, which have no near copies of their own."""
    photos = [
        ImageOps.exif_transpose(Image.open(path)).convert("RGB") for path in sorted((DATA / "photos").glob("drone_*"))
    ]
    images = [*photos, *(scene(seed) for seed in range(SCENES))]
    names = [f"a{at}" for at in range(len(images))]
    originals = Rows(names, [None] * len(images), [encoded(image, quality=90) for image in images]).table(model)
    print(f"{COPIED} copies among {len(images)} scenes and photos")
    for what, act in {**COPIES, "cropped by 5 %": lambda image: encoded(cropped(image), quality=85)}.items():
        planted = Rows(
            [f"copy of {name}" for name in names[:COPIED]], [None] * COPIED, [act(image) for image in images[:COPIED]]
        )
        found = findings.find(pa.concat_tables([originals, planted.table(model)])).duplicates
        truth = {(name, f"copy of {name}") for name in names[:COPIED]}
        for kind in ("copy", "similar"):
            report(f"  {what}, {kind}", pairs(found, kind), truth)


def copies_of_fruits(model: FeatureExtractor, files: list[Path], table: pa.Table) -> None:
    """Copies planted among fruits, which turn on a plate."""
    alone = findings.find(table).facts["duplicates"]
    print(f"{len(table):,} fruits as they are: {alone['copy']['images']} copies, {alone['similar']['images']} similar")
    taken = list(range(0, len(files), len(files) // COPIED))[:COPIED]
    for what, act in COPIES.items():
        contents = [act(Image.open(files[at]).convert("RGB")) for at in taken]
        planted = Rows([f"copy of {files[at]}" for at in taken], [files[at].parent.name for at in taken], contents)
        both = pa.concat_tables([table, planted.table(model)])
        found = findings.find(both).duplicates.to_pandas().query("kind == 'copy'")
        group = dict(zip(found.path, found.group))
        together = sum(group.get(str(files[at]), -1) == group.get(f"copy of {files[at]}", -2) for at in taken)
        print(f"  {what}: recall {together / COPIED:.2f}")
    print(f"  a copy differs in at most {duplicates.COPY_BITS} of 256 bits")


def swapped_labels(table: pa.Table) -> None:
    """5 % of the labels swapped, found by the vote of neighbours, and by cleanlab from out-of-fold predictions."""
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    random = np.random.default_rng(4)
    truth = np.array(table["label"].to_pylist())
    names, codes = np.unique(truth, return_inverse=True)
    swapped = random.choice(len(codes), len(codes) // 20, replace=False)
    given = codes.copy()
    given[swapped] = (codes[swapped] + random.integers(1, len(names), len(swapped))) % len(names)
    found = findings.find(table.set_column(1, "label", pa.array(names[given].tolist())))
    paths = table["path"].to_pylist()
    planted = {paths[at] for at in swapped}
    print(f"{len(swapped)} swapped labels among {len(codes):,} fruits")
    report("  vote of 10 neighbours", {row["path"] for row in found.labels.to_pylist() if row["suspect"]}, planted)
    features = np.stack(table["features"].to_numpy(zero_copy_only=False))
    shares = cross_val_predict(
        LogisticRegression(max_iter=200), features, given, cv=3, method="predict_proba", n_jobs=2
    )
    issues = np.flatnonzero(find_label_issues(given, shares))
    report("  cleanlab, logistic regression in 3 folds", {paths[at] for at in issues}, planted)


def foreign_images(model: FeatureExtractor, table: pa.Table) -> None:
    """Scenes planted among fruits: how many of them are among as many outliers."""
    for n in (5, 20):
        foreign = Rows(
            [f"scene {at}" for at in range(n)], [None] * n, [encoded(scene(at, (100, 100))) for at in range(n)]
        )
        rows = pa.concat_tables([table, foreign.table(model)])
        found = findings.find(rows, pca=Pca(variance=0.9).fit(rows["features"])).outliers["path"].to_pylist()
        report(f"{n} scenes among {len(table):,} fruits", set(found[:n]), {f"scene {at}" for at in range(n)})


def pairs(found: pa.Table, kind: str) -> set[tuple[str, str]]:
    """(representative, member) of each group of a kind."""
    seen, leader = set(), ""
    for row in found.to_pylist():
        if row["representative"]:
            leader = row["path"]
        elif row["kind"] == kind:
            seen.add((leader, row["path"]))
    return seen


def report(what: str, found: set, planted: set) -> None:
    """Prints precision and recall."""
    hits = len(found & planted)
    precision = f"{hits / len(found):.3f}" if found else "-"
    print(f"{what}: {len(found)} found, precision {precision}, recall {hits / len(planted):.3f}")


if __name__ == "__main__":
    main()

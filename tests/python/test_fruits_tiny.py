"""The embedded model `fruits-tiny`: one small file that says how it is fed, and finds a fruit's likes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import sparkcider
from sparkcider import FeatureExtractor, samples

MODEL = Path(sparkcider.__file__).parent / "pretrained" / "fruits-tiny.onnx"

# The promises of its model card.
LARGEST = 1_500_000
ACCURACY = 0.97
# Twenty labels, painted and lying on tables: far from the training set, and chance finds a twentieth.
SAMPLES_ACCURACY = 0.5


def read(folder: Path, pattern: str) -> tuple[pa.Array, np.ndarray]:
    """Encoded images below LABEL folders, and their labels."""
    paths = sorted(folder.glob(pattern))
    return pa.array([path.read_bytes() for path in paths], pa.binary()), np.array([path.parent.name for path in paths])


def embed(images: pa.Array) -> np.ndarray:
    """(N, D) f32, with no option given: the file says all."""
    features, errors = FeatureExtractor(MODEL).extract(images)
    assert errors.null_count == len(images)
    return features.flatten().to_numpy().reshape(len(images), -1)


@pytest.fixture(scope="module")
def fruits(test_data: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Embeddings and labels of both splits."""
    splits = {split: read(test_data / "fruits" / split, "*/*.jpg") for split in ("Training", "Test")}
    assert [len(images) for images, _ in splits.values()] == [95 * 60, 95 * 24]
    return {split: (embed(images), labels) for split, (images, labels) in splits.items()}


def test_the_file_is_small():
    assert MODEL.stat().st_size <= LARGEST


def test_the_file_says_how_it_is_fed_and_where_it_comes_from():
    onnx = pytest.importorskip("onnx")
    said = {entry.key: entry.value for entry in onnx.load(MODEL).metadata_props}
    assert said["sparkcider.name"] == "fruits-tiny"
    preprocessing = ("input_size", "layout", "color_order", "normalization", "resize_mode", "filter")
    assert [said[f"sparkcider.{key}"] for key in preprocessing] == ["64", "NCHW", "RGB", "tf", "squash", "bicubic"]
    assert said["sparkcider.output_name"] == "features"
    assert "MIT" in said["sparkcider.license"]
    assert "Fruits-360" in said["sparkcider.training_set"]
    assert {"sparkcider.version", "sparkcider.origin", "sparkcider.input_name"} <= said.keys()
    extractor = FeatureExtractor(MODEL)
    assert extractor.input_size == (64, 64)
    assert extractor.embedding_dim == int(said["sparkcider.embedding_dim"])


def test_embeddings_have_length_one(fruits: dict[str, tuple[np.ndarray, np.ndarray]]):
    for embeddings, _ in fruits.values():
        assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)


def test_the_nearest_training_image_has_the_same_label(fruits: dict[str, tuple[np.ndarray, np.ndarray]]):
    known, names = fruits["Training"]
    queries, truth = fruits["Test"]
    nearest = (queries @ known.T).argmax(axis=1)  # cosine: the vectors have length 1
    assert np.mean(names[nearest] == truth) >= ACCURACY


def test_likes_lie_together_among_images_that_are_no_fruits_360(tmp_path: Path):
    samples.write_samples(tmp_path, images_per_label=6)
    (tmp_path / samples.FRUITS[0].label / samples.BROKEN).unlink()
    images, labels = read(tmp_path, "*/*.*")
    embeddings = embed(images)
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -1)
    assert np.mean(labels[cosines.argmax(axis=1)] == labels) >= SAMPLES_ACCURACY

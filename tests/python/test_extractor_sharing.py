"""An extractor in other processes, pickled, and in several threads at once."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import os
import pickle
import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from sparkcider import FeatureExtractor, ModelError

TINY = Path(__file__).parent.parent / "data" / "tiny_nchw.onnx"


def png(seed: int) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)).save(file, "PNG")
    return file.getvalue()


IMAGES = [png(seed) for seed in range(12)]


class Renamed(FeatureExtractor):
    """A subclass of a user's."""

    __slots__ = ()


@pytest.mark.parametrize("kind", [FeatureExtractor, Renamed])
def test_a_pickled_extractor_gives_the_same_bits(kind):
    options = {"resize_mode": "center_crop", "crop_ratio": 0.5, "normalization": ([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])}
    extractor = kind(TINY, **options)
    again = pickle.loads(pickle.dumps(extractor))
    assert type(again) is kind
    assert again.checksum == extractor.checksum
    features, _ = extractor.extract(IMAGES)
    assert again.extract(IMAGES)[0].equals(features)
    assert not FeatureExtractor(TINY).extract(IMAGES)[0].equals(features)  # the options count


def test_names_are_pickled_and_the_model_is_not(tmp_path):
    assert len(pickle.dumps(FeatureExtractor("fruits-tiny"))) < 1000
    pixels = pickle.loads(pickle.dumps(FeatureExtractor("pixels", input_size=(3, 4))))
    assert (pixels.input_size, pixels.checksum) == ((3, 4), "pixels")

    path = shutil.copy(TINY, tmp_path / "model.onnx")
    with_checksum = FeatureExtractor(f"file:{path}#sha256={FeatureExtractor(path).checksum}")
    assert pickle.loads(pickle.dumps(with_checksum)).checksum == with_checksum.checksum


def test_another_working_directory_finds_a_relative_path(tmp_path, monkeypatch):
    shutil.copy(TINY, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(FeatureExtractor("model.onnx"))
    monkeypatch.chdir(Path(__file__).parent)
    assert pickle.loads(data).embedding_dim == 4


def test_a_replaced_file_is_refused_with_both_checksums(tmp_path):
    path = shutil.copy(TINY, tmp_path / "model.onnx")
    extractor = FeatureExtractor(path)
    data = pickle.dumps(extractor)
    shutil.copy(TINY.with_name("tiny_nhwc.onnx"), path)
    with pytest.raises(ModelError) as caught:
        pickle.loads(data)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    assert str(caught.value) == f"{path} has checksum {found}, expected {extractor.checksum}"


def test_a_missing_file_says_what_a_pickle_holds(tmp_path):
    path = shutil.copy(TINY, tmp_path / "model.onnx")
    data = pickle.dumps(FeatureExtractor(path))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.onnx; a pickled FeatureExtractor holds the name of its model"):
        pickle.loads(data)


def test_a_fresh_process_takes_an_extractor():
    extractor = FeatureExtractor(TINY)
    expected = extractor.extract(IMAGES)[0].to_pylist()
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        features, _ = pool.submit(extractor.extract, IMAGES).result(timeout=120)
        assert pool.submit(os.getpid).result() != os.getpid()
    assert features.to_pylist() == expected


def test_joblib_takes_an_extractor():
    joblib = pytest.importorskip("joblib", reason="comes with scikit-learn")
    extractor = FeatureExtractor(TINY)
    expected = extractor.extract(IMAGES)[0].to_pylist()
    halves = joblib.Parallel(n_jobs=2)(joblib.delayed(extractor.extract)(part) for part in (IMAGES[:6], IMAGES[6:]))
    assert [row for features, _ in halves for row in features.to_pylist()] == expected


def test_threads_that_share_an_extractor_get_their_own_rows():
    extractor = FeatureExtractor(TINY)
    expected = extractor.extract(IMAGES)[0].to_pylist()
    turns = [[(start + step) % len(IMAGES) for step in range(5)] for start in range(len(IMAGES))] * 10
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda turn: extractor.extract([IMAGES[at] for at in turn])[0].to_pylist(), turns))
    assert results == [[expected[at] for at in turn] for turn in turns]

"""The same image gives the same numbers on other processors, in other batches, with other threads and processes."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor
from sparkcider.samples import FRUITS, encode_jpeg, encode_png, paint

NETWORK = 1e-6
"""Most that a value of a vector of length 1 may differ between processors: ONNX Runtime has other kernels there."""

CPUS = ("Haswell", "SandyBridge")
"""With AVX2, and without: there our portable code runs."""

ON_ANOTHER_CPU = """
import sys
sys.path[:0] = sys.argv[2:]
import numpy
from test_reproducible import numbers
numpy.savez(sys.argv[1], **numbers())
"""


def images() -> pa.Array[Any]:
    random = np.random.default_rng(0)
    encode = (encode_jpeg, encode_png)
    return pa.array([encode[at % 2](paint(fruit, random)) for at, fruit in enumerate(FRUITS)])


def numbers() -> dict[str, np.ndarray]:
    """Pixels after decode and resize, the network's input, and its output, of 20 images."""
    extractor = FeatureExtractor("fruits-tiny")
    pixels = FeatureExtractor("pixels", input_size=(48, 80), filter="lanczos", normalization="raw")
    columns = {"pixels": pixels, "input": extractor._inputs(), "features": extractor}
    return {name: np.array(each.extract(images())[0].to_pylist(), np.float32) for name, each in columns.items()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cpu", CPUS)
def test_another_processor_gives_the_same_pixels_and_nearly_the_same_features(tmp_path: Path, cpu: str):
    qemu = shutil.which("qemu-x86_64")
    if qemu is None or platform.machine() != "x86_64":
        pytest.skip("needs qemu-x86_64 on x86-64: apt-get install qemu-user")
    command = [qemu, "-cpu", cpu, os.path.realpath(sys.executable), "-c", ON_ANOTHER_CPU, str(tmp_path / "there.npz")]
    done = subprocess.run([*command, *sys.path], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    if done.returncode < 0 and "Illegal instruction" in done.stderr:
        pytest.skip(f"this Python or one of its packages needs a newer processor than {cpu}")
    assert done.returncode == 0, done.stderr[-2000:]
    here, there = numbers(), np.load(tmp_path / "there.npz")
    np.testing.assert_array_equal(there["pixels"], here["pixels"])
    np.testing.assert_array_equal(there["input"], here["input"])
    np.testing.assert_allclose(there["features"], here["features"], rtol=0, atol=NETWORK)


def test_batches_threads_and_extractors_change_no_bit():
    column, extractor = images(), FeatureExtractor("fruits-tiny")
    whole = extractor.extract(column)[0].to_pylist()
    assert [
        row for start in range(0, 20, 7) for row in extractor.extract(column[start : start + 7])[0].to_pylist()
    ] == whole
    assert [extractor.extract(column[at : at + 1])[0][0].as_py() for at in range(20)] == whole
    assert extractor.twin().extract(column)[0].to_pylist() == whole
    assert FeatureExtractor("fruits-tiny").extract(column)[0].to_pylist() == whole


@pytest.mark.parametrize("cores", ["0", "0,1"])
def test_the_number_of_cores_changes_no_bit(tmp_path: Path, cores: str):
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        pytest.skip("needs taskset and two cores")
    command = ["taskset", "-c", cores, sys.executable, "-c", ON_ANOTHER_CPU, str(tmp_path / "there.npz"), *sys.path]
    subprocess.run(command, check=True, capture_output=True, cwd=Path(__file__).parent)
    here, there = numbers(), np.load(tmp_path / "there.npz")
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values)

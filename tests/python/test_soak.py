"""Long runs leave nothing behind: `make soak` (half an hour). `make test` tries the same for a moment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from sparkcider.samples import write_samples

SOAK = "SPARKCIDER_TEST_SOAK" in os.environ
SCRIPT = Path(__file__).parent / "soak_script.py"
WARM = 0.25
"""Share of a run after which everything is loaded and every buffer has its size."""

FLAT = 1.05
PAGES = {
    "rss": 8 << 20,
    "jvm_rss": 32 << 20,
    "threads": 1,
    "jvm_threads": 8,
    "files": 2,
    "jvm_files": 8,
    "temporary": 8,
}
"""What may come on top of 5 %: small numbers come and go in steps."""


def samples(tmp_path: Path, *words: str) -> list[dict[str, int]]:
    """Runs the script; its samples."""
    (tmp_path / "tmp").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path / "tmp"),
        "SOAK_WORK": str(tmp_path),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_DIRS": str(tmp_path / "tmp"),
    }
    command = [sys.executable, str(SCRIPT), *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr[-4000:]
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"done"')]
    print("\n".join(map(json.dumps, (found[0], found[len(found) // 4], found[-1]))))
    return found


def assert_flat(found: list[dict[str, int]]) -> None:
    """The last quarter holds no more than the one after the warm-up."""
    warm = found[int(len(found) * WARM) :]
    quarter = max(len(warm) // 3, 1)
    for fact in found[0].keys() - {"done"}:
        before, after = (median(each[fact] for each in part) for part in (warm[:quarter], warm[-quarter:]))
        assert after <= FLAT * before + PAGES[fact], f"{fact}: {before:,.0f} became {after:,.0f}"


@pytest.mark.timeout(3600)
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_one_worker_embeds_millions_in_flat_memory(tmp_path: Path):
    write_samples(tmp_path / "images", images_per_label=60)
    n_images = 2_000_000 if SOAK else 20_000
    assert_flat(samples(tmp_path, "worker", "fruits-tiny", "{}", str(tmp_path / "images"), str(n_images)))


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not SOAK, reason="takes minutes: `make soak`")
def test_one_worker_embeds_with_a_larger_network_in_flat_memory(test_data: Path, tmp_path: Path):
    model = test_data / "models" / "mobilenetv2_imagenet.onnx"
    words = ["worker", str(model), json.dumps({"normalization": "tf"}), str(test_data / "fruits" / "Test"), "50000"]
    assert_flat(samples(tmp_path, *words))


@pytest.mark.timeout(3600)
@pytest.mark.skipif(not SOAK, reason="takes minutes: `make soak`")
def test_a_hundred_jobs_in_one_application_leave_nothing(tmp_path: Path):
    assert_flat(samples(tmp_path, "jobs", "100"))


def test_a_leak_is_found():
    leaking = [
        {"done": n, "rss": (100 << 20) + n * (1 << 20), "threads": 4, "files": 9, "temporary": 0} for n in range(40)
    ]
    with pytest.raises(AssertionError, match="rss: "):
        assert_flat(leaking)
    with pytest.raises(AssertionError, match="temporary: "):
        assert_flat([{**each, "rss": 1 << 20, "temporary": each["done"]} for each in leaking])
    assert_flat([{**each, "rss": 100 << 20} for each in leaking])

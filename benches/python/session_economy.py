"""What a model costs a Spark worker before its first image: seconds to load, resident memory.

    python benches/python/session_economy.py [MODEL.onnx ...] [--normalization tf]

Without models: MobileNetV2 and SqueezeNet of the test data. Each is loaded in a process of its own, as a Spark worker
does it: pyarrow first, then a FeatureExtractor, then 512 JPEGs.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from jobs.data import DATA

ROUNDS = 5

_WORKER = """
import resource, sys, time
from pathlib import Path
import pyarrow as pa
import sparkcider

def megabytes():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) / 1024

path, normalization, images = sys.argv[1], sys.argv[2] or None, Path(sys.argv[3])
before = megabytes()
start = time.perf_counter()
extractor = sparkcider.FeatureExtractor(path, normalization=normalization)
seconds = time.perf_counter() - start
loaded = megabytes()
jpegs = [file.read_bytes() for file in sorted(images.glob("*/*.jpg"))[:512]]
extractor.extract(pa.array(jpegs))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(seconds, before, loaded, megabytes(), peak)
"""


def main() -> None:
    """Prints one line per model: medians over fresh processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--normalization", default="", help="where the models do not say it")
    options = parser.parse_args()
    given = [(model, options.normalization) for model in options.models]
    folder = DATA / "models"
    models = given or [(folder / "mobilenetv2_imagenet.onnx", "tf"), (folder / "squeezenet11_imagenet.onnx", "torch")]
    print(f"{'model':<32}{'load s':>8}{'python':>8}{'loaded':>8}{'after':>8}{'peak':>8}  (MB resident)")
    for model, normalization in models:
        command = [sys.executable, "-c", _WORKER, str(model), normalization, str(DATA / "fruits" / "Test")]
        runs = [
            [float(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]  # noqa: S603
            for _ in range(ROUNDS)
        ]
        seconds, *memory = [sorted(column)[ROUNDS // 2] for column in zip(*runs)]
        print(f"{model.name:<32}{seconds:>8.3f}" + "".join(f"{value:>8.0f}" for value in memory))


if __name__ == "__main__":
    main()

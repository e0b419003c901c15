"""What 1, 2 and 4 extractors of one model take in memory, made separately or as twins (Linux with glibc).

    python benches/python/twin_memory.py [MODEL.onnx ...] [--normalization tf]

Without models: MobileNetV2 and SqueezeNet of the test data. Each way runs in a process of its own. Every extractor
embeds eight JPEGs before memory is read, and freed memory is given back to the system first.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from jobs.data import DATA

COUNTS = (1, 2, 4)

_PROCESS = """
import ctypes, sys, time
from pathlib import Path
import pyarrow as pa
import sparkcider

def megabytes(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) / 1024

how, path, normalization, images = sys.argv[1], sys.argv[2], sys.argv[3] or None, Path(sys.argv[4])
jpegs = pa.array([file.read_bytes() for file in sorted(images.glob("*/*.jpg"))[:8]])
before, extractors, found = megabytes("VmRSS"), [], []
for count in range(1, 5):
    start = time.perf_counter()
    twin = extractors and how == "twin"
    extractors.append(extractors[0].twin() if twin else sparkcider.FeatureExtractor(path, normalization=normalization))
    seconds = time.perf_counter() - start
    features = [extractor.extract(jpegs)[0] for extractor in extractors]
    assert all(feature == features[0] for feature in features)
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    found += [megabytes("VmRSS") - before, megabytes("VmHWM") - before, seconds]
print(*found)
"""


def main() -> None:
    """Prints two lines per model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--normalization", default="", help="where the models do not say it")
    options = parser.parse_args()
    given = [(model, options.normalization) for model in options.models]
    folder = DATA / "models"
    models = given or [(folder / "mobilenetv2_imagenet.onnx", "tf"), (folder / "squeezenet11_imagenet.onnx", "torch")]
    titles = [f"{count} extractor{'s' * (count > 1)}: MB, peak, s" for count in COUNTS]
    print(f"{'model':<28}{'made':<6}" + "".join(f"{title:>30}" for title in titles))
    for model, normalization in models:
        for how in ("separate", "twin"):
            command = [sys.executable, "-c", _PROCESS, how, str(model), normalization, str(DATA / "fruits" / "Test")]
            words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()  # noqa: S603
            of = {count: [float(word) for word in words[3 * (count - 1) : 3 * count]] for count in COUNTS}
            cells = (f"{now:.0f}, {peak:.0f}, {seconds:.2f}" for now, peak, seconds in (of[count] for count in COUNTS))
            print(f"{model.name:<28}{how:<6}" + "".join(f"{cell:>30}" for cell in cells))


if __name__ == "__main__":
    main()

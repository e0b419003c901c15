"""Two layers in one pass beside the deeper one alone, and beside two passes; the same images, in turns.

    python benches/python/several_layers.py [MODEL SHALLOW DEEP FOLDER [OPTION=VALUE ...]]

Default: MobileNetV2 and fruits of the test data (SPARKCIDER_TEST_DATA).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from jobs.data import DATA

from sparkcider import FeatureExtractor

N_IMAGES = 64
ROUNDS = 7
DEFAULT = (
    f"{DATA}/models/mobilenetv2_imagenet.onnx",
    "functional_1/block_14_add_1/Add:0",
    "functional_1/gap_1/Mean:0",
    f"{DATA}/fruits/Test",
    "normalization=tf",
)


def main(model: str, shallow: str, deep: str, folder: str, *given: str) -> None:
    """Prints the seconds of each, and their ratios."""
    options = dict(option.split("=", 1) for option in given)
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[:N_IMAGES]]
    layers = {"deep": deep, "both": [shallow, deep], "shallow": shallow}
    extractors = {name: FeatureExtractor(model, layer=layer, **options) for name, layer in layers.items()}  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {name: [] for name in layers}
    for _ in range(ROUNDS + 1):
        for name, extractor in extractors.items():
            begin = time.process_time()
            extractor.extract(files)
            seconds[name].append(time.process_time() - begin)
    # The first round warms up. Ratios of one round see the same machine.
    paired = [both / alone for both, alone in zip(seconds["both"][1:], seconds["deep"][1:])]
    twice = median(seconds["deep"][1:]) + median(seconds["shallow"][1:])
    print(f"{N_IMAGES} images: the deeper layer {median(seconds['deep'][1:]):.2f} s, both {median(paired):.3f} x that")
    print(f"two passes {twice / median(seconds['deep'][1:]):.2f} x")


if __name__ == "__main__":
    main(*(sys.argv[1:] or DEFAULT))

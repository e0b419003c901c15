"""Images per second of one core, from JPEG bytes to embeddings, for each network: the table of docs/models.md.

    python benches/python/networks.py [FOLDER MODEL[,OPTION=VALUE...] ...]

Without arguments: `fruits-tiny` and the networks of the test data (SPARKCIDER_TEST_DATA), on its fruits. The networks
take turns on the same images. CPU time is counted: what else the machine does slows it less.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from statistics import median

from jobs.data import DATA

from sparkcider import FeatureExtractor

N_IMAGES = 16
ROUNDS = 7


def _values(options: list[str]) -> dict[str, object]:
    pairs = (option.split("=", 1) for option in options)
    return {name: int(text) if text.isdigit() else text for name, text in pairs}


def _default() -> list[str]:
    models = [
        f"{DATA}/models/mobilenetv2_imagenet.onnx,normalization=tf",
        f"{DATA}/models/squeezenet11_imagenet.onnx,normalization=torch",
    ]
    return [f"{DATA}/fruits/Test", "fruits-tiny", *models]


def main(folder: str, *given: str) -> None:
    """Prints the median, and the ratio of each network to the first in the same round."""
    files = [path.read_bytes() for path in sorted(Path(folder).rglob("*.jpg"))[:N_IMAGES]]
    extractors = {}
    for text in given:
        model, *options = text.split(",")
        extractors[text] = FeatureExtractor(model, **_values(options))  # type: ignore[arg-type]
    seconds: dict[str, list[float]] = {text: [] for text in given}
    for _ in range(ROUNDS + 1):  # the first one warms up
        for text, extractor in extractors.items():
            begin = time.process_time()
            extractor.extract(files)
            seconds[text].append(time.process_time() - begin)
    for text, taken in seconds.items():
        ratio = median(first / own for first, own in zip(seconds[given[0]][1:], taken[1:]))
        rate = N_IMAGES / median(taken[1:])
        print(f"{text}: {rate:,.1f} images/s, D = {extractors[text].embedding_dim}, {ratio:.2f} x the first")


if __name__ == "__main__":
    main(*(sys.argv[1:] or _default()))

"""Photos of 12 megapixels to 224 x 224 pixels, exact and scaled, beside Pillow and its `draft` at the same scale.

    python benches/python/large_photos.py [--photo FILE] [--rounds 31]

The photo (default: one of the test data, else noise on slopes) is brought to 4,032 x 3,024 pixels and saved as a
baseline and as a progressive JPEG of quality 90. In each round every way decodes and resizes it once, in an order that
turns. Each time is of the processor, so that other work on the machine counts little; the pixels are compared as well.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from jobs.data import DATA
from PIL import Image

from sparkcider import FeatureExtractor

PHOTO = DATA / "photos" / "drone_DJI_0018.JPG"
WIDTH, HEIGHT, SIDE = 4032, 3024, 224
SCALE = 4
"""The smallest of 1/2, 1/4 and 1/8 that leaves 448 pixels of each side."""


def photo(path: Path) -> Image.Image:
    """The photo in 12 megapixels."""
    if path.is_file():
        with Image.open(path) as opened:
            return opened.convert("RGB").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(0).normal(0, 12, (HEIGHT, WIDTH))
    slopes = [rows / HEIGHT * 255, columns / WIDTH * 255, (rows + columns) % 256]
    return Image.fromarray(np.stack([slope + noise for slope in slopes], -1).clip(0, 255).astype(np.uint8))


def by_pillow(jpeg: bytes, scale: int) -> np.ndarray:
    """(224, 224, 3) u8 by Pillow; for a scale of over 1 by its `draft`."""
    with Image.open(io.BytesIO(jpeg)) as opened:
        if scale > 1:
            opened.draft(None, (opened.width // scale, opened.height // scale))
        return np.asarray(opened.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def by_us(jpeg: bytes, extractor: FeatureExtractor) -> np.ndarray:
    """The same by sparkcider."""
    features, _ = extractor.extract(pa.array([jpeg]))
    return features.flatten().to_numpy().reshape(SIDE, SIDE, 3)


def measure(jpeg: bytes, rounds: int) -> dict[str, float]:
    """Median milliseconds of each way."""
    options = {"input_size": SIDE, "filter": "bicubic", "normalization": "raw"}
    exact, scaled = (FeatureExtractor("pixels", decode=decode, **options) for decode in ("exact", "scaled"))
    ways = {
        "sparkcider, exact": lambda: by_us(jpeg, exact),
        "Pillow": lambda: by_pillow(jpeg, 1),
        "sparkcider, scaled": lambda: by_us(jpeg, scaled),
        "Pillow, draft": lambda: by_pillow(jpeg, SCALE),
    }
    pixels = [way() for way in ways.values()]
    np.testing.assert_array_equal(pixels[0], pixels[1])
    np.testing.assert_array_equal(pixels[2], pixels[3])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            start = time.thread_time()
            ways[name]()
            seconds[name].append(time.thread_time() - start)
    return {name: 1000 * statistics.median(times) for name, times in seconds.items()}


def main() -> None:
    """Prints a line for each kind of JPEG."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--photo", type=Path, default=PHOTO, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()
    image = photo(arguments.photo)
    for kind in ("baseline", "progressive"):
        file = io.BytesIO()
        image.save(file, "JPEG", quality=90, progressive=kind == "progressive")
        found = measure(file.getvalue(), arguments.rounds)
        times = ", ".join(f"{name} {ms:.1f} ms" for name, ms in found.items())
        print(f"{kind}, {len(file.getvalue()) / 1e6:.1f} MB: {times}")
        for ours, theirs in (("sparkcider, exact", "Pillow"), ("sparkcider, scaled", "Pillow, draft")):
            print(f"  {ours} / {theirs}: {found[ours] / found[theirs]:.2f}")


if __name__ == "__main__":
    main()

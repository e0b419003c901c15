"""The images that the jobs read.

    python -m jobs.images FOLDER TARGET --photos 24

writes photos of 12 megapixels, made of the large ones in a folder; needs pillow.
"""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

PHOTO = (4_032, 3_024)
"""Width and height of a photo of 12 megapixels, as telephones take them."""

LARGE = 3_000
"""Width from which on a photo is large enough to be made one of `PHOTO`."""


def link_fruits(fruits: Path, count: int, target: Path) -> Path:
    """Makes a folder of `count` images, the same ones each time: spread evenly over all, or all of them repeatedly.

    Args:
        fruits: Holds `Test` and `Training`, of a folder for each label.
        count: Number of files.
        target: Gets a folder for each label.
    """
    files = sorted(file for split in ("Test", "Training") for file in (fruits / split).glob("*/*.jpg"))
    if not files:
        raise SystemExit(f"{fruits}/Test and Training hold no LABEL/*.jpg: name such a folder with --fruits")
    if count <= len(files):
        chosen = [files[number * len(files) // count] for number in range(count)]
    else:
        chosen = [files[number % len(files)] for number in range(count)]
    for number, file in enumerate(chosen):
        link = target / file.parent.name / f"{file.parent.parent.name}-{number // len(files)}-{file.name}"
        link.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, link)
        except OSError:  # another file system
            shutil.copyfile(file, link)
    return target


def write_photos(source: Path, count: int, target: Path) -> None:
    """Writes `count` JPEGs of `PHOTO` and quality 90: cut out of the large photos, each elsewhere, and scaled up."""
    from PIL import Image

    large = []
    for file in sorted(source.glob("*")):
        with Image.open(file) as image:
            if image.width >= LARGE:
                large.append(image.convert("RGB"))
    if not large:
        raise SystemExit(f"{source} holds no photo of {LARGE:,} pixels width: name a folder that does with --photos")
    target.mkdir()
    turns = -(-count // len(large))
    for number in range(count):
        image = large[number % len(large)]
        height = image.height
        width = min(height * PHOTO[0] // PHOTO[1], image.width)
        left = (image.width - width) * (number // len(large)) // max(turns - 1, 1)
        photo = image.resize(PHOTO, Image.Resampling.BICUBIC, box=(left, 0, left + width, height))
        photo.save(target / f"{number:02}.jpg", quality=90)


def main() -> None:
    """Writes photos."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--photos", type=int, required=True)
    options = parser.parse_args()
    write_photos(options.source, options.photos, options.target)


if __name__ == "__main__":
    main()

"""What Pillow 12.1 makes of the project's fixtures and of the test data, one line per file.

    python make_pillow_table.py FOLDER... > odd_images_pillow.tsv
    python make_pillow_table.py --scaled FOLDER... > odd_images_scaled.tsv    # JPEGs only, at 1/2, 1/4 and 1/8
    python make_pillow_table.py --together FOLDER    # one sha256 of the pixels of all images below, by path

The reference of `tests/decode.rs`: `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`, except that single-channel
16-bit modes are scaled by `>> 8`, where Pillow would saturate at 255. Columns: file, height, width, sha256 of the
(height, width, 3) RGB bytes; or file, 0, 0, Pillow's error.
"""

import hashlib
import sys
import warnings
from pathlib import Path
from typing import Callable

import numpy as np
import PIL
from PIL import Image, ImageOps

assert PIL.__version__.startswith("12.1."), f"the reference is Pillow 12.1, this is {PIL.__version__}"
warnings.simplefilter("ignore")  # damaged EXIF and P with transparency: Pillow decodes them all the same


def rgb_pixels(path: Path) -> np.ndarray:
    """The (H, W, 3) u8 pixels that a caller of Pillow would get, with the `>> 8` rule."""
    with Image.open(path) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            grey = (np.asarray(image) >> 8).astype(np.uint8)
            return np.stack([grey] * 3, axis=-1)
        return np.asarray(image.convert("RGB"))


def table_line(path: Path) -> str:
    """One tab-separated line for one file."""
    return f"{path.name}\t{outcome(path, lambda: rgb_pixels(path))}"


def scaled_lines(path: Path) -> list:
    """A line for each scale of a JPEG: file, scale, then as in the other tables what `Image.draft` gives at that scale.

    No line where the header cannot be read, and none for a scale that no resize asks for: one that leaves less than two
    pixels of a side, or that has twice the target where a smaller scale has it, too.
    """

    def draft(scale: int) -> np.ndarray:
        with Image.open(path) as opened:
            opened.draft(None, (opened.width // scale, opened.height // scale))
            assert opened.decoderconfig == (scale, 0), (path, opened.decoderconfig)
            return np.asarray(ImageOps.exif_transpose(opened).convert("RGB"))

    def is_asked_for(scale: int, sides: tuple) -> bool:
        scaled = [-(-side // scale) for side in sides]
        return min(scaled) > 1 and (scale == 8 or any(side // 2 * 2 > -(-side // 2) for side in scaled))

    try:
        with Image.open(path) as opened:
            scales = [scale for scale in (2, 4, 8) if is_asked_for(scale, opened.size)]
    except OSError:
        return []
    return [f"{path.name}\t{scale}\t{outcome(path, lambda scale=scale: draft(scale))}" for scale in scales]


def outcome(path: Path, read: Callable[[], np.ndarray]) -> str:
    """Height, width and sha256 of the pixels that `read` gives, or Pillow's error."""
    try:
        pixels = read()
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes Pillow raise is what the table records
        reason = str(error).replace(str(path), path.name).replace(repr(str(path)), path.name)
        return f"0\t0\t{type(error).__name__}: {' '.join(reason.split())}"
    height, width, _ = pixels.shape
    return f"{height}\t{width}\t{hashlib.sha256(pixels.tobytes()).hexdigest()}"


def together(folder: str) -> str:
    """The number of images below `folder` and the sha256 of all their pixels, in the order of their paths."""
    digest = hashlib.sha256()
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for path in files:
        digest.update(rgb_pixels(path).tobytes())
    return f"{len(files)}\t{digest.hexdigest()}"


def images_in(folders: list) -> list:
    """The files of all folders, by name."""
    return sorted((path for folder in folders for path in Path(folder).iterdir()), key=lambda path: path.name)


def main(folders: list) -> None:
    """Prints the table of all image files in `folders`, by name."""
    for path in images_in(folders):
        if path.suffix.lower() in {".bmp", ".cur", ".gif", ".ico", ".jpg", ".png", ".qoi", ".tif", ".tiff", ".webp"}:
            print(table_line(path))


if __name__ == "__main__":
    if sys.argv[1] == "--together":
        print(together(sys.argv[2]))
    elif sys.argv[1] == "--scaled":
        jpegs = (path for path in images_in(sys.argv[2:]) if path.suffix.lower() == ".jpg")
        print(*(line for path in jpegs for line in scaled_lines(path)), sep="\n")
    else:
        main(sys.argv[1:])

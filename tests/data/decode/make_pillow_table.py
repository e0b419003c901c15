"""What Pillow 12.1 makes of the project's fixtures and of the test data, one line per file.

    python make_pillow_table.py FOLDER... > odd_images_pillow.tsv
    python make_pillow_table.py --together FOLDER    # one sha256 of the pixels of all images below, by path

The reference of `tests/decode.rs`: `ImageOps.exif_transpose(Image.open(f)).convert("RGB")`, except that single-channel
16-bit modes are scaled by `>> 8`, where Pillow would saturate at 255. Columns: file, height, width, sha256 of the
(height, width, 3) RGB bytes; or file, 0, 0, Pillow's error.
"""

import hashlib
import sys
import warnings
from pathlib import Path

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
    try:
        pixels = rgb_pixels(path)
    except Exception as error:  # noqa: BLE001 - whatever a broken file makes Pillow raise is what the table records
        reason = str(error).replace(str(path), path.name).replace(repr(str(path)), path.name)
        return f"{path.name}\t0\t0\t{type(error).__name__}: {' '.join(reason.split())}"
    height, width, _ = pixels.shape
    return f"{path.name}\t{height}\t{width}\t{hashlib.sha256(pixels.tobytes()).hexdigest()}"


def together(folder: str) -> str:
    """The number of images below `folder` and the sha256 of all their pixels, in the order of their paths."""
    digest = hashlib.sha256()
    files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    for path in files:
        digest.update(rgb_pixels(path).tobytes())
    return f"{len(files)}\t{digest.hexdigest()}"


def main(folders: list) -> None:
    """Prints the table of all image files in `folders`, by name."""
    files = (path for folder in folders for path in Path(folder).iterdir())
    for path in sorted(files, key=lambda path: path.name):
        if path.suffix.lower() in {".bmp", ".gif", ".jpg", ".png", ".tif", ".tiff", ".webp"}:
            print(table_line(path))


if __name__ == "__main__":
    if sys.argv[1] == "--together":
        print(together(sys.argv[2]))
    else:
        main(sys.argv[1:])

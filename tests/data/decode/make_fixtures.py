"""Writes one small image file per format, mode and orientation, with Pillow 12.1.

    python make_fixtures.py          # rewrites the files beside it and fixtures.tsv, background.tsv, scaled.tsv

The expected pixels are in fixtures.tsv (see make_pillow_table.py), laid over `BACKGROUND` in background.tsv, and those
of the JPEGs at 1/2, 1/4 and 1/8 of their sides in scaled.tsv.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from make_pillow_table import scaled_lines, table_line
from PIL import Image, ImageOps, PngImagePlugin

FOLDER = Path(__file__).parent
BACKGROUND = (200, 100, 50)
HEIGHT, WIDTH = 13, 17
ORIENTATION = 0x0112
SUFFIXES = {".jpg", ".png", ".gif", ".bmp", ".tif", ".webp", ".ico", ".cur", ".qoi"}


def photo() -> Image.Image:
    """An RGB image without symmetry: gradients, and noise from a fixed seed."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    noise = np.random.default_rng(7).integers(0, 40, (HEIGHT, WIDTH))
    channels = [rows * 16, columns * 14, (rows + columns) * 6]
    return Image.fromarray(np.stack([channel + noise for channel in channels], -1).clip(0, 255).astype("uint8"))


def alpha() -> Image.Image:
    """An L image from transparent to opaque."""
    return Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype("uint8"))


def modes() -> dict:
    """The image in every mode that a file can hold."""
    rgb = photo()
    rgba = rgb.copy()
    rgba.putalpha(alpha())
    grey16 = Image.fromarray((np.arange(HEIGHT * WIDTH, dtype="uint16") * 296).reshape(HEIGHT, WIDTH))
    grey = rgb.convert("L")
    la = Image.merge("LA", (grey, alpha()))
    palette = rgb.quantize(16)
    return {
        "1": rgb.convert("1"),
        "L": grey,
        "LA": la,
        "P": palette,
        "RGB": rgb,
        "RGBA": rgba,
        "CMYK": rgb.convert("CMYK"),
        "I16": grey16,
        "F": Image.fromarray(np.asarray(grey, "float32") * 1.5 - 40),
        "I": Image.fromarray(np.asarray(grey, "int32") * 2 - 100),
    }


def save(name: str, image: Image.Image, **options: Any) -> None:
    """Writes one fixture."""
    image.save(FOLDER / name, **options)


def write_modes() -> None:
    """Every mode in every format that takes it."""
    images = modes()
    for mode in ("L", "RGB", "CMYK"):
        save(f"{mode}.jpg", images[mode], quality=80)
        save(f"{mode}_progressive.jpg", images[mode], quality=80, progressive=True)
    for subsampling in (0, 1, 2):
        save(f"subsampling{subsampling}.jpg", images["RGB"], quality=80, subsampling=subsampling)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I16"):
        save(f"{mode}.png", images[mode])
    save("P_one_transparent.png", images["P"], transparency=3)
    save("P_alphas.png", images["P"], transparency=bytes(range(0, 256, 16)))
    save("L_transparent.png", images["L"], transparency=images["L"].getpixel((3, 3)))
    save("RGB_transparent.png", images["RGB"], transparency=images["RGB"].getpixel((3, 3)))
    save("P_bits2.png", images["RGB"].quantize(4), bits=2)
    save("animation.png", images["RGB"], save_all=True, append_images=[ImageOps.mirror(images["RGB"])])
    save("animation_default.png", images["RGB"], save_all=True, default_image=True, append_images=[images["RGBA"]])
    for mode in ("1", "L", "P", "RGB"):
        save(f"{mode}.gif", images[mode])
    save("P_transparent.gif", images["P"], transparency=2)
    save("interlaced.gif", images["P"], interlace=True)
    save("animation.gif", images["P"], save_all=True, append_images=[ImageOps.mirror(images["P"])])
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        save(f"{mode}.bmp", images[mode])
    for mode, image in images.items():
        save(f"{mode}.tif", image)
    for compression in ("packbits", "tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        save(f"{compression}.tif", images["RGB"], compression=compression)
    save("group4.tif", images["1"], compression="group4")
    save("predictor.tif", images["RGB"], compression="tiff_lzw", tiffinfo={317: 2})
    for mode in ("L", "RGB", "RGBA"):
        save(f"{mode}_lossless.webp", images[mode], lossless=True)
        save(f"{mode}.webp", images[mode], quality=70)
    save("animation.webp", images["RGB"], save_all=True, append_images=[ImageOps.mirror(images["RGB"])], lossless=True)
    for mode in ("RGB", "RGBA"):
        save(f"{mode}.qoi", images[mode])
    write_icons(images)


def write_icons(images: dict) -> None:
    """Icons of PNGs and of bitmaps, of several images, with a mask; cursors, which are icons but for a byte."""
    small, large = (8, 8), (WIDTH, HEIGHT)
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I16"):
        save(f"{mode}.ico", images[mode], sizes=[large])
    for mode in ("1", "L", "P", "RGB", "RGBA"):
        save(f"{mode}_bitmap.ico", images[mode], sizes=[large], bitmap_format="bmp")
    save("sizes.ico", images["RGBA"], sizes=[small, large])
    save("depths.ico", ImageOps.mirror(images["RGB"]), append_images=[images["P"]], sizes=[large], bitmap_format="bmp")
    for mode in ("P", "RGB", "RGBA"):
        bitmap = (FOLDER / f"{mode}_bitmap.ico").read_bytes()
        (FOLDER / f"{mode}.cur").write_bytes(bitmap[:2] + b"\2" + bitmap[3:])
    for mode in ("1", "P", "RGB", "RGBA"):
        (FOLDER / f"{mode}_mask.ico").write_bytes(with_mask((FOLDER / f"{mode}_bitmap.ico").read_bytes()))


def with_mask(icon: bytes) -> bytes:
    """The icon of one bitmap with a mask of noise, which counts: the directory states no 32 bits per pixel."""
    row = -(-WIDTH // 32) * 4
    mask = np.random.default_rng(8).integers(0, 256, row * HEIGHT, dtype="uint8").tobytes()
    bits = int.from_bytes(icon[12:14], "little")
    # Pillow writes its empty mask without the padding of rows that it reads, and none behind 32 bits per pixel
    bitmap = icon[22:] if bits == 32 else icon[22 : -(-(-WIDTH // 8) * HEIGHT)]
    size = len(bitmap) + len(mask)
    return icon[:12] + (bits % 32).to_bytes(2, "little") + size.to_bytes(4, "little") + icon[18:22] + bitmap + mask


def write_orientations() -> None:
    """All eight turns in JPEG; one in each other place that can hold a turn; EXIF that is broken."""
    rgb = photo()
    for number in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = number
        save(f"orientation{number}.jpg", rgb, quality=80, exif=exif)
    save("orientation6.png", rgb, exif=exif_of(6))
    save("orientation5.webp", rgb, exif=exif_of(5), lossless=True)
    save("orientation8.tif", rgb, tiffinfo={ORIENTATION: 8})
    save("exif_cut.jpg", rgb, quality=80, exif=exif_of(6)[:17])
    save("exif_nonsense.jpg", rgb, quality=80, exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="3"/></x:xmpmeta>'
    save("xmp3.jpg", rgb, quality=80, xmp=xmp)
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    save("xmp3.png", rgb, pnginfo=text)


def exif_of(number: int) -> bytes:
    """EXIF data of one orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = number
    return exif.tobytes()


def over_background(path: Path) -> str:
    """The table line of a file with transparency, pasted over `BACKGROUND`."""
    with Image.open(path) as opened:
        rgba = ImageOps.exif_transpose(opened).convert("RGBA")
    under = Image.new("RGB", rgba.size, BACKGROUND)
    under.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
    return f"{path.name}\t{rgba.height}\t{rgba.width}\t{hashlib.sha256(under.tobytes()).hexdigest()}"


def main() -> None:
    """Writes all files and the tables."""
    write_modes()
    write_orientations()
    files = sorted(
        (path for path in FOLDER.iterdir() if path.suffix in SUFFIXES),
        key=lambda path: path.name,
    )
    (FOLDER / "fixtures.tsv").write_text("".join(table_line(path) + "\n" for path in files))
    see_through = [path for path in files if path.suffix not in {".jpg", ".bmp"}]
    see_through = [path for path in see_through if path.stem not in {"I16", "I", "F"}]
    (FOLDER / "background.tsv").write_text("".join(over_background(path) + "\n" for path in see_through))
    jpegs = [path for path in files if path.suffix == ".jpg"]
    (FOLDER / "scaled.tsv").write_text("".join(line + "\n" for path in jpegs for line in scaled_lines(path)))


if __name__ == "__main__":
    main()

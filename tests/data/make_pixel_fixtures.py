"""Writes resize.tsv and tensor.tsv: checksums of what Pillow and numpy make of images that the Rust tests make again.

Needs Pillow 12.1 (13 resizes otherwise) and numpy 2.
"""

import hashlib
import random
from pathlib import Path

import numpy as np
import PIL
from PIL import Image, ImageOps

HERE = Path(__file__).parent
FILTERS = [Image.Resampling[name] for name in ("NEAREST", "BOX", "BILINEAR", "HAMMING", "BICUBIC", "LANCZOS")]
BACKGROUND = (10, 200, 30)
# up, down, one side only, sides of one pixel, ratios of up to 3000, sides around the 16 bytes that are summed at once
SIZES = [
    ((100, 100), (224, 224)), ((300, 400), (224, 224)), ((224, 224), (20, 20)), ((37, 53), (37, 90)),
    ((37, 53), (80, 53)), ((37, 53), (37, 53)), ((1, 1), (7, 9)), ((1, 50), (20, 20)), ((50, 1), (20, 20)),
    ((64, 64), (1, 1)), ((3000, 2), (1, 5)), ((2, 3000), (5, 1)), ((5, 6), (300, 5)), ((9, 5), (4, 6)),
    ((1, 3), (1, 200)), ((17, 4), (16, 16)), ((480, 640), (96, 160)),
]  # fmt: skip


def noise(height: int, width: int, seed: int) -> np.ndarray:
    """(height, width, 3) uint8; black and white only where the seed is odd, for sums far outside 0..255."""
    value = np.arange(height * width * 3, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed * 40503)
    value ^= value >> np.uint32(15)
    value *= np.uint32(2246822519)
    levels = (value >> np.uint32(24)).astype(np.uint8)
    if seed % 2:
        levels = np.where(levels < 128, 0, 255).astype(np.uint8)
    return levels.reshape(height, width, 3)


def center_crop(image: Image.Image, size: tuple[int, int], resample: int, crop_ratio: float) -> Image.Image:
    """torchvision's Resize and CenterCrop, for a target of any ratio."""
    height, width = size
    box_height, box_width = round(height / crop_ratio), round(width / crop_ratio)
    if image.width * box_height >= image.height * box_width:
        scaled = (int(box_height * image.width / image.height), box_height)
    else:
        scaled = (box_width, int(box_width * image.height / image.width))
    image = image.resize(scaled, resample)
    top, left = round((image.height - height) / 2.0), round((image.width - width) / 2.0)
    return image.crop((left, top, left + width, top + height))


def resized(image: Image.Image, size: tuple[int, int], resample: int, mode: str) -> Image.Image:
    """The image at (height, width) under a mode of sparkcider."""
    height, width = size
    if mode == "center_crop":
        return center_crop(image, size, resample, 0.875)
    if mode == "letterbox":
        return ImageOps.pad(image, (width, height), resample, color=BACKGROUND)
    return image.resize((width, height), resample)


def resize_cases() -> list[str]:
    """Lines of height, width, out height, out width, filter, mode, sha256; the seed is the number of the line."""
    dice = random.Random(12)  # noqa: S311
    sizes = SIZES + [tuple((dice.randint(1, 90), dice.randint(1, 90)) for _ in range(2)) for _ in range(12)]
    lines = []
    for size, out_size in sizes:
        for resample in FILTERS:
            for mode in ("squash", "center_crop", "letterbox"):
                image = Image.fromarray(noise(*size, seed=len(lines)))
                if max(size) > 40 * min(size) and mode != "squash":
                    continue  # Pillow fails on a side that rounds down to 0
                pixels = np.asarray(resized(image, out_size, resample, mode))
                digest = hashlib.sha256(pixels.tobytes()).hexdigest()
                lines.append("\t".join(map(str, (*size, *out_size, resample.name.lower(), mode, digest))))
    return lines


def keras(pixels: np.ndarray, mode: str) -> np.ndarray:
    """keras.applications.imagenet_utils._preprocess_numpy_input, channels last; caffe's BGR turned back to RGB."""
    x = pixels.astype(np.float32)
    if mode == "tf":
        x /= 127.5
        x -= 1.0
        return x
    if mode == "caffe":
        for channel, mean in enumerate((123.68, 116.779, 103.939)):
            x[..., channel] -= mean
        return x
    x /= 255.0
    for channel, (mean, std) in enumerate(zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))):
        x[..., channel] -= mean
        x[..., channel] /= std
    return x


def tensor_cases() -> list[str]:
    """layout, colour order, normalization, sha256 of the float32 values of noise(32, 24, seed 0)."""
    pixels = noise(32, 24, 0)
    scaled = pixels.astype(np.float32) / np.float32(255)
    tensors = {mode: keras(pixels, mode) for mode in ("tf", "caffe", "torch")}
    tensors["unit"] = scaled
    tensors["raw"] = pixels.astype(np.float32)
    mean, std = np.float32([0.1, 0.2, 0.3]), np.float32([0.5, 2.0, -0.25])
    tensors["mean_std"] = (scaled - mean) / std
    lines = []
    for name, tensor in tensors.items():
        for color_order in ("RGB", "BGR"):
            ordered = tensor if color_order == "RGB" else tensor[..., ::-1]
            for layout in ("NHWC", "NCHW"):
                values = ordered if layout == "NHWC" else ordered.transpose(2, 0, 1)
                digest = hashlib.sha256(np.ascontiguousarray(values, dtype="<f4").tobytes()).hexdigest()
                lines.append(f"{layout}\t{color_order}\t{name}\t{digest}")
    return lines


if __name__ == "__main__":
    for name, lines in (("resize", resize_cases()), ("tensor", tensor_cases())):
        versions = f"# made by {Path(__file__).name} with Pillow {PIL.__version__}, numpy {np.__version__}"
        (HERE / f"{name}.tsv").write_text("\n".join([versions, *lines]) + "\n")

"""Deterministic sample images for the demo, the tests and the notebooks.

Twenty labels of fruit-like objects: lit, textured, turned, on backgrounds with shadow and sensor noise, in various
sizes; JPEG mostly, every sixth a PNG, and one broken file, as real folders have them. numpy paints, nothing is
downloaded.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sparkcider import _native

SIDES = (96, 224)
"""Smallest and largest side of a sample, in pixels."""
BROKEN = "broken.jpg"
"""Name of the one file that is cut off in its header."""
_EVERY_PNG = 6
_SPOT_LEVEL = 0.72

_Field = npt.NDArray[np.float64]
_Rgb = tuple[int, int, int]


class Fruit(NamedTuple):
    """How the objects of one label look; colours are RGB levels."""

    label: str
    color: _Rgb
    accent: _Rgb
    length: float
    """Longest over shortest half-axis of the outline."""
    texture: str
    """``plain``, ``spots``, ``stripes``, ``rings`` or ``rough``."""


FRUITS = (
    Fruit("Apple Green", (140, 180, 60), (190, 210, 110), 1.05, "plain"),
    Fruit("Apple Red", (170, 30, 40), (215, 150, 70), 1.05, "stripes"),
    Fruit("Apricot", (235, 160, 70), (220, 110, 60), 1.0, "plain"),
    Fruit("Avocado", (60, 75, 40), (35, 45, 25), 1.5, "rough"),
    Fruit("Banana", (235, 205, 70), (120, 90, 40), 2.6, "spots"),
    Fruit("Blueberry", (65, 75, 130), (120, 130, 175), 1.0, "rough"),
    Fruit("Cherry", (120, 15, 35), (150, 30, 45), 1.0, "plain"),
    Fruit("Coconut", (110, 80, 55), (70, 50, 35), 1.1, "rough"),
    Fruit("Grape White", (185, 195, 110), (150, 170, 80), 1.3, "plain"),
    Fruit("Kiwi", (125, 100, 60), (90, 75, 45), 1.3, "rough"),
    Fruit("Lemon", (240, 215, 60), (225, 190, 40), 1.4, "spots"),
    Fruit("Lime", (95, 150, 50), (70, 120, 40), 1.2, "spots"),
    Fruit("Mango", (225, 150, 60), (180, 60, 50), 1.45, "rings"),
    Fruit("Onion", (185, 120, 70), (140, 75, 50), 1.05, "stripes"),
    Fruit("Orange", (240, 140, 30), (215, 110, 20), 1.0, "spots"),
    Fruit("Peach", (240, 170, 120), (205, 80, 70), 1.0, "rings"),
    Fruit("Pear", (195, 190, 80), (150, 130, 60), 1.6, "spots"),
    Fruit("Plum", (85, 40, 90), (120, 80, 130), 1.2, "plain"),
    Fruit("Strawberry", (200, 35, 45), (235, 200, 120), 1.25, "spots"),
    Fruit("Watermelon", (60, 110, 50), (150, 180, 100), 1.3, "stripes"),
)
"""The twenty labels."""


def write_samples(folder: str | Path, *, images_per_label: int = 12, seed: int = 20) -> int:
    """Writes the sample images as ``folder/LABEL/000.jpg`` and returns how many files there are.

    The same arguments give the same files, byte for byte, on one machine and set of versions.

    Args:
        folder: Where the label folders go; made if missing.
        images_per_label: Images of each of the 20 labels; one broken file comes on top.
        seed: Seed of every random choice.

    Returns:
        The number of files, the broken one included.

    Raises:
        ValueError: If ``images_per_label`` is less than 1.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_samples(folder, images_per_label=1)
        21
    """
    if images_per_label < 1:
        raise ValueError(f"images_per_label must be at least 1, got {images_per_label}")
    root = Path(folder)
    for position, fruit in enumerate(FRUITS):
        # One stream per label: more images of one label change nothing of another.
        rng = np.random.default_rng([seed, position])
        label = root / fruit.label
        label.mkdir(parents=True, exist_ok=True)
        for index in range(images_per_label):
            pixels = paint(fruit, rng)
            png = index % _EVERY_PNG == _EVERY_PNG - 1
            encoded = encode_png(pixels) if png else encode_jpeg(pixels)
            (label / f"{index:03d}.{'png' if png else 'jpg'}").write_bytes(encoded)
    first = root / FRUITS[0].label
    (first / BROKEN).write_bytes((first / "000.jpg").read_bytes()[:100])
    return len(FRUITS) * images_per_label + 1


def paint(fruit: Fruit, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Paints one image (H, W, 3) u8 of a fruit, every choice taken from ``rng``."""
    height, width = (int(side) for side in rng.integers(*SIDES, size=2, endpoint=True))
    across, down = _object_axes(fruit, rng, height, width)
    radius = np.hypot(across, down)
    light = rng.uniform((-0.6, -0.7), (0.6, -0.2))
    canvas = _background(rng, height, width)
    canvas *= 1.0 - 0.45 * _inside(np.hypot(across + 0.25 * light[0], down + 0.25 * light[1]), softness=0.5)[..., None]
    skin = _skin(fruit, rng, across, down) * _shade(across, down, radius, light)[..., None]
    skin += 60.0 * _gloss(across, down, light)[..., None]
    cover = _inside(radius, softness=0.03)[..., None]
    noise = rng.normal(0.0, 3.0, (height, width, 1)) + rng.normal(0.0, 1.5, (height, width, 3))
    levels = cover * skin + (1.0 - cover) * canvas + noise
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def encode_jpeg(pixels: npt.NDArray[np.uint8], quality: int = 90) -> bytes:
    """Encodes (H, W, 3) u8 RGB pixels as a baseline JPEG."""
    height, width, _ = pixels.shape
    return _native._encode_jpeg(pixels.tobytes(), height, width, quality)


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encodes (H, W, 3) u8 RGB pixels as a PNG without line filters."""
    height, width, _ = pixels.shape
    lines = np.zeros((height, 1 + width * 3), np.uint8)  # each line begins with its filter's number: 0, none
    lines[:, 1:] = pixels.reshape(height, width * 3)

    def chunk(kind: bytes, content: bytes) -> bytes:
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)  # 8 bits, RGB, not interlaced
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines.tobytes(), 6)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def _object_axes(fruit: Fruit, rng: np.random.Generator, height: int, width: int) -> tuple[_Field, _Field]:
    """Coordinates (H, W) along and across the turned object; its outline is the unit circle."""
    center_y, center_x = rng.uniform(0.42, 0.58, 2) * (height, width)
    half = rng.uniform(0.3, 0.4) * min(height, width)
    y, x = np.mgrid[0:height, 0:width].astype(np.float64)
    angle = rng.uniform(0.0, np.pi)
    along = ((x - center_x) * np.cos(angle) + (y - center_y) * np.sin(angle)) / half
    across = ((y - center_y) * np.cos(angle) - (x - center_x) * np.sin(angle)) / half
    if fruit.label == "Banana":
        across += 0.45 * along**2 - 0.15
    return along, across * fruit.length


def _inside(radius: _Field, softness: float) -> _Field:
    """1 inside the unit circle, 0 outside, with an edge of the given softness."""
    edge: _Field = np.clip((1.0 + softness - radius) / (2.0 * softness), 0.0, 1.0)
    return edge


def _shade(across: _Field, down: _Field, radius: _Field, light: npt.NDArray[np.float64]) -> _Field:
    """Brightness of a ball lit from ``light`` (x, y in units of its radius): ambient 0.45, the rest diffuse."""
    depth = np.sqrt(np.clip(1.0 - radius**2, 0.0, None))
    height = np.sqrt(1.0 - min(0.9, float(light @ light)))
    shade: _Field = 0.45 + 0.65 * np.clip(across * light[0] + down * light[1] + depth * height, 0.0, None)
    return shade


def _gloss(across: _Field, down: _Field, light: npt.NDArray[np.float64]) -> _Field:
    """The bright spot where the ball mirrors the lamp, in [0, 1]."""
    gloss: _Field = np.exp(-12.0 * ((across - 0.6 * light[0]) ** 2 + (down - 0.6 * light[1]) ** 2))
    return gloss


def _skin(fruit: Fruit, rng: np.random.Generator, across: _Field, down: _Field) -> _Field:
    """The object's colours (H, W, 3) before light: its colour, the accent mixed in by the texture."""
    shape = across.shape
    cloud = _noise(rng, shape, cells=5)
    phase = rng.uniform(0.0, 2.0 * np.pi)
    if fruit.texture == "stripes":
        mix = 0.5 + 0.5 * np.sin(9.0 * down + 3.0 * cloud + phase)
    elif fruit.texture == "rings":
        mix = np.clip(1.2 * np.hypot(across - 0.5, down - 0.3) - 0.4 + 0.3 * cloud, 0.0, 1.0)
    elif fruit.texture == "spots":
        mix = (_noise(rng, shape, cells=22) > _SPOT_LEVEL).astype(np.float64)
    elif fruit.texture == "rough":
        mix = _noise(rng, shape, cells=40)
    else:
        mix = 0.6 * cloud
    base, accent = np.array(fruit.color, np.float64), np.array(fruit.accent, np.float64)
    ripeness = rng.normal(1.0, 0.06, 3)
    colors: _Field = (base + (accent - base) * mix[..., None]) * ripeness
    return colors


def _background(rng: np.random.Generator, height: int, width: int) -> _Field:
    """A table or a cloth (H, W, 3): a tone, a slope of light and a soft grain."""
    tone = rng.uniform(120.0, 235.0) + rng.normal(0.0, 12.0, 3)
    slope = np.linspace(-1.0, 1.0, width) * rng.uniform(-20, 20) + np.linspace(-1.0, 1.0, height)[:, None] * 15.0
    grain = 24.0 * (_noise(rng, (height, width), cells=int(rng.integers(3, 30))) - 0.5)
    canvas: _Field = tone + (slope + grain)[..., None]
    return canvas


def _noise(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> _Field:
    """Smooth noise (H, W) in [0, 1]: a random grid of ``cells`` x ``cells``, bilinear between its points."""
    grid = rng.random((cells + 1, cells + 1))
    y = np.linspace(0.0, cells, shape[0], endpoint=False)
    x = np.linspace(0.0, cells, shape[1], endpoint=False)
    top, left = y.astype(int), x.astype(int)
    dy, dx = (y - top)[:, None], x - left
    upper = grid[top][:, left] * (1 - dx) + grid[top][:, left + 1] * dx
    lower = grid[top + 1][:, left] * (1 - dx) + grid[top + 1][:, left + 1] * dx
    noise: _Field = upper * (1 - dy) + lower * dy
    return noise

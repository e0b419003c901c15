"""Images with planted truth: scenes that no two are alike of, and what people do to images."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageOps

if TYPE_CHECKING:
    from collections.abc import Callable

    from sparkcider import FeatureExtractor


class Rows(NamedTuple):
    """Encoded images with their names and labels."""

    path: list[str]
    label: list[str | None]
    content: list[bytes]

    def table(self, extractor: FeatureExtractor) -> pa.Table:
        """The rows as a job writes them."""
        images = pa.array(self.content, pa.binary())
        features, errors, _, previews = extractor._extract_with_previews(images, thumbnails=True)
        assert errors.null_count == len(errors)
        columns = [pa.array(self.path), pa.array(self.label, pa.string()), features.cast(pa.list_(pa.float32()))]
        return pa.table(
            [*columns, *previews.flatten()], ["path", "label", "features", "digest", "fingerprint", "thumbnail"]
        )


def scene(seed: int, size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Shapes of random colours, sizes and places."""
    random = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(random.integers(0, 256, 3).tolist()))
    draw = ImageDraw.Draw(image)
    for _ in range(25):
        x, y = random.integers(0, size[0]), random.integers(0, size[1])
        wide, high = random.integers(10, size[0] // 2), random.integers(10, size[1] // 2)
        shape = draw.ellipse if random.random() < 0.5 else draw.rectangle
        shape((int(x), int(y), int(x + wide), int(y + high)), fill=tuple(random.integers(0, 256, 3).tolist()))
    return image


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """An image file."""
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def cropped(image: Image.Image) -> Image.Image:
    """Without 5 % of each side."""
    across, down = image.width // 40, image.height // 40
    return image.crop((across, down, image.width - across, image.height - down))


COPIES: dict[str, Callable[[Image.Image], bytes]] = {
    "re-encoded": lambda image: encoded(image, quality=40),
    "as PNG": lambda image: encoded(image, "PNG"),
    "half the size": lambda image: encoded(image.resize((image.width // 2, image.height // 2)), quality=85),
    "twice the size": lambda image: encoded(image.resize((image.width * 2, image.height * 2)), quality=85),
    "mirrored": lambda image: encoded(ImageOps.mirror(image), quality=85),
}
"""What makes a copy of an image that is found by its fingerprint."""

"""A float32 model to int8: calibrated on the user's images where it must be, judged on others of them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from sparkcider._native import FeatureExtractor
from sparkcider.models import PREFIX, descriptions, one_file, resolve, show
from sparkcider.models.export.source import set_metadata
from sparkcider.models.int8 import tools, write_int8
from sparkcider.storage.fetch import fetch
from sparkcider.storage.files import upload
from sparkcider.storage.listing import list_files
from sparkcider.storage.uri import redacted_uri

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from sparkcider.options import ExtractorOptions

FEWEST_IMAGES = 16
"""To calibrate on: fewer do not show the range of a network's values."""

COMPONENTS = 50
"""Principal components whose explained variance is compared; study C looked at 20, study A at 25."""

SPEED_ROUNDS = 15
SPEED_IMAGES = 8


class Sample(NamedTuple):
    """An image and the folder that it is in."""

    label: str
    content: bytes


class QuantizationReport(NamedTuple):
    """What int8 costs and gives, on images that it was not calibrated on.

    Attributes:
        images: How many it was judged by.
        cosine_min: Smallest cosine of an int8 embedding to its float32 one.
        cosine_median: Their median.
        nearest_agreement: Share of images whose nearest calibration image is the same one with both models.
        accuracy: Share of images whose nearest calibration image is in a folder of the same name, (float32, int8);
            None for images of one folder.
        variance_difference: Largest difference of the cumulative explained variance of the first 50 components.
        speed_ratio: Time of float32 over time of int8, from encoded bytes, one thread; median of paired runs.
        size_ratio: Size of the float32 file over that of the int8 one.
    """

    images: int
    cosine_min: float
    cosine_median: float
    nearest_agreement: float
    accuracy: tuple[float, float] | None
    variance_difference: float
    speed_ratio: float
    size_ratio: float

    def lines(self) -> list[str]:
        """The report as people read it."""
        rows = [
            ("judged by", f"{self.images:,} images that were not calibrated on"),
            ("cosine to float32", f"min {self.cosine_min:.4f}, median {self.cosine_median:.4f}"),
            ("same nearest neighbour", f"{self.nearest_agreement:.1%}"),
            ("explained variance", f"differs by {self.variance_difference:.4f} at most, of {COMPONENTS} components"),
            ("speed", f"{self.speed_ratio:.2f} x float32"),
            ("size", f"1/{self.size_ratio:.1f} of float32"),
        ]
        if self.accuracy is not None:
            rows.insert(3, ("1-NN accuracy", f"{self.accuracy[0]:.1%} float32, {self.accuracy[1]:.1%} int8"))
        return [f"{key:<24} {text}" for key, text in rows]


def quantize(
    model: str | os.PathLike[str],
    images: str,
    to: str | os.PathLike[str],
    *,
    n: int = 256,
    **options: Unpack[ExtractorOptions],
) -> QuantizationReport:
    """Writes `model` as int8 to `to` and measures what that costs.

    A network of convolutions becomes static int8 (QDQ, weights per channel). Of a transformer the matrix products with
    weights do, with the ranges of each image (dynamic).

    Args:
        model: Of float32; as in `sparkcider.models.resolve`.
        images: Images like those to be embedded: a folder, which is searched at any depth, a file or a glob, as a path
            or URI; found by the rules of the job's `input`.
        to: Path or URI of the int8 model; its metadata says all that the options say.
        n: Images to calibrate on; as many others judge the result.
        **options: Those of `FeatureExtractor` that the model does not say itself.

    Raises:
        ImportError: The extra `quantize` is not installed.
        ModelError: The network cannot be quantized.
        ValueError: There are too few images, or an option has a value that it cannot take.
        FileNotFoundError: There is no such model or folder.
    """
    extra = tools()
    path = Path(resolve(model))
    native: dict[str, Any] = {**options}
    description = descriptions.describe(path, native.pop("preprocessing", None))
    said = {} if description is None else dict(description.entries)
    path = one_file(path)
    original = FeatureExtractor(path, description=description.native() if description else (), **native)
    if original.layer_dims is not None:
        raise ValueError(f"layer must be one name, as one output of both models is compared, got {native['layer']!r}")
    calibration, judges = _samples(images, n, original)
    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder:
        made = Path(folder, "int8.onnx")
        done = write_int8(extra, path, made, original, [sample.content for sample in calibration])
        metadata = _metadata(path, said, native, original)
        int8 = extra.onnx.load(made)
        for entry in [entry for entry in int8.metadata_props if entry.key.startswith(PREFIX)]:
            int8.metadata_props.remove(entry)  # those of the original
        set_metadata(int8, {**metadata, "quantized": done})
        made.write_bytes(int8.SerializeToString())
        # `layer` and all else as said: both models get the same
        report = _report(original, FeatureExtractor(made, **native), calibration, judges)
        report = report._replace(size_ratio=path.stat().st_size / made.stat().st_size)
        upload(made, str(to))
    return report


def _samples(images: str, n: int, extractor: FeatureExtractor) -> tuple[list[Sample], list[Sample]]:
    """Up to n images to calibrate on and n to judge by, spread evenly over the folder, all readable."""
    if n < FEWEST_IMAGES:
        raise ValueError(f"n must be at least {FEWEST_IMAGES} images, got {n}")
    files = list_files(images)
    rows = np.linspace(0, len(files) - 1, min(2 * n, len(files))).astype(int)
    chosen = files.take(pa.array(rows, pa.int64()))
    paths = chosen["path"].to_pylist()
    samples = []
    for path, fetched in zip(paths, fetch(paths, lengths=chosen["length"].to_pylist())):
        if fetched.content is None:
            raise OSError(f"{redacted_uri(path)}: {fetched.reason}")
        samples.append(Sample(path.rpartition("/")[0], fetched.content))
    readable = extractor._inputs().extract(pa.array([sample.content for sample in samples], pa.binary()))[1]  # noqa: SLF001
    good = [sample for sample, error in zip(samples, readable.to_pylist()) if error is None]
    if len(good) < 2 * FEWEST_IMAGES:
        raise ValueError(f"{images} must have at least {2 * FEWEST_IMAGES} images that can be read, found {len(good)}")
    return good[::2], good[1::2]


_WRITTEN = (
    "normalization", "resize_mode", "crop_ratio", "filter", "rounding", "resize_dtype", "color_order", "layout",
    "layer", "layer_layout", "pooling", "prefix_tokens", "l2_normalize",
)  # fmt: skip

_PREPARATION = frozenset(
    {
        "input_size", "resize_mode", "resize_size", "crop_ratio", "filter", "rounding", "resize_dtype", "fill_color",
        "background", "normalization", "color_order",
    }
)  # fmt: skip
"""What a description overrides, as in `src/onnx/metadata.rs`."""


def _metadata(
    path: Path, described: Mapping[str, str], options: Mapping[str, Any], original: FeatureExtractor
) -> dict[str, str]:
    """The metadata of the original, and what its description and the options add: the new file needs none of them."""
    said = dict(show(path).metadata)
    if described.keys() & _PREPARATION:
        said = {name: text for name, text in said.items() if name not in _PREPARATION}
    said = {**described, **said}  # only pooling is in both, and there the file's own goes first
    said.pop("library", None)
    for option in _WRITTEN:
        value = options.get(option)
        if isinstance(value, (str, float, int)):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            said["output_name" if option == "layer" else option] = text
    for option in ("input_size", "resize_size"):
        size = options.get(option)
        if size is not None:
            height, width = (size, size) if isinstance(size, int) else size
            said[option] = f"{height}x{width}"
    for option in ("fill_color", "background"):
        if options.get(option) is not None:
            said[option] = ",".join(map(str, options[option]))
    scale = options.get("normalization")
    if scale is not None and not isinstance(scale, str):
        mean, std = (",".join(str(float(number)) for number in numbers) for numbers in scale)
        said["normalization"] = f"mean {mean} std {std}"
    if original.preprocessing["resize_size"] is None:  # an option took its place
        said.pop("resize_size", None)
    return said


def _report(
    original: FeatureExtractor, made: FeatureExtractor, calibration: list[Sample], judges: list[Sample]
) -> QuantizationReport:
    known = [_normalized(_embed(extractor, calibration)) for extractor in (original, made)]
    judged = [_embed(extractor, judges) for extractor in (original, made)]
    units = [_normalized(rows) for rows in judged]
    cosines = (units[0] * units[1]).sum(axis=1)
    nearest = [(rows @ others.T).argmax(axis=1) for rows, others in zip(units, known)]
    folders = np.array([Path(sample.label).name for sample in calibration])
    own = np.array([Path(sample.label).name for sample in judges])
    hits = [float((folders[at] == own).mean()) for at in nearest]
    curves = [_cumulative_variance(rows) for rows in judged]
    return QuantizationReport(
        images=len(judges),
        cosine_min=float(cosines.min()),
        cosine_median=float(np.median(cosines)),
        nearest_agreement=float((nearest[0] == nearest[1]).mean()),
        accuracy=(hits[0], hits[1]) if len(set(folders)) > 1 else None,
        variance_difference=float(np.abs(curves[0] - curves[1]).max()),
        speed_ratio=_speed_ratio(original, made, judges),
        size_ratio=1.0,
    )


def _embed(extractor: FeatureExtractor, samples: list[Sample]) -> np.ndarray:
    features, _ = extractor.extract(pa.array([sample.content for sample in samples]))
    rows: np.ndarray = features.flatten().to_numpy().reshape(len(samples), -1)
    return rows


def _normalized(rows: np.ndarray) -> np.ndarray:
    lengths: np.ndarray = np.linalg.norm(rows, axis=1, keepdims=True)
    units: np.ndarray = rows / np.maximum(lengths, np.finfo(np.float32).tiny)
    return units


def _cumulative_variance(rows: np.ndarray) -> np.ndarray:
    """Shares of the variance that the first components explain together, at most 50."""
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False).astype(np.float64)
    shares = singular**2 / max(float((singular**2).sum()), float(np.finfo(np.float64).tiny))
    curve: np.ndarray = np.cumsum(shares)[:COMPONENTS]
    return curve


def _speed_ratio(original: FeatureExtractor, made: FeatureExtractor, judges: list[Sample]) -> float:
    """Median of paired runs, one after the other: what else runs on the machine slows both."""
    images = pa.array([sample.content for sample in judges[:SPEED_IMAGES]])
    ratios = []
    for _ in range(SPEED_ROUNDS):
        times = []
        for extractor in (original, made):
            start = time.thread_time()
            extractor.extract(images)
            times.append(time.thread_time() - start)
        ratios.append(times[0] / times[1])
    return float(np.median(ratios))

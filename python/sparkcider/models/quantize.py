"""A float32 model to int8: calibrated on the user's images, judged on others of them."""

from __future__ import annotations

import itertools
import logging
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from sparkcider._native import FeatureExtractor, ModelError
from sparkcider.models import resolve, show
from sparkcider.models.export.source import set_metadata
from sparkcider.storage.remote import filesystem, upload

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from typing_extensions import Unpack

    from sparkcider.options import ExtractorOptions

FEWEST_IMAGES = 16
"""To calibrate on: fewer do not show the range of a network's values."""

COMPONENTS = 50
"""Principal components whose explained variance is compared; study C looked at 20, study A at 25."""

RGB = 3

SPEED_ROUNDS = 15
SPEED_IMAGES = 8


class Sample(NamedTuple):
    """An image and the folder that it lies in."""

    label: str
    content: bytes


class QuantizationReport(NamedTuple):
    """What int8 costs and gives, on images that it was not calibrated on.

    Attributes:
        images: How many it was judged by.
        cosine_min: Smallest cosine of an int8 embedding to its float32 one.
        cosine_median: Their median.
        nearest_agreement: Share of images whose nearest calibration image is the same one with both models.
        accuracy: Share of images whose nearest calibration image lies in a folder of the same name, (float32, int8);
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
    """Writes `model` as int8 (static, QDQ, weights per channel) to `to` and measures what that costs.

    Args:
        model: Of float32; as in `sparkcider.models.resolve`.
        images: Folder of images like those to be embedded: a path, or a URI of `s3`, `gs`, `abfss`, `hdfs`.
        to: Path or URI of the int8 model; its metadata says all that the options say.
        n: Images to calibrate on; as many others judge the result.
        **options: Those of `FeatureExtractor` that the model does not say itself.

    Raises:
        ImportError: The extra `quantize` is not installed.
        ModelError: The network cannot be quantized.
        ValueError: There are too few images, or an option has a value that it cannot take.
        FileNotFoundError: There is no such model or folder.
    """
    tools = _tools()
    path = Path(resolve(model))
    original = FeatureExtractor(path, **options)
    calibration, judges = _samples(images, n, original)
    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder:
        made = Path(folder, "int8.onnx")
        _quantize(tools, path, made, original, calibration)
        _describe(tools, path, made, len(calibration), options)
        # `layer` and all else as said: both models are asked for the same
        report = _report(original, FeatureExtractor(made, **options), calibration, judges)
        report = report._replace(size_ratio=path.stat().st_size / made.stat().st_size)
        upload(made, str(to))
    return report


class _Tools(NamedTuple):
    onnx: Any
    onnxruntime: Any
    quantization: Any
    preprocess: Any


def _tools() -> _Tools:
    try:
        import onnx
        import onnxruntime
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        message = f"quantize needs onnx and onnxruntime ({error.name} is missing): pip install 'sparkcider[quantize]'"
        raise ImportError(message) from None
    return _Tools(onnx, onnxruntime, quantization, quant_pre_process)


def _samples(images: str, n: int, extractor: FeatureExtractor) -> tuple[list[Sample], list[Sample]]:
    """Up to n images to calibrate on and n to judge by, spread evenly over the folder, all readable."""
    if n < FEWEST_IMAGES:
        raise ValueError(f"n must be at least {FEWEST_IMAGES} images, got {n}")
    store, files = _listing(images)
    chosen = [files[at] for at in np.linspace(0, len(files) - 1, min(2 * n, len(files))).astype(int)]
    samples = []
    for file in chosen:
        with store.open_input_stream(file) as stream:
            samples.append(Sample(file.rpartition("/")[0], stream.read()))
    readable = extractor._inputs().extract(pa.array([sample.content for sample in samples], pa.binary()))[1]  # noqa: SLF001
    good = [sample for sample, error in zip(samples, readable.to_pylist()) if error is None]
    if len(good) < 2 * FEWEST_IMAGES:
        raise ValueError(f"{images} must have at least {2 * FEWEST_IMAGES} images that can be read, found {len(good)}")
    return good[::2], good[1::2]


def _listing(images: str) -> tuple[Any, list[str]]:
    from pyarrow.fs import FileSelector, LocalFileSystem

    store, folder = filesystem(images) if "://" in images else (LocalFileSystem(), str(Path(images).absolute()))
    if not store.get_file_info(folder).type.name == "Directory":
        raise FileNotFoundError(f"folder of images not found: {images}")
    found = store.get_file_info(FileSelector(folder, recursive=True))
    return store, sorted(info.path for info in found if info.is_file)


def _simplify(tools: _Tools, path: Path, to: Path) -> None:
    """Moves factors, terms and zero borders into the convolutions, and writes the shapes of all tensors.

    Converters leave batch normalisation and Keras's asymmetric borders as operators of their own. In an int8 graph each
    would be rounded on its own.
    """
    options = tools.onnxruntime.SessionOptions()
    options.graph_optimization_level = tools.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    tools.onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tools.preprocess(to, to, skip_symbolic_shape=True, skip_optimization=True)


def _quantize(tools: _Tools, path: Path, made: Path, original: FeatureExtractor, images: list[Sample]) -> None:
    """Simplifies the graph, finds the ranges of all values on the images, writes the int8 graph."""
    inputs = original._inputs()  # noqa: SLF001 - the network's input in place of its output
    name, shape = show(path).inputs[0]
    height, width = original.input_size
    axes = [1, height, width, 3] if shape is not None and shape[-1] == RGB else [1, RGB, height, width]

    class Reader(tools.quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.rewind()

        def rewind(self) -> None:
            self.tensors: Iterator[np.ndarray] = (
                inputs.extract(pa.array([image.content]))[0].flatten().to_numpy().reshape(axes) for image in images
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            tensor = next(self.tensors, None)
            return None if tensor is None else {name: tensor}

    simple = made.with_name("simple.onnx")
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # its advice is about what is done here
    try:
        _simplify(tools, path, simple)
        model = tools.onnx.load(simple)
        for at, node in enumerate(model.graph.node):
            node.name = node.name or f"node{at}"  # the quantizer knows nodes by their names only
        tools.onnx.save(model, simple)
        tools.quantization.quantize_static(
            simple,
            made,
            Reader(),
            quant_format=tools.quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=tools.quantization.QuantType.QUInt8,
            weight_type=tools.quantization.QuantType.QInt8,
            calibrate_method=tools.quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=_sensitive(model),
        )
    except Exception as error:
        raise ModelError(f"{path} cannot be quantized: {str(error).strip().splitlines()[0]}") from error
    finally:
        logger.setLevel(level)


def _sensitive(model: Any) -> list[str]:
    """The convolutions that stay float32: depthwise ones right behind the first, and the first with them.

    They see the pixels in few channels of very different ranges. In MobileNetV2, rounding them costs most of what int8
    costs: the median cosine is 0.97 with them in int8 and 0.99 without. A full convolution mixes its channels and is
    not so; in ResNet50 the first alone is a tenth of the time.
    """
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    depthwise = list(itertools.takewhile(_is_grouped, convolutions[1:]))
    return [node.name for node in (*convolutions[:1], *depthwise)] if depthwise else []


def _is_grouped(convolution: Any) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in convolution.attribute)


_WRITTEN = (
    "normalization", "resize_mode", "crop_ratio", "filter", "color_order", "layout", "layer", "layer_layout", "pooling",
)  # fmt: skip


def _describe(tools: _Tools, path: Path, made: Path, n: int, options: Mapping[str, Any]) -> None:
    """The metadata of the original, and what the options add: the new file needs none of them but a mean and std."""
    said = dict(show(path).metadata)
    for option in _WRITTEN:
        value = options.get(option)
        if isinstance(value, (str, float)):
            said["output_name" if option == "layer" else option] = str(value)
    size = options.get("input_size")
    if size is not None:
        height, width = (size, size) if isinstance(size, int) else size
        said["input_size"] = f"{height}x{width}"
    said["quantized"] = f"int8, static, weights per channel, calibrated on {n} images"
    model = tools.onnx.load(made)
    set_metadata(model, said)
    made.write_bytes(model.SerializeToString())


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

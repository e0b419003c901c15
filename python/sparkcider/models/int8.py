"""The graph of a float32 network as int8."""

from __future__ import annotations

import itertools
import logging
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from sparkcider._native import FeatureExtractor, ModelError
from sparkcider.models import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np

RGB = 3

PRODUCTS = ["MatMul", "Gemm"]


class Tools(NamedTuple):
    """The modules of the extra `quantize`."""

    onnx: Any
    onnxruntime: Any
    quantization: Any
    preprocess: Any


def tools() -> Tools:
    """Imports them.

    Raises:
        ImportError: One is not installed.
    """
    try:
        import onnx
        import onnxruntime
        from onnxruntime import quantization
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        message = f"quantize needs onnx and onnxruntime ({error.name} is missing): pip install onnx 'onnxruntime<1.29'"
        raise ImportError(message) from None
    return Tools(onnx, onnxruntime, quantization, quant_pre_process)


def write_int8(tools: Tools, path: Path, made: Path, original: FeatureExtractor, images: Sequence[bytes]) -> str:
    """Writes the int8 graph of `path` to `made`.

    A network of convolutions gets the ranges of all its values, found on the images. In a transformer the ranges of a
    value differ much between images and tokens: they are found when it runs, and only its matrix products with weights
    are int8.

    Returns:
        What was done, as people read it.

    Raises:
        ModelError: The network cannot be quantized.
    """
    logger = logging.getLogger()
    level = logger.level
    logger.setLevel(logging.ERROR)  # its advice is about what is done here
    try:
        model = _simplified(tools, path, made.with_name("simple.onnx"))
        if _is_transformer(model):
            _dynamic(tools, made.with_name("simple.onnx"), made)
            return "int8, dynamic, weights per channel, of matrix products"
        _static(tools, model, made, _calibration(tools, path, original, images))
        return f"int8, static, weights per channel, calibrated on {len(images)} images"
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"{path} cannot be quantized: {str(error).strip().splitlines()[0]}") from error
    finally:
        logger.setLevel(level)


def _simplified(tools: Tools, path: Path, to: Path) -> Any:
    """The graph with factors, terms and zero borders inside the convolutions, and the shapes of all tensors.

    Converters leave batch normalisation and Keras's asymmetric borders as operators of their own. In an int8 graph each
    would be rounded on its own.
    """
    options = tools.onnxruntime.SessionOptions()
    options.graph_optimization_level = tools.onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(to)
    tools.onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    tools.preprocess(to, to, skip_symbolic_shape=True, skip_optimization=True)
    model = tools.onnx.load(to)
    for at, node in enumerate(model.graph.node):
        node.name = node.name or f"node{at}"  # the quantizer knows nodes by their names only
    tools.onnx.save(model, to)
    return model


def _is_transformer(model: Any) -> bool:
    """Whether there are more matrix products with weights than convolutions."""
    weights = {weight.name for weight in model.graph.initializer}
    products = [node for node in model.graph.node if node.op_type in PRODUCTS and weights.intersection(node.input)]
    return len(products) > len([node for node in model.graph.node if node.op_type == "Conv"])


def _dynamic(tools: Tools, simple: Path, made: Path) -> None:
    tools.quantization.quantize_dynamic(
        simple,
        made,
        op_types_to_quantize=PRODUCTS,  # ConvInteger is slower than a convolution of floats
        per_channel=True,
        weight_type=tools.quantization.QuantType.QInt8,
    )


def _static(tools: Tools, model: Any, made: Path, calibration: Any) -> None:
    tools.quantization.quantize_static(
        made.with_name("simple.onnx"),
        made,
        calibration,
        quant_format=tools.quantization.QuantFormat.QDQ,
        per_channel=True,
        activation_type=tools.quantization.QuantType.QUInt8,
        weight_type=tools.quantization.QuantType.QInt8,
        calibrate_method=tools.quantization.CalibrationMethod.MinMax,
        nodes_to_exclude=_sensitive(model),
    )


def _calibration(tools: Tools, path: Path, original: FeatureExtractor, images: Sequence[bytes]) -> Any:
    """The network's input for each image, as the quantizer asks for it."""
    inputs = original._inputs()  # noqa: SLF001 - the network's input in place of its output
    names = [name for name, _ in show(path).inputs]
    if len(names) > 1:
        raise ModelError(
            f"{path} takes {', '.join(names)}: networks of convolutions are quantized with one image input"
        )
    height, width = original.input_size
    axes = [1, height, width, RGB] if original.preprocessing["layout"] == "NHWC" else [1, RGB, height, width]

    class Reader(tools.quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.rewind()

        def rewind(self) -> None:
            self.tensors: Iterator[np.ndarray] = (
                inputs.extract(pa.array([image]))[0].flatten().to_numpy().reshape(axes) for image in images
            )

        def get_next(self) -> dict[str, np.ndarray] | None:
            tensor = next(self.tensors, None)
            return None if tensor is None else {names[0]: tensor}

    return Reader()


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

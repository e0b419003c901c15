"""Networks of `keras.applications` on their way to ONNX."""

from __future__ import annotations

import gc
import os
import re
import tempfile
import warnings
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sparkcider._native import ModelError
from sparkcider.models.export.source import OPSET, Source, rename
from sparkcider.models.registry import REGISTRY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from onnx import ModelProto

_MEAN, _STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet, RGB in [0, 1]: torchvision's constants, which Keras uses in its mode `torch`."""

_BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)
"""Of ImageNet, BGR in [0, 255]: Caffe's constants, as in Keras's mode `caffe`."""

_PRESETS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "tf": ("RGB", lambda rgb: rgb / 127.5 - 1),
    "caffe": ("BGR", lambda rgb: rgb[..., ::-1] - _BGR_MEAN),
    "torch": ("RGB", lambda rgb: (rgb / 255 - _MEAN) / _STD),
    "raw": ("RGB", lambda rgb: rgb),
}
"""Colour order and formula of each way in which an application's `preprocess_input` may feed it."""


def build(name: str, sides: tuple[int, int] | None, pooling: str, weights: str) -> Source:
    """Builds a network of the registry in Keras and converts it.

    Raises:
        ImportError: Keras, TensorFlow or tf2onnx is not installed.
        ModelError: The weights cannot be downloaded.
        ValueError: Keras cannot build the network so.
    """
    keras = _keras()
    entry = REGISTRY[name]
    height, width = sides or (entry.side, entry.side)
    keras.utils.set_random_seed(0)  # of the weights, where they are random
    network = _network(keras, name, (height, width, 3), pooling, weights)
    preprocess = getattr(keras.applications, entry.module).preprocess_input
    normalization, color_order = normalization_of(preprocess)

    def embed(images: np.ndarray) -> np.ndarray:
        return np.asarray(network(preprocess(images.astype(np.float32)), training=False))

    trained_on = {"pretrained": "ImageNet (ILSVRC 2012)", "none": "none: random weights"}
    metadata = {
        "input_size": f"{height}x{width}",
        "layout": "NHWC",
        "color_order": color_order,
        "normalization": normalization,
        "resize_mode": "squash",
        "filter": "bicubic",  # Pillow's own default, which Image.resize in the studies takes
        "origin": f"keras {keras.__version__} applications.{entry.application}",
        "license": "Apache-2.0 (Keras); its authors' for weights",
        "training_set": trained_on.get(weights, f"unknown: weights of {Path(weights).name}"),
    }
    return Source(_convert(keras, network, height, width), embed, metadata)


def normalization_of(preprocess: Any) -> tuple[str, str]:
    """The preset and colour order of an application, found by what its `preprocess_input` does to a few pixels."""
    pixels = np.arange(0, 240, 5, dtype=np.float32).reshape(4, 4, 3)
    prepared = np.asarray(preprocess(pixels.copy()))
    for preset, (color_order, formula) in _PRESETS.items():
        if np.allclose(prepared, formula(pixels), rtol=1e-5, atol=1e-4):
            return preset, color_order
    raise ModelError(f"{preprocess.__module__} prepares pixels in a way that has no preset here")


def _keras() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import keras
            import tensorflow as tf  # noqa: F401
            import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"export needs Keras ({error.name} is missing): pip install 'keras>=3.8' tensorflow-cpu tf2onnx onnx"
        ) from None
    if keras.backend.backend() != "tensorflow":
        raise ImportError(
            f"export needs Keras on TensorFlow, found {keras.backend.backend()}: set KERAS_BACKEND=tensorflow"
        )
    return keras


def _network(keras: Any, name: str, shape: tuple[int, int, int], pooling: str, weights: str) -> Any:
    application = getattr(keras.applications, REGISTRY[name].application)
    given = {"none": None, "pretrained": "imagenet"}.get(weights, weights)
    try:
        network = application(
            include_top=False, weights=given, input_shape=shape, pooling=None if pooling == "flatten" else pooling
        )
    except Exception as error:
        text = str(error).strip()
        url = re.search(r"URL fetch failure on (\S+?):? ", text)
        if url:
            raise ModelError(
                f"the ImageNet weights of {name} cannot be reached from here: run `sparkcider export {name} --to FILE` "
                f"where they can, or bring {url.group(1)} and give it by --weights"
            ) from None
        raise ValueError(f"keras cannot build {name} so: {text.splitlines()[0] if text else error!r}") from error
    if pooling == "flatten":
        return keras.Model(network.input, keras.layers.Flatten()(network.output))
    return network


def _convert(keras: Any, network: Any, height: int, width: int) -> ModelProto:
    import onnx

    for layer in network.layers:
        if isinstance(layer, keras.layers.Normalization):  # its eager tensors would become inputs of the graph
            layer.mean, layer.variance = np.asarray(layer.mean), np.asarray(layer.variance)
    signature = [keras.InputSpec(dtype="float32", shape=(None, height, width, 3), name="image")]
    with tempfile.TemporaryDirectory(prefix="sparkcider-") as folder, warnings.catch_warnings(), _no_xla():
        warnings.simplefilter("ignore")
        path = Path(folder, "keras.onnx")
        with _frequent_collection():
            network.export(path, format="onnx", input_signature=signature, opset_version=OPSET, verbose=False)
        model = onnx.load(path)
    _spell_erfc(model)
    graph = model.graph
    rename(model, {graph.input[0].name: "image", graph.output[0].name: "features"})
    for value in (graph.input[0], graph.output[0]):
        value.type.tensor_type.shape.dim[0].dim_param = "N"
    return model


def _spell_erfc(model: ModelProto) -> None:
    """TensorFlow's GELU (ConvNeXt) calls erfc, which tf2onnx leaves as it is: in ONNX it is 1 - erf."""
    from onnx import helper, numpy_helper

    nodes = model.graph.node
    complements = [node for node in nodes if node.op_type == "Erfc"]
    if complements:
        model.graph.initializer.append(numpy_helper.from_array(np.ones((), np.float32), "erfc/one"))
    for node in complements:
        at = list(nodes).index(node)
        erf = f"{node.output[0]}/erf"
        both = [
            helper.make_node("Erf", list(node.input), [erf]),
            helper.make_node("Sub", ["erfc/one", erf], list(node.output)),
        ]
        nodes.remove(node)
        for offset, replacement in enumerate(both):
            nodes.insert(at + offset, replacement)


@contextmanager
def _frequent_collection() -> Iterator[None]:
    """Runs the garbage collector often. An export of ResNet50 then takes 2.8 GB of memory in place of 7.2 GB.

    tf2onnx copies the graph with its weights for each of its passes. The copies hold references to themselves, so only
    full runs of the collector free them. These are rare among the many objects of TensorFlow, which are set aside.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.collect()  # counts the few objects that are left
    gc.set_threshold(100, 1, 1)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.collect()
        gc.unfreeze()


@contextmanager
def _no_xla() -> Iterator[None]:
    """Keras calls XLA for grouped convolutions (ConvNeXt), which TensorFlow cannot train without; ONNX has no XLA."""
    import tensorflow as tf

    traced = tf.function

    def function(*arguments: Any, jit_compile: bool | None = None, **options: Any) -> Any:
        if jit_compile and not arguments:
            return lambda inlined: inlined
        return traced(*arguments, jit_compile=jit_compile, **options)

    tf.function = function
    try:
        yield
    finally:
        tf.function = traced

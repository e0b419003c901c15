"""Trains `fruits-tiny`, the network inside sparkcider's wheel, and writes it as one self-describing ONNX file.

    python notebooks/train_fruits_tiny.py --fruits FOLDER [--to fruits-tiny.onnx] [--epochs 40]

FOLDER holds Fruits-360 as `Training/LABEL/*.jpg` and `Test/LABEL/*.jpg`. Needs tensorflow (CPU is enough), onnx, pillow
and sparkcider, which tests the file. Weights, order and augmentation come from one seed. The model card,
docs/models/fruits-tiny.md, has the numbers; train_fruits_tiny.ipynb walks through this file step by step.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import onnx
import pyarrow as pa
import tensorflow as tf
from PIL import Image

from sparkcider import FeatureExtractor

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
MODEL = REPOSITORY / "python" / "sparkcider" / "pretrained" / "fruits-tiny.onnx"
FRUITS = Path(os.environ.get("SPARKCIDER_TEST_DATA", REPOSITORY.parent / "shared" / "data")) / "fruits"

SEED = 360
SIDE = 64  # pixels; a 100x100 fruit keeps its texture, and the network stays under 0.3 ms
DIMENSION = 128
EPOCHS = 40
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 0.05
SCALE = 16.0  # of the cosines before the softmax: beyond it the loss sees no difference between right and surely right
MARGIN = 0.2  # by which the own label's cosine must lead: pulls the images of a label together, as 1-NN wants them
SMOOTHING = 0.1
BACKGROUNDS = 0.25  # share of the images that lie on something else than white
EPSILON = 1e-3  # of the batch normalisations


# --- data -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Images:
    """Encoded images of one split, and what they show."""

    encoded: list[bytes]
    labels: np.ndarray  # (N) int64, positions in `names`
    names: list[str]


def read(split: Path) -> Images:
    """All JPEGs below `split`, sorted by label and file name."""
    folders = sorted(path for path in split.iterdir() if path.is_dir())
    files = [(path, label) for label, folder in enumerate(folders) for path in sorted(folder.glob("*.jpg"))]
    labels = np.array([label for _, label in files])
    return Images([path.read_bytes() for path, _ in files], labels, [folder.name for folder in folders])


def pixels(images: Images) -> np.ndarray:
    """(N, SIDE, SIDE, 3) u8 in RGB, prepared as `FeatureExtractor` will: squashed by Pillow's bicubic filter."""

    def one(encoded: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(encoded)).convert("RGB")
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))

    return np.stack([one(encoded) for encoded in images.encoded])


def uniform(seed: tf.Tensor, number: int, shape: Sequence[int], low: float, high: float) -> tf.Tensor:
    """The `number`th random draw of the step that `seed` names."""
    return tf.random.stateless_uniform(shape, tf.stack([seed, number]), low, high)


def turned(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Images turned by up to 30 degrees, mirrored, scaled by 0.85-1.2 per side, moved by up to 8 % of the side."""
    n = images.shape[0]
    angle = uniform(seed, 0, [n], -np.pi / 6, np.pi / 6)
    flips = tf.sign(uniform(seed, 1, [n, 2], -1.0, 1.0))
    scale = flips * tf.exp(uniform(seed, 2, [n, 2], np.log(0.85), np.log(1.2)))
    shift = uniform(seed, 3, [n, 2], -0.08 * SIDE, 0.08 * SIDE)
    # The transform goes from a place in the result to the place in the source, around the centre of the image.
    a, b = tf.cos(angle) * scale[:, 0], -tf.sin(angle) * scale[:, 1]
    c, d = tf.sin(angle) * scale[:, 0], tf.cos(angle) * scale[:, 1]
    centre = (SIDE - 1) / 2
    x = centre - a * centre - b * centre + shift[:, 0]
    y = centre - c * centre - d * centre + shift[:, 1]
    zero = tf.zeros(n)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([a, b, x, c, d, y, zero, zero], axis=1),
        output_shape=[SIDE, SIDE],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=255.0,  # white, as around every fruit
    )


def backgrounds(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Images in [0, 1], some of them with coloured noise where they were white."""
    n = images.shape[0]
    white = tf.clip_by_value((tf.reduce_min(images, axis=3, keepdims=True) - 0.85) / 0.1, 0.0, 1.0)
    chosen = tf.cast(uniform(seed, 4, [n, 1, 1, 1], 0.0, 1.0) < BACKGROUNDS, tf.float32)
    coarse = tf.image.resize(uniform(seed, 5, [n, 8, 8, 3], -0.3, 0.3), [SIDE, SIDE])
    colour = tf.clip_by_value(uniform(seed, 6, [n, 1, 1, 3], 0.0, 1.0) + coarse, 0.0, 1.0)
    alpha = white * chosen
    return images * (1 - alpha) + colour * alpha


def augmented(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """(N, SIDE, SIDE, 3) u8 to f32 in [-1, 1] with another place, background, light and noise each time."""
    n = images.shape[0]
    result = backgrounds(turned(tf.cast(images, tf.float32) / 255, seed), seed)
    light = uniform(seed, 7, [n, 1, 1, 1], 0.85, 1.15) * uniform(seed, 8, [n, 1, 1, 3], 0.95, 1.05)
    noise = tf.random.stateless_normal(result.shape, tf.stack([seed, 9])) * uniform(seed, 10, [n, 1, 1, 1], 0.0, 0.03)
    return tf.clip_by_value(result * light + noise, 0.0, 1.0) * 2 - 1


# --- network ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Convolution:
    """One convolution with batch normalisation; Keras and ONNX are both built from a list of these."""

    channels: int
    kernel: int = 3
    stride: int = 1
    depthwise: bool = False
    skip: int = 0  # adds what went into the `skip`th convolution from here back, this one being the first
    relu: bool = True


def dense(channels: int, stride: int = 1) -> list[Convolution]:
    """A full 3x3 convolution: quick where channels are few and pixels many."""
    return [Convolution(channels, stride=stride, skip=int(stride == 1))]


def separable(before: int, channels: int, stride: int = 1) -> list[Convolution]:
    """3x3 per channel, then 1x1 across: few weights where channels are many."""
    depthwise = Convolution(before, stride=stride, depthwise=True)
    return [depthwise, Convolution(channels, kernel=1, skip=2 * int(stride == 1))]


# 64x64x3 -> 32x32x16 -> 16x16x32 -> 8x8x64 -> 4x4x192 -> 128
NETWORK = [
    Convolution(16, stride=2),
    *dense(32, stride=2),
    *dense(32),
    *dense(64, stride=2),
    *dense(64),
    *dense(64),
    *separable(64, 192, stride=2),
    *separable(192, 192),
    *separable(192, 192),
    *separable(192, 192),
    Convolution(DIMENSION, kernel=1, relu=False),
]


def keras_network() -> keras.Model:
    """(N, SIDE, SIDE, 3) in [-1, 1] to embeddings (N, DIMENSION) of length 1."""
    layers = keras.layers
    image = layers.Input((SIDE, SIDE, 3))
    inputs = [image]  # of each convolution
    for step in NETWORK:
        x = layers.ZeroPadding2D(1)(inputs[-1]) if step.kernel > 1 else inputs[-1]
        if step.depthwise:
            x = layers.DepthwiseConv2D(step.kernel, step.stride, use_bias=False)(x)
        else:
            x = layers.Conv2D(step.channels, step.kernel, step.stride, use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=EPSILON)(x)
        x = layers.Add()([x, inputs[-step.skip]]) if step.skip else x
        inputs.append(layers.ReLU()(x) if step.relu else x)
    pooled = layers.GlobalAveragePooling2D()(inputs[-1])
    return keras.Model(image, layers.UnitNormalization()(pooled))


# --- training ---------------------------------------------------------------------------------------------------------


def loss(embeddings: tf.Tensor, centres: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Cross entropy of the cosines to one learnt direction per label; the own label must lead by MARGIN (CosFace)."""
    cosines = embeddings @ tf.transpose(tf.math.l2_normalize(centres, axis=1))
    truth = tf.one_hot(labels, cosines.shape[1])
    smooth = truth * (1 - SMOOTHING) + SMOOTHING / cosines.shape[1]
    logits = SCALE * (cosines - MARGIN * truth)
    return tf.reduce_mean(tf.nn.softmax_cross_entropy_with_logits(smooth, logits))


def train(images: np.ndarray, labels: np.ndarray, epochs: int = EPOCHS) -> keras.Model:
    """The network after `epochs` passes over images (N, SIDE, SIDE, 3) u8; one line of progress for each."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    network = keras_network()
    centres = keras.Variable(keras.initializers.GlorotNormal(SEED)((labels.max() + 1, DIMENSION)))
    variables = [*network.trainable_variables, centres]
    per_epoch = len(images) // BATCH
    warm_up = min(2, epochs // 2)
    rate = keras.optimizers.schedules.CosineDecay(
        0.0, (epochs - warm_up) * per_epoch, warmup_target=LEARNING_RATE, warmup_steps=warm_up * per_epoch
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=WEIGHT_DECAY)
    optimizer.build(variables)

    @tf.function
    def step(batch: tf.Tensor, truth: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = loss(network(augmented(batch, seed), training=True), centres, truth)
        optimizer.apply_gradients(zip(tape.gradient(value, variables), variables))
        return value

    random = np.random.default_rng(SEED)
    for epoch in range(epochs):
        start = time.perf_counter()
        order = random.permutation(len(images))[: per_epoch * BATCH].reshape(per_epoch, BATCH)
        values = [
            step(tf.constant(images[rows]), tf.constant(labels[rows]), tf.constant(epoch * per_epoch + number))
            for number, rows in enumerate(order)
        ]
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1}/{epochs}: loss {np.mean(values):.4f}, {seconds:.0f} s", flush=True)
    return network


# --- export -----------------------------------------------------------------------------------------------------------


def folded(convolution: keras.Layer, norm: keras.layers.BatchNormalization) -> tuple[np.ndarray, np.ndarray]:
    """ONNX weights (out, in per group, height, width) and bias (out) of a convolution and its normalisation."""
    (kernel,) = convolution.get_weights()  # (height, width, in, out), depthwise (height, width, out, 1)
    out_first = (2, 3, 0, 1) if isinstance(convolution, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)
    gamma, beta, mean, variance = norm.get_weights()
    factor = gamma / np.sqrt(variance + EPSILON)
    weights = kernel.transpose(out_first) * factor[:, None, None, None]
    return weights.astype(np.float32), (beta - mean * factor).astype(np.float32)


def onnx_nodes(network: keras.Model) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    """The graph's nodes from `image` to `features`, and their weights."""
    kinds = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
    convolutions = [layer for layer in network.layers if isinstance(layer, kinds)]
    norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    nodes, tensors, inputs = [], [], ["image"]
    for number, (step, convolution, norm) in enumerate(zip(NETWORK, convolutions, norms)):
        x, weights, bias = f"conv{number}", f"weights{number}", f"bias{number}"
        tensors += [onnx.numpy_helper.from_array(a, n) for a, n in zip(folded(convolution, norm), (weights, bias))]
        nodes.append(
            onnx.helper.make_node(
                "Conv",
                [inputs[-1], weights, bias],
                [x],
                kernel_shape=[step.kernel] * 2,
                strides=[step.stride] * 2,
                pads=[step.kernel // 2] * 4,
                group=step.channels if step.depthwise else 1,
            )
        )
        if step.skip:
            nodes.append(onnx.helper.make_node("Add", [x, inputs[-step.skip]], [f"sum{number}"]))
            x = f"sum{number}"
        if step.relu:
            nodes.append(onnx.helper.make_node("Relu", [x], [f"relu{number}"]))
            x = f"relu{number}"
        inputs.append(x)
    nodes.append(onnx.helper.make_node("GlobalAveragePool", [inputs[-1]], ["pooled"]))
    nodes.append(onnx.helper.make_node("Flatten", ["pooled"], ["flat"]))
    nodes.append(onnx.helper.make_node("LpNormalization", ["flat"], ["features"], axis=1, p=2))
    return nodes, tensors


def export(network: keras.Model, path: Path) -> None:
    """Writes the network with all that `FeatureExtractor` must know to feed it."""
    nodes, tensors = onnx_nodes(network)
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", 3, SIDE, SIDE])
    features = onnx.helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", DIMENSION])
    graph = onnx.helper.make_graph(nodes, "fruits-tiny", [image], [features], tensors)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    model.producer_name = "sparkcider"
    metadata = {
        "name": "fruits-tiny",
        "version": "1",
        "input_name": "image",
        "input_size": str(SIDE),
        "layout": "NCHW",
        "color_order": "RGB",
        "normalization": "tf",
        "resize_mode": "squash",
        "filter": "bicubic",
        "output_name": "features",
        "embedding_dim": str(DIMENSION),
        "origin": "trained by sparkcider, notebooks/train_fruits_tiny.py",
        "license": "Apache-2.0; trained on Fruits-360 (MIT, (c) 2017-2019 Mihai Oltean, Horea Muresan)",
        "training_set": "Fruits-360 2019.01, 95 labels x 60 images of its Training split, 100x100 JPEG",
    }
    onnx.helper.set_model_props(model, {f"sparkcider.{key}": value for key, value in metadata.items()})
    onnx.checker.check_model(model, full_check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


# --- test -------------------------------------------------------------------------------------------------------------


def embed(path: Path, images: Images) -> np.ndarray:
    """Embeddings (N, DIMENSION) f32 of the encoded images by sparkcider itself."""
    features, errors = FeatureExtractor(path).extract(pa.array(images.encoded))
    if errors.null_count < len(errors):
        raise ValueError(f"image not read: {errors.drop_null()[0]}")
    return features.flatten().to_numpy().reshape(len(features), -1)


def nearest(queries: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each row of `queries` the row of `known` with the largest cosine; both have rows of length 1."""
    return (queries @ known.T).argmax(axis=1)


def main() -> None:
    """Trains, exports and tests."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fruits", type=Path, default=FRUITS, help="folder with Training and Test")
    parser.add_argument("--to", type=Path, default=MODEL, help="the ONNX file")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    arguments = parser.parse_args()
    training, test = read(arguments.fruits / "Training"), read(arguments.fruits / "Test")
    print(f"{len(training.encoded)} images of {len(training.names)} labels to learn from, {len(test.encoded)} to test")
    export(train(pixels(training), training.labels, arguments.epochs), arguments.to)
    found = nearest(embed(arguments.to, test), embed(arguments.to, training))
    accuracy = np.mean(training.labels[found] == test.labels)
    print(f"{arguments.to}: {arguments.to.stat().st_size:,} bytes, 1-nearest-neighbour accuracy {accuracy:.4f}")


if __name__ == "__main__":
    main()

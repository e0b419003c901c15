"""Maps inside a network, pooled over the right axes: against onnxruntime's own tensors, for files of both layouts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from onnx_nets import Net, new_net, onnx

from sparkcider import FeatureExtractor, ModelError, cli, models
from sparkcider.models.export import export
from sparkcider.models.export.source import set_metadata
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

# The network is fused differently where a layer is asked for, so sums are rounded differently.
TOLERANCE = 1e-4
SIDE = 32


# Networks


def mobilenet(net: Net, image: str) -> str:
    """A stem and two inverted residuals as tf2onnx writes MobileNetV2: factors and terms beside the convolutions."""
    low, high = net.weight(np.float32(0)), net.weight(np.float32(6))
    last = net.add("Clip", [net.conv(image, "stem", (8, 3, 3, 3), strides=[2, 2]), low, high], "stem_relu")
    for block in ("a", "b"):
        wide = net.add("Clip", [net.conv(last, f"{block}_expand", (24, 8, 1, 1)), low, high], f"{block}_expand_relu")
        deep = net.conv(net.add("Pad", [wide, net.weight(np.array([0] * 8))], f"{block}_pad"), f"{block}_depthwise",
                        (24, 1, 3, 3), group=24)  # fmt: skip
        scaled = net.add("Mul", [deep, net.floats(1, 24, 1, 1)], f"{block}_mul")
        moved = net.add("Add", [scaled, net.floats(1, 24, 1, 1)], f"{block}_add")
        narrow = net.conv(net.add("Clip", [moved, low, high], f"{block}_relu"), f"{block}_project", (8, 24, 1, 1))
        last = net.add("Add", [last, narrow], f"{block}_sum")
    return last


def resnet(net: Net, image: str) -> str:
    """A stem and a bottleneck with squeeze and excitation, as torch and tf2onnx write them."""

    def normalized(source: str, name: str, channels: int) -> str:
        ones = [net.weight(np.ones(channels, np.float32)) for _ in range(4)]
        return net.add("Relu", [net.add("BatchNormalization", [source, *ones], f"{name}_bn")], f"{name}_relu")

    stem = normalized(net.conv(image, "stem", (20, 3, 3, 3)), "stem", 20)
    pooled = net.add("MaxPool", [stem], "pool", kernel_shape=[2, 2], strides=[2, 2])
    inner = normalized(net.conv(pooled, "inner", (8, 20, 3, 3)), "inner", 8)
    outer = net.conv(inner, "outer", (20, 8, 1, 1))
    squeezed = net.add("ReduceMean", [outer], "squeeze", axes=[2, 3])
    gate = net.add("Sigmoid", [net.conv(squeezed, "excite", (20, 20, 1, 1))], "gate")
    total = net.add("Add", [pooled, net.add("Mul", [outer, gate], "gated")], "total")
    return net.add("Concat", [total, inner], "both", axis=1)


NETWORKS = {"mobilenet": mobilenet, "resnet": resnet}


def write(path: Path, build: Any, layout: str) -> Path:
    """A file with an input of `layout`; inside the channels come first, and its output is of `layout` again."""
    net = new_net()
    image = "image" if layout == "NCHW" else net.add("Transpose", ["image"], "first", perm=[0, 3, 1, 2])
    last = build(net, image)
    output = last if layout == "NCHW" else net.add("Transpose", [last], "output", perm=[0, 2, 3, 1])
    shape = ["N", 3, SIDE, SIDE] if layout == "NCHW" else ["N", SIDE, SIDE, 3]
    float_tensor = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        net.nodes,
        "net",
        [onnx.helper.make_tensor_value_info("image", float_tensor, shape)],
        [onnx.helper.make_tensor_value_info(output, float_tensor, None)],
        net.weights,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def channels_first(path: Path, to: Path) -> Path:
    """A file of Keras, whose first operator transposes the image, with an input that needs no such operator."""
    model = onnx.load(path)
    transpose = next(node for node in model.graph.node if model.graph.input[0].name in node.input)
    assert transpose.op_type == "Transpose"
    axes = [dim.dim_value or "N" for dim in model.graph.input[0].type.tensor_type.shape.dim]
    shape = [axes[at] for at in transpose.attribute[0].ints]
    value = onnx.helper.make_tensor_value_info(transpose.output[0], onnx.TensorProto.FLOAT, shape)
    model.graph.node.remove(transpose)
    model.graph.input[0].CopyFrom(value)
    del model.metadata_props[:]
    to.write_bytes(model.SerializeToString())
    return to


def onnxruntimes_maps(path: Path, names: list[str], pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The tensors `names` of one image, by onnxruntime with every one of them as an output."""
    runtime = pytest.importorskip("onnxruntime")
    model = onnx.load(path)
    declared = {output.name for output in model.graph.output}
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in declared)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    tensor = pixels[None].astype(np.float32)
    if image.shape[1] == 3:
        tensor = tensor.transpose(0, 3, 1, 2)
    return dict(zip(names, session.run(names, {image.name: tensor})))


def compare(path: Path, names: list[str], side: int) -> None:
    """Mean and maximum of each map over its two axes of equal length, which are its height and width."""
    pixels = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    for name, tensor in onnxruntimes_maps(path, names, pixels).items():
        _, first, second, third = tensor.shape
        assert (first == second) != (second == third), (name, tensor.shape)
        area = (2, 3) if second == third else (1, 2)
        for pooling, expected in (("avg", tensor.mean(area)), ("max", tensor.max(area))):
            extractor = FeatureExtractor(path, layer=name, pooling=pooling, normalization="raw", color_order="RGB")
            found = extractor.extract(pa.array([encode_png(pixels)]))[0].flatten().to_numpy()
            assert found.shape == expected[0].shape, name
            assert np.abs(found - expected[0]).max() <= TOLERANCE * np.abs(expected).max(), name


def some(path: Path, n: int) -> list[str]:
    """`n` map layers spread evenly over a network, the last one among them."""
    maps = [layer for layer in models.layers(path) if len(layer.shape) == 3 and layer.shape[1:] != (1, 1)]
    maps = [layer for layer in maps if len(set(layer.shape)) == 2]
    return [maps[at].name for at in np.linspace(0, len(maps) - 1, n).astype(int)]


# Right numbers


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("network", NETWORKS)
def test_every_map_of_a_small_network_has_onnxruntimes_numbers(tmp_path: Path, network: str, layout: str) -> None:
    path = write(tmp_path / "net.onnx", NETWORKS[network], layout)
    maps = [layer for layer in models.layers(path) if len(layer.shape) == 3]
    assert len(maps) >= 12
    known = {layer.name: layer.layout for layer in maps}
    assert known.pop("output", "NHWC") == "NHWC"
    assert set(known.values()) == {"NCHW"}
    compare(path, [layer.name for layer in maps if layer.shape[1:] != (1, 1)], SIDE)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_layers_of_the_real_mobilenet_have_onnxruntimes_numbers(test_data: Path, tmp_path: Path, layout: str) -> None:
    path = test_data / "models" / "mobilenetv2_imagenet.onnx"
    path = path if layout == "NHWC" else channels_first(path, tmp_path / "nchw.onnx")
    names = some(path, 8)
    assert names[-1] == "functional_1/out_relu_1/Relu6:0"
    compare(path, names, 224)
    assert FeatureExtractor(path, layer=names[-1], normalization="raw").embedding_dim == 1280


def test_layers_of_the_real_squeezenet_have_onnxruntimes_numbers(test_data: Path) -> None:
    path = test_data / "models" / "squeezenet11_imagenet.onnx"
    compare(path, some(path, 8), 224)


def test_layers_of_resnet50_have_onnxruntimes_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx", reason="needs sparkcider[export]")
    path = tmp_path / "resnet50.onnx"
    export("resnet50", path, weights="none", input_size=96)
    for file in (path, channels_first(path, tmp_path / "nchw.onnx")):
        compare(file, some(file, 6), 96)


def test_the_declared_map_of_a_file_is_pooled_by_its_own_axes(tmp_path: Path) -> None:
    """An NHWC input and an NCHW map as the only output, as a converter leaves them that drops the last transpose."""
    model = onnx.load(write(tmp_path / "net.onnx", mobilenet, "NHWC"))
    transpose = model.graph.node.pop()
    model.graph.output[0].name = transpose.input[0]
    (tmp_path / "map.onnx").write_bytes(model.SerializeToString())
    assert FeatureExtractor(tmp_path / "map.onnx", normalization="raw").embedding_dim == 8


# Axes that the graph does not tell


def folded(tmp_path: Path, **metadata: str) -> Path:
    """A network that folds its map to (N, 4, 64, 8): whether 4 or 8 are channels is not in the graph."""

    def build(net: Net, image: str) -> str:
        last = net.add("Reshape", [mobilenet(net, image), net.weight(np.array([0, 4, 64, 8]))], "folded")
        return net.add("Relu", [last], "rectified")

    path = write(tmp_path / "folded.onnx", build, "NCHW")
    model = onnx.load(path)
    set_metadata(model, {"normalization": "raw", **metadata})
    path.write_bytes(model.SerializeToString())
    return path


def test_axes_that_are_not_known_are_asked_for(tmp_path: Path) -> None:
    path = folded(tmp_path)
    for name in ("folded", "rectified"):
        with pytest.raises(
            ValueError,
            match=r"^layer_layout is required \(NCHW or NHWC, or pooling flatten\): the graph of .*folded\.onnx does "
            rf"not tell where '{name}', \(N, 4, 64, 8\), has its channels$",
        ):
            FeatureExtractor(path, layer=name)
    assert FeatureExtractor(path, pooling="flatten").embedding_dim == 4 * 64 * 8
    layouts = {layer.name: layer.layout for layer in models.layers(path)}
    assert (layouts["b_sum"], layouts["folded"], layouts["rectified"]) == ("NCHW", None, None)


def test_the_layout_that_is_given_is_taken(tmp_path: Path) -> None:
    path = folded(tmp_path)
    image = pa.array([encode_png(np.random.default_rng(2).integers(0, 256, (SIDE, SIDE, 3), np.uint8))])
    features = {
        key: FeatureExtractor(path, **options).extract(image)[0].flatten().to_numpy()
        for key, options in {
            "map": {"pooling": "flatten"},
            "NCHW": {"layer_layout": "NCHW"},
            "NHWC": {"layer_layout": "NHWC"},
        }.items()
    }
    whole = features["map"].reshape(4, 64, 8)
    np.testing.assert_allclose(features["NCHW"], whole.mean((1, 2)), rtol=TOLERANCE)
    np.testing.assert_allclose(features["NHWC"], whole.mean((0, 1)), rtol=TOLERANCE)


def test_a_file_says_the_layout_of_its_own_output_only(tmp_path: Path) -> None:
    path = folded(tmp_path, layer_layout="NHWC")
    assert FeatureExtractor(path).embedding_dim == 8
    assert FeatureExtractor(path, layer_layout="NCHW").embedding_dim == 4
    with pytest.raises(ValueError, match=r"^layer_layout is required \(NCHW or NHWC, "):
        FeatureExtractor(path, layer="folded")
    path = folded(tmp_path, layer_layout="CHW")
    with pytest.raises(
        ModelError,
        match=r"folded\.onnx: its metadata sparkcider\.layer_layout must be NCHW or NHWC, got 'CHW'$",
    ):
        FeatureExtractor(path)
    path = folded(tmp_path, layer_layout="NHWC", output_name="b_sum")
    with pytest.raises(ModelError, match=r"its metadata sparkcider\.layer_layout must be NCHW, as the graph of "):
        FeatureExtractor(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"layer": "b_sum", "layer_layout": "NHWC"},
            "layer_layout must be NCHW, as the graph of .* has 'b_sum', got NHWC",
        ),
        (
            {"layer_layout": "NCHW", "pooling": "flatten"},
            "layer_layout must be left out, as output 'rectified' of .* is fl",
        ),
        ({"layer_layout": "HWC"}, "layer_layout must be NCHW or NHWC, got 'HWC'"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        FeatureExtractor(folded(tmp_path), **options)


def test_the_command_shows_where_the_channels_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["model", "layers", str(folded(tmp_path))]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert lines["b_sum"].endswith("(8, 16, 16) NCHW")
    assert lines["folded"].endswith("(4, 64, 8) NCHW or NHWC? give layer_layout")


# Operators


def channels_after(tmp_path: Path, *steps: tuple[str, list[Any], dict[str, Any]]) -> str | None:
    """What is known of the last of `steps`: operators after a convolution (N, 8, 16, 16), with their weights."""

    def build(net: Net, image: str) -> str:
        last = net.conv(image, "start", (8, 3, 3, 3), strides=[2, 2])
        for number, (operator, weights, attributes) in enumerate(steps):
            inputs = [last, *(net.weight(np.array(values)) for values in weights)]
            last = net.add(operator, inputs, f"step{number}", **attributes)
        return net.add("Identity", [last], "result")

    found = {layer.name: layer.layout for layer in models.layers(write(tmp_path / "steps.onnx", build, "NCHW"))}
    assert "result" in found
    return found["result"]


LAST = ("Transpose", [], {"perm": [0, 2, 3, 1]})
MATRIX = np.ones((8, 5), np.float32)


@pytest.mark.parametrize(
    ("steps", "layout"),
    [
        ([], "NCHW"),
        ([LAST], "NHWC"),
        ([LAST, ("Relu", [], {})], "NHWC"),
        ([LAST, ("Transpose", [], {"perm": [0, 3, 1, 2]})], "NCHW"),
        ([("Transpose", [], {"perm": [0, 2, 1, 3]})], None),
        ([("Transpose", [], {"perm": [0, 2, 1, 3]})] * 2, "NCHW"),
        ([LAST, ("MatMul", [MATRIX], {})], "NHWC"),
        ([("MatMul", [np.ones((16, 5), np.float32)], {})], None),
        ([("Reshape", [[0, 8, 16, 16]], {})], None),
        ([("Reshape", [[0, 8, 16, 16]], {}), ("MaxPool", [], {"kernel_shape": [2, 2]})], "NCHW"),
        ([("ReduceMax", [], {"axes": [3]})], "NCHW"),
        ([LAST, ("AveragePool", [], {"kernel_shape": [2, 2]})], "NCHW"),
        ([("SpaceToDepth", [], {"blocksize": 2}), ("Softmax", [], {"axis": 1})], "NCHW"),
        ([LAST, ("ReduceMean", [], {"axes": [1], "keepdims": 1}), ("Add", [np.ones((1, 1, 16, 8), "f4")], {})], "NHWC"),
    ],
)
def test_operators_keep_move_or_lose_the_channels(tmp_path: Path, steps: list[Any], layout: str | None) -> None:
    assert channels_after(tmp_path, *steps) == layout

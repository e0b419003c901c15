"""int8: what quantization makes, and what it reports."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hub_networks import OPTIONS, vit

from sparkcider import FeatureExtractor, cli, models
from sparkcider.samples import encode_png, write_samples
from sparkcider.storage.fetch import Fetched
from sparkcider.storage.listing import list_files

onnx = pytest.importorskip("onnx", reason="needs sparkcider[quantize]")
onnxruntime = pytest.importorskip("onnxruntime", reason="needs sparkcider[quantize]")

from sparkcider.models import quantize as quantizing  # noqa: E402
from sparkcider.models.export.source import set_metadata  # noqa: E402
from sparkcider.models.quantize import quantize  # noqa: E402

TINY = Path(__file__).parent.parent / "data" / "tiny_nchw.onnx"
SIDE = 32


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of two convolutions as Keras's converter leaves them: a border, a factor and a term per channel."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> object:
        return onnx.numpy_helper.from_array(random.normal(size=shape).astype(np.float32), name)

    node = onnx.helper.make_node
    nodes = [
        node("Pad", ["image", "border"], ["padded"]),
        node("Conv", ["padded", "k1"], ["c1"], strides=[2, 2]),
        node("Mul", ["c1", "factor"], ["scaled"]),
        node("Add", ["scaled", "term"], ["shifted"]),
        node("Relu", ["shifted"], ["r1"]),
        node("Conv", ["r1", "k2"], ["c2"], group=8, pads=[1, 1, 1, 1]),
        node("Mul", ["c2", "factor"], ["scaled2"]),
        node("Relu", ["scaled2"], ["r2"]),
        node("Conv", ["r2", "k3"], ["c3"]),
        node("GlobalAveragePool", ["c3"], ["pooled"]),
        node("Flatten", ["pooled"], ["features"]),
    ]
    weights = [weight("k1", 8, 3, 3, 3), weight("k2", 8, 1, 3, 3), weight("k3", 32, 8, 1, 1)]
    weights += [weight("factor", 8, 1, 1), weight("term", 1, 8, 1, 1)]
    weights.append(onnx.numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 0, 1, 1], np.int64), "border"))
    value, float32 = onnx.helper.make_tensor_value_info, onnx.TensorProto.FLOAT
    inputs, outputs = [value("image", float32, ["N", 3, SIDE, SIDE])], [value("features", float32, ["N", 32])]
    graph = onnx.helper.make_graph(nodes, "net", inputs, outputs, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    set_metadata(model, {"normalization": "torch", "origin": "a test"})
    onnx.checker.check_model(model)
    path = tmp_path_factory.mktemp("network") / "network.onnx"
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    write_samples(folder)
    return folder


def test_metadata_is_set_again_and_the_rest_stays() -> None:
    model = onnx.load(TINY)
    set_metadata(model, {"filter": "lanczos", "origin": "here"})
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert found == {
        "sparkcider.normalization": "torch",
        "sparkcider.filter": "lanczos",
        "sparkcider.origin": "here",
    }


@pytest.mark.parametrize("shape", [(5, 7), (16, 16), (1, 1)])
def test_a_png_holds_every_level(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    extractor = FeatureExtractor("pixels", input_size=shape, normalization="raw")
    features, errors = extractor.extract(pa.array([encode_png(pixels)]))
    assert errors[0].as_py() is None
    np.testing.assert_array_equal(features.flatten().to_numpy().reshape(pixels.shape), pixels)


def test_the_networks_input_is_what_its_extractor_feeds_it(network: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    extractor = FeatureExtractor(network)
    images = pa.array([encode_png(pixels)])
    tensor = extractor._inputs().extract(images)[0].flatten().to_numpy().reshape(1, 3, SIDE, SIDE)
    session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
    expected = session.run(None, {"image": tensor})[0][0]
    np.testing.assert_allclose(extractor.extract(images)[0].flatten().to_numpy(), expected, rtol=1e-4, atol=1e-4)


def test_int8_is_near_and_its_report_is_told(network: Path, images: Path, tmp_path: Path, capsys: object) -> None:
    target = tmp_path / "int8.onnx"
    assert cli.main(["quantize", str(network), "--images", str(images), "--n", "64", "--to", str(target)]) == 0
    printed = capsys.readouterr().out  # type: ignore[attr-defined]
    for word in ("cosine to float32", "same nearest neighbour", "1-NN accuracy", "explained variance", "speed", "size"):
        assert word in printed
    card = models.show(target)
    assert card.metadata["normalization"] == "torch"
    assert card.metadata["origin"] == "a test"
    assert card.metadata["quantized"].startswith("int8, static, weights per channel, calibrated on 64 images")
    operators = {node.op_type for node in onnx.load(target).graph.node}
    assert {"QuantizeLinear", "DequantizeLinear"} <= operators
    assert not {"Pad", "Mul", "Add"} & operators  # inside the convolutions, where they are not rounded on their own


def test_of_a_transformer_the_matrix_products_are_int8(images: Path, tmp_path: Path) -> None:
    network = vit(tmp_path / "vit.onnx")
    report = quantize(network, str(images), tmp_path / "int8.onnx", n=32, **OPTIONS)
    assert report.cosine_min > 0.9  # of 24 values only, which differ with the processor: 0.947 to 0.96
    assert report.cosine_median > 0.99
    operators = [node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node]
    assert "MatMul" not in operators
    assert operators.count("MatMulInteger") == 2
    assert operators.count("Conv") == 1
    assert models.show(tmp_path / "int8.onnx").metadata["quantized"].startswith("int8, dynamic, weights per channel")
    assert FeatureExtractor(tmp_path / "int8.onnx").outputs == {"pooler_output": None}


def test_the_report_is_measured_on_other_images(network: Path, images: Path, tmp_path: Path) -> None:
    report = quantize(network, str(images), tmp_path / "int8.onnx", n=32)
    assert report.images == 32
    assert 0.99 <= report.cosine_min <= report.cosine_median <= 1.0001
    assert 0 <= report.nearest_agreement <= 1
    assert report.accuracy is not None
    assert report.variance_difference < 0.05
    assert report.speed_ratio > 0


def test_options_become_metadata(network: Path, images: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.onnx"
    model = onnx.load(network)
    del model.metadata_props[:]
    onnx.save(model, foreign)
    with pytest.raises(ValueError, match=r"^normalization is required"):
        quantize(foreign, str(images), tmp_path / "int8.onnx")
    options = {"normalization": "tf", "resize_mode": "center_crop", "crop_ratio": 0.9, "pooling": "max"}
    quantize(foreign, str(images), tmp_path / "int8.onnx", n=16, layer="r2", input_size=SIDE, **options)
    metadata = models.show(tmp_path / "int8.onnx").metadata
    given = {**options, "crop_ratio": "0.9", "output_name": "r2", "input_size": f"{SIDE}x{SIDE}"}
    assert {key: metadata.get(key) for key in given} == given
    assert FeatureExtractor(tmp_path / "int8.onnx").embedding_dim == 8


def test_a_size_that_an_option_replaces_is_not_written(network: Path, images: Path, tmp_path: Path) -> None:
    model = onnx.load(network)
    set_metadata(model, {"normalization": "torch", "resize_mode": "center_crop", "resize_size": "40x40"})
    onnx.save(model, tmp_path / "cut.onnx")
    quantize(tmp_path / "cut.onnx", str(images), tmp_path / "int8.onnx", n=16, crop_ratio=0.5)
    asked = FeatureExtractor(tmp_path / "cut.onnx", crop_ratio=0.5).preprocessing
    assert asked["resize_size"] is None
    assert FeatureExtractor(tmp_path / "int8.onnx").preprocessing == asked


def test_several_layers_are_refused(network: Path, images: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^layer must be one name, as one output of both models is compared, got \['"):
        quantize(network, str(images), tmp_path / "int8.onnx", layer=["r1", "r2"])


def test_images_are_found_by_the_rules_of_a_job(network: Path, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "images"
    shutil.copytree(images, folder)
    (folder / "_SUCCESS").touch()
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x.jpg").write_bytes(b"x")
    extractor = FeatureExtractor(network)
    samples = [
        quantizing._samples(uri, 1000, extractor) for uri in (str(folder), f"file:{folder}/*", f"{folder}/*/*.*")
    ]
    expected = list_files(str(folder))["path"].to_pylist()
    assert samples[0] == samples[1] == samples[2]
    assert sum(map(len, samples[0])) == len([path for path in expected if not path.endswith("broken.jpg")])
    assert {sample.label for part in samples[0] for sample in part} <= {path.rpartition("/")[0] for path in expected}


def test_an_image_that_cannot_be_read_is_named(
    network: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantizing, "fetch", lambda paths, **_: [Fetched(None, "gone", "missing") for _ in paths])
    with pytest.raises(OSError, match=r"^file:/.*: gone$"):
        quantize(network, str(images), tmp_path / "int8.onnx")


def test_too_few_images_are_refused(network: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must have at least 32 images that can be read, found 0$"):
        quantize(network, str(tmp_path), tmp_path / "int8.onnx")
    with pytest.raises(ValueError, match=r"^n must be at least 16 images, got 3$"):
        quantize(network, str(tmp_path), tmp_path / "int8.onnx", n=3)
    with pytest.raises(FileNotFoundError, match=r"^input nowhere does not exist$"):
        quantize(network, "nowhere", tmp_path / "int8.onnx")

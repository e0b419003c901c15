"""Models by name and path: what is found, what a file says of itself, what is refused, and in which words."""

from __future__ import annotations

import shutil
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sparkcider import FeatureExtractor, ModelError, models

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DATA = Path(__file__).parent.parent / "data"
TINY = DATA / "tiny_nchw.onnx"
CHECKSUM = sha256(TINY.read_bytes()).hexdigest()


# Names and paths


def test_pixels_is_no_file() -> None:
    assert models.resolve("pixels") == "pixels"


def test_a_path_is_taken_as_it_is_and_its_checksum_checked() -> None:
    assert models.resolve(str(TINY)) == str(TINY)
    assert models.resolve(TINY) == str(TINY)
    assert models.resolve(f"{TINY}#sha256={CHECKSUM}") == str(TINY)
    assert models.resolve(TINY.as_uri()) == str(TINY)
    assert models.resolve(f"{TINY.as_uri()}#sha256={CHECKSUM.upper()}") == str(TINY)
    assert models.resolve(f"local:{TINY}") == str(TINY)


def test_another_checksum_is_refused() -> None:
    with pytest.raises(ModelError, match=rf"has checksum {CHECKSUM}, expected {'0' * 64}$"):
        models.resolve(f"{TINY}#sha256={'0' * 64}")


def test_half_a_checksum_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^#sha256= takes 64 hexadecimal digits, got 'abc'$"):
        models.resolve(f"{TINY}#sha256=abc")


@pytest.mark.parametrize("path", ["nowhere/model.onnx", "nowhere.onnx", "local:/nowhere/x", "file:///nowhere/x"])
def test_a_missing_file_is_named(path: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"^model file not found: .*nowhere"):
        models.resolve(path)


def test_an_unknown_name_brings_the_near_ones() -> None:
    with pytest.raises(ValueError, match=r"^no model is called resnet5; near: resnet50, "):
        models.resolve("resnet5")
    with pytest.raises(ValueError, match=r"^no model is called qqqq; give .*fruits-tiny.*, a network of keras"):
        models.resolve("qqqq")


def test_a_name_that_was_not_exported_brings_the_command() -> None:
    with pytest.raises(
        FileNotFoundError, match=r"^model resnet50 is not on this machine: `sparkcider export resnet50`"
    ):
        models.resolve("ResNet50")


def test_an_exported_name_is_found_in_every_spelling(cache: Path) -> None:
    (cache / "named").mkdir(parents=True)
    shutil.copy(TINY, cache / "named" / "mobilenet_v2.onnx")
    for name in ("mobilenet_v2", "MobileNetV2", "mobilenetv2", "MobileNet-V2"):
        assert models.resolve(name) == str(cache / "named" / "mobilenet_v2.onnx")


def test_an_embedded_model_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(TINY, tmp_path / "tiny-net.onnx")
    monkeypatch.setattr(models, "_BUNDLED", tmp_path)
    assert models.resolve("tiny_net") == str(tmp_path / "tiny-net.onnx")
    with pytest.raises(ValueError, match=r"^no model is called tiny_nut; near: tiny-net"):
        models.resolve("tiny_nut")


def test_an_unknown_scheme_brings_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match=r"^a URI begins with one of file://, s3://, gs://, abfss://, .*got ftp://a/b$"
    ):
        models.resolve("ftp://a/b")


# What a file says


def test_show_tells_what_the_file_says() -> None:
    card = models.show(TINY)
    assert card.checksum == CHECKSUM
    assert card.opset == 17
    assert card.inputs == [("image", [0, 3, 16, 16])]
    assert card.outputs == [("features", [0, 4]), ("map", [0, 4, 4, 4])]
    assert card.metadata == {"normalization": "torch", "filter": "bilinear"}


def test_show_refuses_what_is_no_onnx(tmp_path: Path) -> None:
    text = tmp_path / "text.onnx"
    text.write_text("this is no network")
    with pytest.raises(ModelError, match=r"text\.onnx: cannot read ONNX graph: "):
        models.show(text)
    (tmp_path / "empty.onnx").touch()
    with pytest.raises(ModelError, match=r"empty\.onnx: cannot read ONNX graph: there is no graph in it$"):
        models.show(tmp_path / "empty.onnx")


def test_pixels_has_nothing_to_show() -> None:
    with pytest.raises(ValueError, match=r"^pixels is not a file"):
        models.show("pixels")


def test_layers_are_the_vectors_and_maps_in_order() -> None:
    assert models.layers(TINY) == [
        ("map", "Conv", (4, 4, 4), "NCHW"),
        ("pooled", "GlobalAveragePool", (4, 1, 1), "NCHW"),
        ("features", "Flatten", (4,), None),
    ]
    found = [(layer.name, layer.layout) for layer in models.layers(DATA / "tiny_nhwc.onnx")]
    assert found == [("image", "NCHW"), ("map", "NCHW"), ("map_nhwc", "NHWC")]
    assert models.layers(DATA / "fixed_batch.onnx")[-1] == ("features", "Flatten", (4,), None)


def test_each_layer_can_be_taken() -> None:
    for name, _, shape, _ in models.layers(TINY):
        extractor = FeatureExtractor(TINY, layer=name, pooling="flatten")
        width = 1
        for axis in shape:
            width *= axis
        assert extractor.embedding_dim == width


def test_layers_of_a_network_of_any_size_need_one() -> None:
    with pytest.raises(ValueError, match=r"^input_size is required .*takes images of any size$"):
        models.layers(DATA / "any_size.onnx")
    assert models.layers(DATA / "any_size.onnx", input_size=32)[0].shape == (4, 8, 8)
    assert models.layers(DATA / "any_size.onnx", input_size=(16, 32))[0].shape == (4, 4, 8)


def test_layers_of_a_real_classifier(test_data: Path) -> None:
    found = {name: shape for name, _, shape, _ in models.layers(test_data / "models" / "mobilenetv2_imagenet.onnx")}
    assert (1280,) in found.values()
    assert len(found) > 100


# Files that no extractor can take


def onnx_file(path: Path, shape: list[int | str] | None, *, opset: int = 17, external: bool = False) -> Path:
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    kernel = onnx.numpy_helper.from_array(__import__("numpy").ones((4, 3, 1, 1), "float32"), "kernel")
    if external:
        kernel.data_location = tensor.EXTERNAL
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "kernel"], ["map"])],
        "net",
        [helper.make_tensor_value_info("image", tensor.FLOAT, shape)],
        [helper.make_tensor_value_info("map", tensor.FLOAT, None)],
        [kernel],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def test_an_input_of_open_rank_is_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "open.onnx", None)
    with pytest.raises(ModelError, match=r"expects an image input of rank 4, but its graph leaves the rank .* open$"):
        FeatureExtractor(path, normalization="raw")
    assert models.show(path).inputs == [("image", None)]


def test_an_opset_of_the_future_is_refused_in_one_line(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "future.onnx", ["N", 3, 8, 8], opset=99)
    with pytest.raises(ModelError, match=r"(?i)^model .*future\.onnx: .*opset 99[^\n]*$"):
        FeatureExtractor(path, normalization="raw")


def test_several_image_inputs_are_named() -> None:
    with pytest.raises(ModelError, match=r"expects one image input, found 2 that 'sum' depends on: image, other; no"):
        FeatureExtractor(DATA / "two_inputs.onnx", normalization="raw")


def test_weights_in_a_file_without_a_name_are_refused(tmp_path: Path) -> None:
    path = onnx_file(tmp_path / "outside.onnx", ["N", 3, 8, 8], external=True)
    with pytest.raises(
        ModelError, match=r"outside\.onnx: weight 'kernel': its values are in another file, which is not"
    ):
        models.resolve(path)


# Spark


def one_image(spark: SparkSession) -> DataFrame:
    import numpy as np

    from sparkcider.samples import encode_png

    image = encode_png(np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8))
    return spark.createDataFrame([(image,)], "content binary")


def expected(frame: DataFrame) -> list[float]:
    import pyarrow as pa

    found: list[float] = FeatureExtractor(TINY).extract(pa.array([frame.first().content]))[0][0].as_py()
    return found


def test_spark_takes_names_and_checked_uris(spark: SparkSession, cache: Path) -> None:
    from sparkcider.functions import image_features

    (cache / "named").mkdir(parents=True)
    shutil.copy(TINY, cache / "named" / "mobilenet_v2.onnx")
    frame = one_image(spark)
    for model in ("mobilenet_v2", f"{TINY.as_uri()}#sha256={CHECKSUM}"):
        assert frame.select(image_features("content", model=model).alias("f")).first().f == expected(frame)


def test_a_preplaced_model_is_not_sent(spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sparkcider.functions import image_features
    from sparkcider.spark import udf

    def refuse(*_: Any) -> None:
        raise AssertionError("sent")

    monkeypatch.setattr(udf, "deliver", refuse)
    placed = tmp_path / "placed.onnx"
    shutil.copy(TINY, placed)
    frame = one_image(spark)
    column = image_features("content", model=f"local:{placed}").alias("f")
    assert frame.select(column).first().f == expected(frame)


def test_spark_is_told_of_a_bad_name_before_any_job(spark: SparkSession) -> None:
    from sparkcider.functions import image_features

    assert spark.version
    with pytest.raises(ValueError, match=r"^no model is called resnet5; near: resnet50"):
        image_features("content", model="resnet5")

"""Models in several files, which become one; and what `sparkcider model` says of a file."""

from __future__ import annotations

import json
import pickle
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from hub_networks import AXES, DIM, OPTIONS, SIDE, described, images, matrix, onnx, onnxruntime, save, vit
from object_store import ObjectStore, serving
from onnx_nets import new_net

from sparkcider import FeatureExtractor, ModelError, cli, models
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession


# Weights in other files


def split(path: Path, **keywords: Any) -> tuple[Path, Path]:
    """The same transformer as one file and with its weights beside it."""
    one = vit(path / "one.onnx")
    (path / "split").mkdir()
    model = onnx.load(one)
    words = {"save_as_external_data": True, "location": "model.onnx_data", "size_threshold": 0} | keywords
    onnx.save(model, str(path / "split" / "model.onnx"), **words)
    return one, path / "split" / "model.onnx"


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("keywords", [{}, {"all_tensors_to_one_file": False}, {"convert_attribute": True}], ids=str)
def test_weights_in_other_files_become_one_file(tmp_path: Path, keywords: dict[str, Any]) -> None:
    one, path = split(tmp_path, **keywords)
    assert models.resolve(path) == str(path), "what else lies beside it is found"
    resolved = models.one_file(path)
    assert resolved.parent == tmp_path / "cache" / "models"
    assert models.one_file(one) == one
    alone, direct, cached = (FeatureExtractor(file, **OPTIONS) for file in (one, path, resolved))
    assert direct.checksum == cached.checksum == resolved.stem == models.show(path).checksum
    assert alone.checksum != direct.checksum
    for extractor in (direct, cached, direct.twin(), pickle.loads(pickle.dumps(direct))):
        np.testing.assert_array_equal(matrix(extractor), matrix(alone))
    assert models.resolve(f"{path}#sha256={direct.checksum}") == str(path)
    assert models.resolve(f"local:{path}") == str(path)
    with pytest.raises(ModelError, match=rf"has checksum {direct.checksum}, expected {alone.checksum}$"):
        models.resolve(f"{path}#sha256={alone.checksum}")


def test_a_change_of_a_file_of_weights_is_another_model(tmp_path: Path, cache: Path) -> None:
    _, path = split(tmp_path)
    before = models.one_file(path)
    stamp = next((cache / "models").iterdir()).stat().st_mtime_ns
    assert models.one_file(path) == before
    assert [file.stat().st_mtime_ns for file in (cache / "models").iterdir()] == [stamp], "made once"
    weights = path.with_name("model.onnx_data")
    extractor = FeatureExtractor(path, **OPTIONS)
    content = bytearray(weights.read_bytes())
    content[:4] = np.float32(7).tobytes()
    weights.write_bytes(content)
    assert models.one_file(path) != before
    with pytest.raises(ModelError, match=r"the file has changed since it was opened"):
        extractor.twin()


@pytest.mark.usefixtures("cache")
def test_a_link_into_the_cache_of_a_hub_is_followed(tmp_path: Path) -> None:
    _, path = split(tmp_path)
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    snapshot.mkdir()
    path.parent.rename(blobs)
    for name in ("model.onnx", "model.onnx_data"):
        (snapshot / name).symlink_to(blobs / name)
    assert FeatureExtractor(snapshot / "model.onnx", **OPTIONS).embedding_dim == DIM


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("../outside", "its values are in '../outside', which must be inside the folder of the model"),
        ("/etc/hostname", "its values are in '/etc/hostname', which must be inside the folder of the model"),
        ("link", "its values are in 'link', which must be inside the folder of the model"),
        ("missing", "its values are in 'missing', which is not beside the file: bring it there, too"),
        ("short", "its values end behind the end of FOLDER/short, which has 3 bytes"),
    ],
)
def test_weights_that_are_not_in_the_folder_are_refused(
    tmp_path: Path, cache: Path, location: str, message: str
) -> None:
    _, path = split(tmp_path)
    weights = path.with_name("model.onnx_data").read_bytes()
    (tmp_path / "outside").write_bytes(weights)
    path.with_name("link").symlink_to(tmp_path / "outside")
    path.with_name("short").write_bytes(b"abc")
    model = onnx.load(path, load_external_data=False)
    for weight in model.graph.initializer:
        next(entry for entry in weight.external_data if entry.key == "location").value = location
    path.write_bytes(model.SerializeToString())
    for opened in (models.resolve, lambda file: FeatureExtractor(file, **OPTIONS)):
        with pytest.raises(ModelError) as caught:
            opened(path)
        assert (
            str(caught.value).replace(str(path.parent), "FOLDER") == f"model FOLDER/model.onnx: weight 'w0': {message}"
        )
    assert not list((cache / "models").iterdir())


@pytest.mark.usefixtures("cache")
def test_more_than_one_file_can_hold_is_refused(tmp_path: Path) -> None:
    _, path = split(tmp_path)
    with path.with_name("large").open("wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    model = onnx.load(path, load_external_data=False)
    weight = model.graph.initializer[0]
    del weight.external_data[:]
    weight.external_data.add(key="location", value="large")
    path.write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"have more than 2147483647 bytes, and one ONNX file holds no more: export the"
    ):
        models.resolve(path)


def test_weights_beside_a_file_of_a_store_come_with_it(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, path = split(tmp_path)
    expected = FeatureExtractor(path, **OPTIONS)
    with serving(
        ObjectStore({f"bucket/folder/{file.name}": file.read_bytes() for file in path.parent.iterdir()})
    ) as s3:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        uri = "s3://bucket/folder/model.onnx"
        found = FeatureExtractor(uri, **OPTIONS)
        assert found.checksum == expected.checksum
        kept = cache / "models" / f"{expected.checksum}.onnx"
        assert list((cache / "models").iterdir()) == [kept]
        del s3.objects["bucket/folder/model.onnx_data"]
        assert models.resolve(f"{uri}#sha256={expected.checksum}") == str(kept)
        with pytest.raises(FileNotFoundError, match=r"^model file not found: s3://bucket/folder/model\.onnx_data$"):
            models.resolve(uri)


# What `sparkcider model` says


def shown(path: Path, capsys: pytest.CaptureFixture[str], command: str = "show", *words: str) -> list[str]:
    assert cli.main(["model", command, str(path), *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("pooler", "metadata", "expected"),
    [
        (True, {}, "pooler_output"),
        (False, {}, "last_hidden_state, tokens; pooling cls if the graph shows a class token, else give pooling"),
        (False, {"pooling": "mean_tokens"}, "last_hidden_state, pooling mean_tokens"),
        (True, {"output_name": "patches", "pooling": "max"}, "patches, pooling max"),
    ],
    ids=str,
)
def test_show_says_what_features_are_taken_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pooler: Any, metadata: dict[str, str], expected: str
) -> None:
    path = described(vit(tmp_path / "vit.onnx", pooler=pooler), **metadata)
    assert f"{'features from':<15} {expected}" in shown(path, capsys)
    assert not any(line.startswith("slow") for line in shown(path, capsys))


def test_layers_show_tokens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(vit(tmp_path / "vit.onnx"), capsys, "layers", "--input-size", str(SIDE))
    assert any(re.fullmatch(r"last_hidden_state +LayerNormalization +\(10, 24\) tokens", line) for line in lines), lines


def normalized(path: Path, *, twice: bool) -> Path:
    """A convolution and its batch normalisation; with `twice` something else reads the convolution, too."""
    made, kind = new_net(), onnx.TensorProto.FLOAT
    convolution = made.add("Conv", ["image", made.floats(DIM, 3, 3, 3)], "convolution")
    ones = [made.weight(np.ones(DIM, np.float32)) for _ in range(4)]
    norm = made.add("BatchNormalization", [convolution, *ones], "norm")
    last = made.add("Add", [norm, convolution], "last") if twice else made.add("Relu", [norm], "last")
    made.add("ReduceMean", [last], "features", axes=[2, 3], keepdims=0)
    return save(made, path, {"image": (kind, ["N", 3, SIDE, SIDE])}, {"features": (kind, ["N", DIM])})


@pytest.mark.parametrize("twice", [False, True])
def test_a_batch_normalisation_that_stays_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], *, twice: bool
) -> None:
    path, optimised = normalized(tmp_path / "net.onnx", twice=twice), tmp_path / "optimised.onnx"
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(optimised)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    stays = any(node.op_type == "BatchNormalization" for node in onnx.load(optimised).graph.node)
    assert stays == twice
    slow = [line for line in shown(path, capsys) if line.startswith("slow")]
    assert bool(slow) == twice
    assert all("1 BatchNormalization behind convolutions" in line for line in slow)


def test_weights_among_the_inputs_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = normalized(tmp_path / "net.onnx", twice=False)
    model = onnx.load(path)
    value = onnx.helper.make_tensor_value_info
    model.graph.input.extend(value(weight.name, weight.data_type, weight.dims) for weight in model.graph.initializer)
    path.write_bytes(model.SerializeToString())
    assert [line.split()[1:6] for line in shown(path, capsys) if line.startswith("slow")] == [
        ["5", "weights", "are", "among", "the"]
    ]
    assert FeatureExtractor(path, normalization="torch").embedding_dim == DIM
    model.ir_version = 3  # each weight is an input there
    path.write_bytes(model.SerializeToString())
    assert not any(line.startswith("slow") for line in shown(path, capsys))


def dynamically_quantized(path: Path, axes: list[Any]) -> Path:
    """A convolution of the levels of an input of `axes`, whose range is found at run time."""
    made, kind = new_net(), onnx.TensorProto.FLOAT
    made.nodes.append(onnx.helper.make_node("DynamicQuantizeLinear", ["x"], ["levels", "scale", "zero"]))
    kernel = made.weight(np.ones((DIM, 3, 1, 1), np.uint8))
    sums = made.add("Cast", [made.add("ConvInteger", ["levels", kernel, "zero"], "sums")], "floats", to=kind)
    made.add("ReduceMean", [sums], "features", axes=[2, 3], keepdims=0)
    return save(made, path, {"x": (kind, axes)}, {"features": (kind, [axes[0], DIM])})


def test_convolutions_of_dynamic_quantization_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dynamically_quantized(tmp_path / "net.onnx", AXES)
    assert any("1 convolutions are quantized dynamically" in line for line in shown(path, capsys))
    extractor = FeatureExtractor(path, **OPTIONS)
    assert extractor.preprocessing["layout"] == "NCHW"
    dark = encode_png((np.arange(SIDE * SIDE * 3) % 50).astype(np.uint8).reshape(SIDE, SIDE, 3))
    beside, _ = extractor.extract(pa.array([dark, *images().to_pylist()]))
    alone, _ = extractor.extract(pa.array([dark]))
    assert beside[0] == alone[0], "the range of values is that of each image"


def test_dynamic_quantization_of_a_fixed_batch_is_refused(tmp_path: Path) -> None:
    one = dynamically_quantized(tmp_path / "one.onnx", [1, *AXES[1:]])
    assert FeatureExtractor(one, **OPTIONS).embedding_dim == DIM
    with pytest.raises(ModelError, match="takes 4 images at once: each image's features would depend on the others"):
        FeatureExtractor(dynamically_quantized(tmp_path / "four.onnx", [4, *AXES[1:]]), **OPTIONS)


# Spark


@pytest.mark.usefixtures("cache")
def test_executors_get_one_file_and_the_options(spark: SparkSession, tmp_path: Path) -> None:
    from sparkcider.feature import ImageFeaturizer
    from sparkcider.functions import image_features

    _, path = split(tmp_path)
    expected = matrix(FeatureExtractor(path, l2_normalize=True, **OPTIONS))
    frame = spark.createDataFrame([(image,) for image in images().to_pylist()], "content binary").coalesce(1)
    column = image_features("content", model=path, l2_normalize=True, **OPTIONS)
    stage = ImageFeaturizer(inputCol="content", outputCol="f", model=path, l2Normalize=True, inputSize=SIDE)
    stage.setNormalization("torch").write().overwrite().save(f"file:{tmp_path}/stage")
    for file in (path, path.with_name("model.onnx_data")):
        file.unlink()  # the stage has them inside
    loaded = ImageFeaturizer.load(f"file:{tmp_path}/stage")
    for rows in (frame.select(column.alias("f")).collect(), loaded.transform(frame).select("f").collect()):
        np.testing.assert_array_equal(np.array([row.f for row in rows], np.float32), expected)


@pytest.mark.usefixtures("cache")
def test_a_description_beside_a_split_model_is_found(tmp_path: Path) -> None:
    _, path = split(tmp_path)
    said = {"image_processor_type": "ViTImageProcessor", "size": {"height": SIDE, "width": SIDE}, "resample": 2}
    path.with_name("preprocessor_config.json").write_text(json.dumps(said))
    checksum = models.show(path).checksum
    for model in (path, f"{path}#sha256={checksum}", f"local:{path}"):
        extractor = FeatureExtractor(model)
        assert extractor.input_size == (SIDE, SIDE)
        assert extractor.preprocessing["filter"] == "bilinear"
    assert ("last_hidden_state", (10, DIM)) in [layer[::2] for layer in models.layers(path)]

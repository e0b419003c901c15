"""Keras to one self-describing file: the numbers of the original, the metadata, and the words of what fails."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor, ModelError, cli, models
from sparkcider.models.export import TOLERANCE, export
from sparkcider.samples import encode_png

if TYPE_CHECKING:
    from pathlib import Path

# The bound for every single image.
COSINE = 0.9999


# What needs no Keras


def test_a_wrong_option_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^pooling must be avg, max or flatten, got sum$"):
        export("resnet50", tmp_path / "x.onnx", pooling="sum")
    with pytest.raises(
        ValueError, match=r"^a network comes from keras, torchvision, timm, huggingface or open_clip, got caffe$"
    ):
        export("resnet50", tmp_path / "x.onnx", source="caffe")
    with pytest.raises(
        FileNotFoundError, match=r"^file of weights not found: nowhere\.h5 \(or give pretrained or none\)$"
    ):
        export("resnet50", tmp_path / "x.onnx", weights="nowhere.h5")
    with pytest.raises(ValueError, match=r"^no model is called resnet51; near: resnet50"):
        export("resnet51", tmp_path / "x.onnx")


def test_without_keras_its_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(
        ImportError,
        match=r"^export needs Keras \(keras is missing\): pip install 'keras>=3.8' tensorflow-cpu tf2onnx onnx$",
    ):
        export("resnet50", tmp_path / "x.onnx", weights="none")


def test_without_torchvision_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ImportError, match=r"^--from torchvision needs torch \(\w+ is missing\): pip install torchvision"
    ):
        export("resnet50", tmp_path / "x.onnx", source="torchvision", weights="none")


@pytest.mark.parametrize(
    ("source", "module"), [("timm", "timm"), ("huggingface", "transformers"), ("open_clip", "open_clip")]
)
def test_without_the_library_its_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(
        ImportError,
        match=rf"^--from {source} needs torch \(\w+ is missing\): pip install {module}(_torch)? onnx onnxscript$",
    ):
        export("some", tmp_path / "x.onnx", source=source, weights="none")


def test_what_the_libraries_decide_themselves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^networks of timm have the size of their description: leave input_size out$"
    ):
        export("some", tmp_path / "x.onnx", source="timm", input_size=64)
    with pytest.raises(ValueError, match=r"^networks of huggingface have their own pooling: leave pooling at avg, got"):
        export("owner/some", tmp_path / "x.onnx", source="huggingface", pooling="max")
    with pytest.raises(ValueError, match=r"^to must be given, as owner/some is not the name of a file$"):
        export("owner/some", source="huggingface")
    with pytest.raises(ValueError, match=r"^transformers loads folders: give one as the name"):
        export("owner/some", tmp_path / "x.onnx", source="huggingface", weights=str(tmp_path))


# With Keras


@pytest.fixture(scope="module")
def keras() -> object:
    """Keras, whose import warns of what is not ours."""
    pytest.importorskip("tf2onnx", reason="needs sparkcider[export]")
    from sparkcider.models.export import keras

    return keras._keras()


@pytest.mark.usefixtures("keras")
@pytest.mark.parametrize(
    ("name", "options", "dim", "normalization"),
    [
        ("mobilenet_v2", {}, 1280, "tf"),
        ("resnet50", {}, 2048, "caffe"),
        ("resnet50", {"input_size": 50, "pooling": "flatten"}, 8192, "caffe"),  # study E
        ("resnet50", {"pooling": "flatten"}, 100_352, "caffe"),
        ("efficientnet_b0", {}, 1280, "raw"),
        ("densenet121", {"input_size": (64, 96), "pooling": "max"}, 1024, "torch"),
    ],
)
def test_an_export_does_what_keras_does(
    tmp_path: Path, name: str, options: dict[str, object], dim: int, normalization: str
) -> None:
    path = tmp_path / "model.onnx"
    done = export(name, path, weights="none", **options)  # type: ignore[arg-type]
    assert done.embedding_dim == dim
    assert done.difference <= TOLERANCE
    card = models.show(path)
    assert card.checksum == done.checksum
    size = options.get("input_size", 224)
    height, width = size if isinstance(size, tuple) else (size, size)
    assert card.inputs == [("image", [0, height, width, 3])]
    assert card.outputs == [("features", [0, dim])]
    said = card.metadata
    assert said["name"] == name
    assert said["normalization"] == normalization
    assert said["color_order"] == ("BGR" if normalization == "caffe" else "RGB")
    assert said["input_size"] == f"{height}x{width}"
    assert said["pooling"] == options.get("pooling", "avg")
    assert said["embedding_dim"] == str(dim)
    assert said["training_set"] == "none: random weights"
    assert (said["layout"], said["resize_mode"], said["filter"]) == ("NHWC", "squash", "bicubic")
    assert (said["input_name"], said["output_name"]) == ("image", "features")
    assert said["origin"].startswith("keras ")
    assert "Apache-2.0" in said["license"]


@pytest.mark.usefixtures("keras")
def test_random_weights_are_the_same_ones_each_time(tmp_path: Path) -> None:
    for path in ("a.onnx", "b.onnx"):
        export("mobilenet_v2", tmp_path / path, weights="none", input_size=32)
    image = pa.array([encode_png(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8))])
    features = [FeatureExtractor(tmp_path / path).extract(image)[0] for path in ("a.onnx", "b.onnx")]
    assert features[0].equals(features[1])


def test_the_registry_is_what_keras_has(keras: object) -> None:
    from sparkcider.models.export.keras import normalization_of

    theirs = {
        name
        for name in dir(keras.applications)  # type: ignore[attr-defined]
        if name[0].isupper() and callable(getattr(keras.applications, name))  # type: ignore[attr-defined]
    }
    assert {entry.application for entry in models.REGISTRY.values()} == theirs
    for entry in models.REGISTRY.values():
        module = getattr(keras.applications, entry.module)  # type: ignore[attr-defined]
        assert hasattr(module, entry.application) or entry.module.startswith(("resnet", "mobilenet"))
        assert normalization_of(module.preprocess_input)[0] in ("tf", "caffe", "torch", "raw")


# h5py gives Keras arrays of an old protocol.
H5PY = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@H5PY
def test_weights_of_a_file_are_taken(keras: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    application = keras.applications.MobileNetV2  # type: ignore[attr-defined]
    network = application(include_top=False, weights=None, input_shape=(64, 64, 3), pooling="avg")
    random = np.random.default_rng(1)
    # as after a training: every batch normalisation has moments of its own
    network.set_weights(
        [values + random.uniform(0.0, 0.2, values.shape).astype("f4") for values in network.get_weights()]
    )
    weights = tmp_path / "trained.weights.h5"
    network.save_weights(weights)
    target = tmp_path / "trained.onnx"
    words = ["export", "mobilenet_v2", "--weights", str(weights), "--input-size", "64", "--to", str(target)]
    assert cli.main(words) == 0
    assert "1,280" in capsys.readouterr().out
    assert models.show(target).metadata["training_set"] == "unknown: weights of trained.weights.h5"
    pixels = random.integers(0, 256, (64, 64, 3), np.uint8)
    found = FeatureExtractor(target).extract(pa.array([encode_png(pixels)]))[0].flatten().to_numpy()
    expected = np.asarray(network(pixels[None].astype("f4") / 127.5 - 1, training=False))[0]
    assert np.abs(found - expected).max() <= TOLERANCE * np.abs(expected).max()


@H5PY
def test_weights_of_another_network_are_refused(keras: object, tmp_path: Path) -> None:
    network = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(32, 32, 3))  # type: ignore[attr-defined]
    weights = tmp_path / "other.weights.h5"
    network.save_weights(weights)
    with pytest.raises(ValueError, match=r"^keras cannot build resnet50 so: "):
        export("resnet50", tmp_path / "x.onnx", weights=str(weights))
    assert not (tmp_path / "x.onnx").exists()


def test_imagenet_weights_that_cannot_be_reached_bring_the_command(
    keras: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def unreachable(*_: object, origin: str = "https://host/weights.h5", **__: object) -> str:
        raise Exception(f"URL fetch failure on {origin}: None -- [Errno -2] Name or service not known")  # noqa: TRY002

    module = sys.modules[keras.applications.MobileNetV2.__module__]  # type: ignore[attr-defined]
    monkeypatch.setattr(module.file_utils, "get_file", unreachable)
    with pytest.raises(
        ModelError, match=r"^the ImageNet weights of mobilenet_v2 cannot be reached .*`sparkcider export"
    ):
        export("mobilenet_v2", tmp_path / "x.onnx")


@pytest.mark.usefixtures("keras")
def test_an_export_without_a_place_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARKCIDER_CACHE", str(tmp_path))
    done = export("MobileNetV2", weights="none", input_size=32)
    assert models.resolve("mobilenet_v2") == done.to


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet50"])
def test_real_images_have_the_embeddings_of_keras_and_pillow(
    keras: object, test_data: Path, tmp_path: Path, name: str
) -> None:
    """The whole way, with the same random weights: file, decoder, resize, scaling, network, pooling."""
    image_module = pytest.importorskip("PIL.Image")
    path = tmp_path / "model.onnx"
    export(name, path, weights="none")
    entry = models.REGISTRY[name]
    keras.utils.set_random_seed(0)  # type: ignore[attr-defined]
    applications = keras.applications  # type: ignore[attr-defined]
    network = getattr(applications, entry.application)(
        include_top=False, weights=None, input_shape=(224, 224, 3), pooling="avg"
    )
    files = sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))[::76]
    pixels = [
        np.asarray(image_module.open(file).convert("RGB").resize((224, 224), image_module.Resampling.BICUBIC))
        for file in files
    ]
    preprocess = getattr(applications, entry.module).preprocess_input
    # one image at a time: TensorFlow keeps all maps of a batch, gigabytes of thirty
    expected = np.concatenate([network(preprocess(image[None].astype("f4")), training=False) for image in pixels])
    found = FeatureExtractor(path).extract(pa.array([file.read_bytes() for file in files]))[0]
    ours = found.flatten().to_numpy().reshape(expected.shape)
    cosines = (ours * expected).sum(1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(expected, axis=1)
    assert len(files) == 30
    assert cosines.min() >= COSINE
    # embeddings of random networks are near each other: the cosine alone would not tell one image from the next
    assert np.abs(ours - expected).max() <= 10 * TOLERANCE * np.abs(expected).max()


# With torchvision


@pytest.fixture(scope="module")
def torchvision() -> object:
    pytest.importorskip("onnxscript", reason="needs torchvision, onnx and onnxscript")
    return pytest.importorskip("torchvision", reason="needs torchvision, onnx and onnxscript")


def test_an_export_does_what_torchvision_does(torchvision: object, test_data: Path, tmp_path: Path) -> None:
    image_module = pytest.importorskip("PIL.Image")
    path = tmp_path / "resnet18.onnx"
    words = ["export", "resnet18", "--from", "torchvision", "--weights", "none", "--to", str(path)]
    assert cli.main(words) == 0
    said = models.show(path).metadata
    assert (said["resize_mode"], said["crop_ratio"], said["filter"]) == ("center_crop", "0.875", "bilinear")
    assert (said["normalization"], said["layout"], said["embedding_dim"]) == ("torch", "NCHW", "512")

    import torch

    torch.manual_seed(0)
    zoo = torchvision.models  # type: ignore[attr-defined]
    network = zoo.get_model("resnet18", weights=None).eval()
    network.fc = torch.nn.Identity()
    transforms = zoo.get_model_weights("resnet18").DEFAULT.transforms()
    files = [*sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))[::190], *(test_data / "photos").glob("drone_*")]
    with torch.no_grad():
        batch = torch.stack([transforms(image_module.open(io.BytesIO(file.read_bytes()))) for file in files])
        expected = network(batch).numpy()
    found = FeatureExtractor(path).extract(pa.array([file.read_bytes() for file in files]))[0]
    ours = found.flatten().to_numpy().reshape(expected.shape)
    assert np.abs(ours - expected).max() <= 10 * TOLERANCE * np.abs(expected).max()


@pytest.mark.usefixtures("torchvision")
def test_what_torchvision_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^torchvision has no classifier resnet19; it has alexnet, "):
        export("resnet19", tmp_path / "x.onnx", source="torchvision")
    with pytest.raises(ValueError, match=r"have their own pooling: leave pooling at avg, got max$"):
        export("resnet18", tmp_path / "x.onnx", source="torchvision", pooling="max")

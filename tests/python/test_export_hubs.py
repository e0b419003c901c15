"""`sparkcider export` from timm, transformers and open_clip: real architectures, random weights (`make test-hubs`)."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor, ModelError, cli, models
from sparkcider.models.export import TOLERANCE, export

WHY = "needs torch, transformers, timm, onnx, onnxscript and Pillow: make test-hubs"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
timm = pytest.importorskip("timm", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)
pillow = pytest.importorskip("PIL.Image", reason=WHY)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def differences(path: Path, test_data: Path, original: Callable[[Any], Any]) -> np.ndarray:
    """To the original on photos and fruits, over the largest value."""
    files = [
        *sorted((test_data / "photos").glob("drone_*")),
        *sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))[::380],
    ]
    contents = [file.read_bytes() for file in files]
    with torch.no_grad():
        images = [pillow.open(io.BytesIO(content)).convert("RGB") for content in contents]
        expected = np.concatenate([original(image).numpy() for image in images])
    found = FeatureExtractor(path).extract(pa.array(contents))[0]
    ours = found.flatten().to_numpy().reshape(expected.shape)
    apart: np.ndarray = np.abs(ours - expected) / np.abs(expected).max()
    return apart


@pytest.mark.parametrize("name", ["mobilenetv4_conv_small", "vit_tiny_patch16_224"])
def test_an_export_does_what_timm_does(name: str, test_data: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    assert cli.main(["export", name, "--from", "timm", "--weights", "none", "--to", str(path)]) == 0
    torch.manual_seed(0)
    network = timm.create_model(name, num_classes=0).eval()
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    assert differences(path, test_data, lambda image: network(prepare(image)[None])).max() <= 10 * TOLERANCE
    said = models.show(path).metadata
    assert (said["rounding"], said["filter"]) == ("timm", "bicubic")
    assert said["embedding_dim"] == str(network.num_features if name.startswith("vit") else 1280)
    assert said["training_set"] == "none: random weights"


def test_a_file_of_timm_loses_its_classifier_and_must_be_whole(test_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    network = timm.create_model("mobilenetv4_conv_small", num_classes=5).eval()
    torch.save(network.state_dict(), tmp_path / "trained.pth")
    path = tmp_path / "model.onnx"
    export("mobilenetv4_conv_small", path, source="timm", weights=str(tmp_path / "trained.pth"))
    network.reset_classifier(0)
    prepare = timm.data.create_transform(**timm.data.resolve_model_data_config(network), is_training=False)
    assert differences(path, test_data, lambda image: network(prepare(image)[None])).max() <= 10 * TOLERANCE
    assert models.show(path).metadata["training_set"] == "unknown: weights of trained.pth"
    for left_out, message in ((True, "the file lacks conv_stem.weight"), (False, "the file has besides other.weight")):
        weights = {
            key: value for key, value in network.state_dict().items() if not (left_out and key == "conv_stem.weight")
        }
        torch.save(weights if left_out else {**weights, "other.weight": torch.zeros(1)}, tmp_path / "wrong.pth")
        with pytest.raises(ValueError, match=message):
            export("mobilenetv4_conv_small", tmp_path / "x.onnx", source="timm", weights=str(tmp_path / "wrong.pth"))


def test_what_timm_cannot_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^timm has no network mobilenetv9; see timm\.list_models\(\)$"):
        export("mobilenetv9", tmp_path / "x.onnx", source="timm")
    with pytest.raises(ValueError, match=r"^timm cannot build efficientnet_b7: No pretrained weights exist"):
        export("efficientnet_b7", tmp_path / "x.onnx", source="timm")


def saved(folder: Path, kind: str, config: Any, processor: Any, dtype: str = "float32") -> str:
    torch.manual_seed(3)
    network = getattr(transformers, kind)(config)
    network.to(getattr(torch, dtype)).save_pretrained(folder)
    processor.save_pretrained(folder)
    return str(folder)


def small_clip() -> Any:
    texts = {**SMALL, "vocab_size": 100, "eos_token_id": 99, "bos_token_id": 1}
    return transformers.CLIPConfig(text_config=texts, vision_config={**SMALL, "patch_size": 32}, projection_dim=24)


def projected(clip: Any, pixels: Any) -> Any:
    return clip.visual_projection(clip.vision_model(pixels).pooler_output)


def hub_models(folder: Path) -> dict[str, tuple[str, Callable[[Any], Any]]]:
    """Folders as `save_pretrained` writes them, and what features are by each library's own names."""
    vit = transformers.ViTConfig(**SMALL)
    convnext = transformers.ConvNextConfig(hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1])
    dinov2 = transformers.Dinov2Config(**SMALL, patch_size=14, image_size=518)  # and images of 224
    on_pillow = transformers.ViTImageProcessorPil()
    return {
        "pooler": (
            saved(folder / "pooler", "ViTModel", vit, on_pillow),
            lambda pixels: transformers.ViTModel.from_pretrained(folder / "pooler").eval()(pixels).pooler_output,
        ),
        "classifier": (
            saved(folder / "classifier", "ViTForImageClassification", vit, on_pillow),
            lambda pixels: (
                transformers.ViTForImageClassification.from_pretrained(folder / "classifier")
                .eval()
                .vit(pixels)
                .last_hidden_state[:, 0]
            ),
        ),
        "clip": (
            saved(folder / "clip", "CLIPModel", small_clip(), transformers.CLIPImageProcessorPil()),
            lambda pixels: projected(transformers.CLIPModel.from_pretrained(folder / "clip").eval(), pixels),
        ),
        "dinov2": (
            saved(folder / "dinov2", "Dinov2Model", dinov2, transformers.BitImageProcessorPil(), dtype="float16"),
            lambda pixels: (
                transformers.Dinov2Model.from_pretrained(folder / "dinov2", dtype="float32")
                .eval()(pixels)
                .pooler_output
            ),
        ),
        "convnext": (
            saved(folder / "convnext", "ConvNextModel", convnext, transformers.ConvNextImageProcessorPil()),
            lambda pixels: transformers.ConvNextModel.from_pretrained(folder / "convnext").eval()(pixels).pooler_output,
        ),
    }


@pytest.mark.parametrize("kind", ["pooler", "classifier", "clip", "dinov2", "convnext"])
def test_an_export_does_what_transformers_does(kind: str, test_data: Path, tmp_path: Path) -> None:
    name, features = hub_models(tmp_path)[kind]
    done = export(name, tmp_path / "model.onnx", source="huggingface")
    assert done.difference <= TOLERANCE
    processor = transformers.AutoImageProcessor.from_pretrained(name, backend="pil")

    def original(image: Any) -> Any:
        return features(torch.as_tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"])))

    assert differences(tmp_path / "model.onnx", test_data, original).max() <= 10 * TOLERANCE
    assert models.show(tmp_path / "model.onnx").metadata["training_set"] == f"weights of {name}"


def test_weights_that_cannot_be_reached_bring_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match=r"^the weights of mobilenetv4_conv_small cannot be reached .*--from timm"):
        export("mobilenetv4_conv_small", tmp_path / "x.onnx", source="timm")
    with pytest.raises(ModelError, match=r"^owner/none cannot be brought from the Hugging Face Hub .*hf auth login"):
        export("owner/none", tmp_path / "x.onnx", source="huggingface")


def test_an_export_does_what_open_clip_does(test_data: Path, tmp_path: Path) -> None:
    open_clip = pytest.importorskip("open_clip", reason=WHY)
    path = tmp_path / "model.onnx"
    assert cli.main(["export", "ViT-B-32", "--from", "open_clip", "--weights", "none", "--to", str(path)]) == 0
    torch.manual_seed(0)
    network, _, prepare = open_clip.create_model_and_transforms("ViT-B-32", pretrained_text=False)
    network.eval()
    assert (
        differences(path, test_data, lambda image: network.encode_image(prepare(image)[None])).max() <= 10 * TOLERANCE
    )
    said = models.show(path).metadata
    assert (said["resize_mode"], said["embedding_dim"], said["training_set"]) == (
        "center_crop", "512", "none: random weights",
    )  # fmt: skip


def test_what_open_clip_cannot_do_is_said(tmp_path: Path) -> None:
    pytest.importorskip("open_clip", reason=WHY)
    with pytest.raises(ValueError, match=r"^open_clip has no network ViT-Z-1; see open_clip\.list_models"):
        export("ViT-Z-1", tmp_path / "x.onnx", source="open_clip")
    with pytest.raises(
        ValueError, match=r"^weights of ViT-B-32 must be one of open_clip's \(.*openai.*got pretrained$"
    ):
        export("ViT-B-32", tmp_path / "x.onnx", source="open_clip")
    with pytest.raises(ValueError, match=r"^hf-hub:a/b has its weights with it: leave weights at pretrained, got x$"):
        export("hf-hub:a/b", tmp_path / "x.onnx", source="open_clip", weights="x")

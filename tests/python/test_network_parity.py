"""Features with no option given against each library's own processor and network: `make test-hubs`.

Real architectures in small configurations with random weights, exported as hubs have them, with the description that
the library itself writes beside them. Run as a script, this prints the column of docs/models.md.
"""

from __future__ import annotations

import dataclasses
import io
import sys
import tempfile
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor

WHY = "needs torch, transformers, timm, open_clip, onnx, onnxscript and Pillow: make test-hubs"
torch = pytest.importorskip("torch", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
timm = pytest.importorskip("timm", reason=WHY)
open_clip = pytest.importorskip("open_clip", reason=WHY)
onnx = pytest.importorskip("onnx", reason=WHY)
pytest.importorskip("onnxscript", reason=WHY)
pillow = pytest.importorskip("PIL.Image", reason=WHY)
ops = pytest.importorskip("PIL.ImageOps", reason=WHY)

if TYPE_CHECKING:
    from collections.abc import Callable

REPOSITORY = Path(__file__).parents[2]
COSINE = 0.9999
"""Least centred cosine of an image: what all images have in common would hide a wrong preparation."""

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
SMALL = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
TEXT = {**SMALL, "vocab_size": 100, "max_position_embeddings": 16, "projection_dim": 32}
WORDS = [[1, 5, 7, 99]]
PLAIN = ("features",)
"""Of networks from a tensor to a tensor."""


class Network(NamedTuple):
    """A network of a library with its own pipeline.

    Attributes:
        module: In evaluation mode.
        inputs: Name to an example, the image among them; the first axis of the image is open.
        outputs: Names, in the order of the graph.
        chosen: The one that is taken where nobody says.
        prepare: A PIL image in RGB to (3, H, W).
        describe: Writes the description into a folder.
    """

    module: Any
    inputs: dict[str, Any]
    outputs: tuple[str, ...]
    chosen: str
    prepare: Callable[[Any], Any]
    describe: Callable[[Path], Any]


class _Named(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A network of transformers, or of a tensor to a tensor, as a function of named inputs to a tuple."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.module, self.names, self.outputs = network.module, tuple(network.inputs), network.outputs

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        if self.outputs == PLAIN:
            return (self.module(*tensors),)
        found = self.module(**dict(zip(self.names, tensors)))
        return tuple(found[name] for name in self.outputs)


def spread(module: Any) -> Any:
    """Weights so large that features depend on the image; those that libraries draw leave nearly a constant."""
    torch.manual_seed(0)
    norms = [layer for layer in module.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    gain = 0.7 if norms else 1.5  # 1.5 makes the rounding of networks with batch norms grow from layer to layer
    with torch.no_grad():
        for values in module.parameters():
            if values.dim() > 1:
                values.normal_(0.0, gain / values[0].numel() ** 0.5)
        for layer in norms:
            layer.momentum = None  # the moments of all batches, which is one
        if norms:
            # smooth, as photos are: beside noise they would be so far off that rounding errors grow without bound
            smooth = torch.nn.functional.interpolate(torch.randn(16, 3, 14, 14), size=224, mode="bicubic")
            module.train()(smooth + 0.1 * torch.randn_like(smooth))
    return module.eval()


def of_transformers(
    kind: str,
    config: Any,
    processor: Any,
    outputs: tuple[str, ...],
    chosen: str,
    *,
    texts: bool = False,
    **options: Any,
) -> Network:
    module = spread(getattr(transformers, kind)(config, **options))

    def prepare(image: Any) -> Any:
        return torch.as_tensor(np.asarray(processor(image, return_tensors="pt")["pixel_values"][0]))

    image = prepare(pillow.new("RGB", (300, 200)))
    inputs = {"input_ids": torch.tensor(WORDS)} if texts else {}
    inputs["pixel_values"] = torch.stack([image, image])
    if texts:
        inputs["attention_mask"] = torch.ones(1, len(WORDS[0]), dtype=torch.int64)
    return Network(module, inputs, outputs, chosen, prepare, processor.save_pretrained)


def of_timm(name: str, **options: Any) -> Network:
    module = timm.create_model(name, pretrained=False, num_classes=0, **options)
    config = timm.data.resolve_model_data_config(module)
    prepare = timm.data.create_transform(**config, is_training=False)
    image = prepare(pillow.new("RGB", (300, 200)))

    def describe(folder: Path) -> None:
        timm.models._hub.save_config_for_hf(module, str(folder / "config.json"))

    return Network(spread(module), {"x": torch.stack([image, image])}, PLAIN, *PLAIN, prepare, describe)


def of_open_clip(size: int, **preprocess: Any) -> Network:
    vision = {"image_size": size, "layers": 3, "width": 64, "head_width": 16, "patch_size": 16}
    texts = {"context_length": 16, "vocab_size": 100, "width": 32, "heads": 2, "layers": 1}
    config = {"embed_dim": 32, "vision_cfg": vision, "text_cfg": texts}
    module = open_clip.CLIP(**config)
    how = open_clip.transform.PreprocessCfg(size=size, **preprocess)
    open_clip.model.set_model_preprocess_cfg(module, dataclasses.asdict(how))
    prepare = open_clip.transform.image_transform_v2(how, is_train=False)
    image = prepare(pillow.new("RGB", (300, 200)))

    def describe(folder: Path) -> None:
        sys.modules["open_clip.push_to_hf_hub"].save_config_for_hf(module, folder / "open_clip_config.json", config)

    return Network(spread(module.visual), {"image": torch.stack([image, image])}, PLAIN, *PLAIN, prepare, describe)


TOKENS = ("last_hidden_state", "pooler_output")
JOINT = ("logits_per_image", "logits_per_text", "text_embeds", "image_embeds")


def _vit(**options: Any) -> Network:
    outputs = TOKENS if options.get("add_pooling_layer", True) else TOKENS[:1]
    config = transformers.ViTConfig(**SMALL)
    return of_transformers("ViTModel", config, transformers.ViTImageProcessorPil(), (*outputs,), outputs[-1], **options)


def _dinov2() -> Network:
    processor = transformers.BitImageProcessorPil(size={"shortest_edge": 256}, **IMAGENET)
    config = transformers.Dinov2Config(**SMALL, patch_size=14, image_size=224)
    return of_transformers("Dinov2Model", config, processor, TOKENS, "pooler_output")


def _dinov3() -> Network:
    config = transformers.DINOv3ViTConfig(**SMALL, num_register_tokens=4)
    return of_transformers("DINOv3ViTModel", config, transformers.DINOv3ViTImageProcessor(), TOKENS, "pooler_output")


def _clip_vision() -> Network:
    config = transformers.CLIPVisionConfig(**SMALL, projection_dim=32, patch_size=32)
    return of_transformers(
        "CLIPVisionModelWithProjection",
        config,
        transformers.CLIPImageProcessorPil(),
        ("image_embeds", "last_hidden_state"),
        "image_embeds",
    )


def _clip() -> Network:
    config = transformers.CLIPConfig(
        text_config={**TEXT, "eos_token_id": 99, "bos_token_id": 1},
        vision_config={**SMALL, "patch_size": 32},
        projection_dim=32,
    )
    return of_transformers("CLIPModel", config, transformers.CLIPImageProcessorPil(), JOINT, "image_embeds", texts=True)


def _siglip2() -> Network:
    processor = transformers.SiglipImageProcessorPil(size={"height": 256, "width": 256}, resample=2)
    config = transformers.SiglipVisionConfig(**SMALL, image_size=256, patch_size=16)
    return of_transformers("SiglipVisionModel", config, processor, TOKENS, "pooler_output")


def _convnext() -> Network:
    processor = transformers.ConvNextImageProcessorPil(size={"shortest_edge": 224}, crop_pct=0.875, **IMAGENET)
    config = transformers.ConvNextConfig(hidden_sizes=[16, 32, 48, 64], depths=[1, 1, 2, 1], layer_scale_init_value=1.0)
    return of_transformers("ConvNextModel", config, processor, TOKENS, "pooler_output")


def _efficientnet() -> Network:
    processor = transformers.EfficientNetImageProcessorPil(size={"height": 224, "width": 224}, resample=0, **IMAGENET)
    config = transformers.EfficientNetConfig(
        image_size=224, width_coefficient=0.5, depth_coefficient=0.5, hidden_dim=640, dropout_rate=0.0
    )
    return of_transformers("EfficientNetModel", config, processor, TOKENS, "pooler_output")


NETWORKS: dict[str, Callable[[], Network]] = {
    "ViT": _vit,
    "ViT, class token": lambda: _vit(add_pooling_layer=False),
    "DINOv2": _dinov2,
    "DINOv3": _dinov3,
    "CLIP, vision": _clip_vision,
    "CLIP, images and texts": _clip,
    "SigLIP 2": _siglip2,
    "ConvNeXt": _convnext,
    "EfficientNet": _efficientnet,
    "timm: EfficientNet": lambda: of_timm("efficientnet_b0"),
    "timm: MobileNetV4": lambda: of_timm("mobilenetv4_conv_small"),
    "timm: ViT": lambda: of_timm("vit_tiny_patch16_224", depth=3),
    "open_clip: shortest": lambda: of_open_clip(224),
    "open_clip: squash": lambda: of_open_clip(256, resize_mode="squash", mean=[0.5] * 3, std=[0.5] * 3),
}


def exported(network: Network, folder: Path) -> Path:
    """`onnx/model.onnx` as hubs have it, all axes of the image open, and the description above it."""
    path = folder / "onnx" / "model.onnx"
    path.parent.mkdir()
    images = {"pixel_values", "image", "x"}
    names = list(network.inputs)
    open_axes = tuple({0: torch.export.Dim("N")} if name in images else None for name in names)
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Named(network).eval(),
            tuple(network.inputs.values()),
            path,
            dynamo=True,
            external_data=False,
            opset_version=18,
            input_names=names,
            output_names=list(network.outputs),
            dynamic_shapes=(open_axes,),
            verbose=False,
        )
    model = onnx.load(path)
    image = next(value for value in model.graph.input if value.name in images)
    for axis, name in zip(image.type.tensor_type.shape.dim, ("N", "num_channels", "height", "width")):
        axis.dim_param = name
    path.write_bytes(model.SerializeToString())
    network.describe(folder)
    return path


def photos(test_data: Path) -> list[bytes]:
    """Photos of up to 12 megapixels, upright and turned by EXIF, and photos of fruits of 100 pixels."""
    files = sorted((test_data / "photos").glob("drone_*")) + sorted((test_data / "photos").glob("exif_*"))[::3]
    files += sorted((test_data / "fruits" / "Test").glob("*/*.jpg"))[::190]
    return [file.read_bytes() for file in files]


def original(network: Network, contents: list[bytes]) -> np.ndarray:
    """(N, D) by the library's own processor and network, from Pillow's images."""
    rows = []
    for content in contents:
        image = ops.exif_transpose(pillow.open(io.BytesIO(content))).convert("RGB")
        inputs = {**network.inputs, _image_of(network): network.prepare(image)[None]}
        with torch.no_grad():
            found = _Named(network)(*inputs.values())[network.outputs.index(network.chosen)]
        rows.append((found[:, 0] if network.chosen == "last_hidden_state" else found).numpy().ravel())
    return np.stack(rows)


def _image_of(network: Network) -> str:
    return next(name for name, values in network.inputs.items() if values.dim() == len("NCHW"))


def features(extractor: FeatureExtractor, contents: list[bytes]) -> np.ndarray:
    found, errors = extractor.extract(pa.array(contents))
    assert errors.null_count == len(contents)
    rows: np.ndarray = found.flatten().to_numpy().reshape(len(contents), -1)
    return rows


def centred_cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """Of each image, without the mean of all."""
    a, b = (rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64) for rows in (ours, theirs))
    cosines: np.ndarray = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return cosines


@pytest.fixture(scope="module")
def contents(test_data: Path) -> list[bytes]:
    return photos(test_data)


@pytest.mark.parametrize("name", NETWORKS)
def test_features_with_no_option_are_the_librarys(name: str, contents: list[bytes], tmp_path: Path) -> None:
    network = NETWORKS[name]()
    ours = features(FeatureExtractor(exported(network, tmp_path)), contents)
    theirs = original(network, contents)
    assert len(contents) > 15
    assert ours.shape == theirs.shape
    assert centred_cosines(ours, theirs).min() >= COSINE


def test_the_bound_tells_one_filter_from_another(contents: list[bytes], tmp_path: Path) -> None:
    network = NETWORKS["ViT"]()
    ours = features(FeatureExtractor(exported(network, tmp_path), filter="bicubic"), contents)
    assert centred_cosines(ours, original(network, contents)).min() < COSINE


def main() -> None:
    """Prints the column of docs/models.md."""
    torch.set_num_threads(1)
    found = photos(REPOSITORY.parent / "shared" / "data")
    print(f"{len(found)} photos\n\n| network | least centred cosine | spread |\n|---|---|---|")
    for name, build in NETWORKS.items():
        network = build()
        with tempfile.TemporaryDirectory() as folder:
            ours = features(FeatureExtractor(exported(network, Path(folder))), found)
        theirs = original(network, found)
        apart = np.linalg.norm(theirs - theirs.mean(0)) / np.linalg.norm(theirs)
        print(f"| {name} | 1 - {1 - centred_cosines(ours, theirs).min():.1e} | {apart:.2f} |", flush=True)


if __name__ == "__main__":
    main()

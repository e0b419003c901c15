"""The network's input against that of transformers, timm, open_clip and torchvision themselves: `make test-hubs`.

Photos and odd files of the test data, and noise of many sizes; what differs already when it is decoded is left to
docs/numerics.md. Run as a script, this prints the table of docs/models.md.
"""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest

from sparkcider import FeatureExtractor

WHY = "needs torch, torchvision, transformers, timm, open_clip and Pillow: make test-hubs"
torch = pytest.importorskip("torch", reason=WHY)
presets = pytest.importorskip("torchvision.transforms._presets", reason=WHY)
transformers = pytest.importorskip("transformers", reason=WHY)
timm = pytest.importorskip("timm", reason=WHY)
open_clip = pytest.importorskip("open_clip", reason=WHY)
pillow = pytest.importorskip("PIL.Image", reason=WHY)
ops = pytest.importorskip("PIL.ImageOps", reason=WHY)

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL.Image import Image

REPOSITORY = Path(__file__).parents[2]
ANY_SIZE = REPOSITORY / "tests" / "data" / "any_size.onnx"
TOLERANCE = 1e-5
"""Of the network's input; float32 sums in another order differ by less."""

SIZES = (
    (1, 1), (3, 500), (500, 3), (17, 23), (100, 99), (223, 225), (224, 224), (255, 257), (256, 256), (333, 1001),
    (640, 481), (481, 640), (37, 1024),
)  # fmt: skip

IMAGENET = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}


class Case(NamedTuple):
    """A description, and the library's own function of a PIL image in RGB to (3, H, W)."""

    name: str
    values: dict[str, Any]
    prepare: Callable[[Image], np.ndarray]


class Sample(NamedTuple):
    name: str
    content: bytes
    upright: Image


def processor(name: str, kind: str, backend: str = "Pil", **values: Any) -> Case:
    """A processor of transformers."""
    original = getattr(transformers, kind + backend)(**values)

    def prepare(image: Image) -> np.ndarray:
        return np.asarray(original(image, return_tensors="pt")["pixel_values"][0])

    return Case(name, {"image_processor_type": kind, **values}, prepare)


def of_timm(name: str, **values: Any) -> Case:
    config = timm.data.resolve_data_config(pretrained_cfg=values)
    transform = timm.data.create_transform(**config, is_training=False)
    return Case(name, {"pretrained_cfg": values}, lambda image: transform(image).numpy())


def of_open_clip(name: str, **values: Any) -> Case:
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
    transform = open_clip.image_transform(given.pop("size"), is_train=False, **given)
    return Case(name, {"preprocess_cfg": values}, lambda image: transform(image).numpy())


def of_torchvision(name: str, **values: Any) -> Case:
    how = {**values, "interpolation": presets.InterpolationMode(values["interpolation"])}
    preset = presets.ImageClassification(**how)
    return Case(name, {"resize_size": 256, **values}, lambda image: preset(image).numpy())


def cases() -> list[Case]:
    square = {"height": 256, "width": 256}
    return [
        processor("ViT", "ViTImageProcessor"),
        processor("ViT, 384", "ViTImageProcessor", size=384),
        processor("ViT, levels as they are", "ViTImageProcessor", do_rescale=False, do_normalize=False),
        processor("DINOv2", "BitImageProcessor", size={"shortest_edge": 256}, **IMAGENET),
        processor("DINOv2, 201 x 225 of 180", "BitImageProcessor", size=180, crop_size={"height": 225, "width": 201}),
        processor("DINOv3", "DINOv3ViTImageProcessor", backend=""),
        processor("DINOv3, 518 x 255, bicubic", "DINOv3ViTImageProcessor", "", size=[518, 255], resample=3),
        processor("CLIP", "CLIPImageProcessor"),
        processor("CLIP, 336", "CLIPImageProcessor", size=336, crop_size=336),
        processor("SigLIP 2, 256", "SiglipImageProcessor", size=square, resample=2),
        processor("ConvNeXt, 224", "ConvNextImageProcessor", size={"shortest_edge": 224}, crop_pct=0.875, **IMAGENET),
        processor("ConvNeXt, 384", "ConvNextImageProcessor", **IMAGENET),
        processor("EfficientNet", "EfficientNetImageProcessor", size=[224, 224], resample=0, **IMAGENET),
        processor(
            "EfficientNet, offset",
            "EfficientNetImageProcessor",
            rescale_offset=True,
            rescale_factor=1 / 127.5,
            include_top=False,
        ),
        processor("DeiT", "DeiTImageProcessor"),
        processor("BEiT", "BeitImageProcessor"),
        processor("BLIP", "BlipImageProcessor"),
        processor("LeViT", "LevitImageProcessor"),
        processor("MobileNetV2", "MobileNetV2ImageProcessor"),
        processor("MobileViT", "MobileViTImageProcessor"),
        of_timm("timm: MobileNetV4", input_size=[3, 224, 224], crop_pct=0.95, interpolation="bicubic"),
        of_timm("timm: 299, 0.875", input_size=[3, 299, 299], crop_pct=0.875),
        of_timm("timm: 240 x 320", input_size=[3, 240, 320], crop_pct=0.9, interpolation="bilinear"),
        of_timm("timm: squash", input_size=[3, 224, 225], crop_pct=0.9, crop_mode="squash", interpolation="lanczos"),
        of_timm("timm: border", input_size=[3, 224, 201], crop_pct=0.9, crop_mode="border"),
        of_timm("timm: border, whole", input_size=[3, 224, 224], crop_pct=1.0, crop_mode="border"),
        of_open_clip("open_clip: shortest", size=224),
        of_open_clip("open_clip: shortest, 256 x 192", size=[256, 192], interpolation="bilinear"),
        of_open_clip("open_clip: longest", size=224, resize_mode="longest", fill_color=127),
        of_open_clip("open_clip: longest, 256 x 191", size=[256, 191], resize_mode="longest"),
        of_open_clip("open_clip: squash", size=384, resize_mode="squash", mean=[0.5] * 3, std=[0.5] * 3),
        of_torchvision("torchvision: 224 of 232", crop_size=224, resize_size=232, interpolation="bilinear"),
        of_torchvision("torchvision: 240 of 201", crop_size=240, resize_size=201, interpolation="bicubic"),
    ]


def encoded(image: Image, form: str) -> bytes:
    content = io.BytesIO()
    image.save(content, form)
    return content.getvalue()


def samples(test_data: Path) -> list[Sample]:
    """Photos and odd files that Pillow decodes as we do, noise, and a photo in grey and in CMYK."""
    random = np.random.default_rng(0)
    noise = [pillow.fromarray(random.integers(0, 256, (*size, 3), np.uint8)) for size in SIZES]
    contents = [(f"noise {image.height} x {image.width}", encoded(image, "PNG")) for image in noise]
    files = sorted((test_data / "photos").iterdir()) + sorted((test_data / "odd-images").iterdir())
    contents += [(file.name, file.read_bytes()) for file in files if file.suffix not in {".tsv", ".md"}]
    photo = pillow.open(io.BytesIO(files[0].read_bytes())).convert("RGB").resize((611, 407))
    contents += [("grey", encoded(photo.convert("L"), "JPEG")), ("CMYK", encoded(photo.convert("CMYK"), "JPEG"))]
    return [sample for name, content in contents for sample in decoded_alike(name, content)]


def decoded_alike(name: str, content: bytes) -> list[Sample]:
    try:
        image = pillow.open(io.BytesIO(content))
        upright = ops.exif_transpose(image).convert("RGB")
    except Exception:  # noqa: BLE001 - whatever Pillow says of a damaged file
        return []
    if max(upright.size) > 4096:
        return []
    same = FeatureExtractor("pixels", input_size=(upright.height, upright.width), normalization="raw")
    features, _ = same.extract(pa.array([content]))
    if features.null_count or not np.array_equal(features.flatten().to_numpy(), np.asarray(upright).ravel()):
        return []
    return [Sample(name, content, pillow.fromarray(np.asarray(upright)))]  # without what the file says of transparency


def opened(values: dict[str, Any], folder: Path) -> FeatureExtractor:
    path = folder / "description.json"
    path.write_text(json.dumps(values))
    return FeatureExtractor(ANY_SIZE, preprocessing=path)


def differences(case: Case, found: list[Sample], folder: Path) -> np.ndarray:
    """Largest difference of each image."""
    extractor = opened(case.values, folder)
    # transparency is another test: what is compared is RGB on both sides
    plain = FeatureExtractor(ANY_SIZE, **{**extractor.preprocessing, "background": None})
    height, width = extractor.input_size
    largest = []
    for sample in found:
        features, _ = plain._inputs().extract(pa.array([sample.content]))
        ours = features.flatten().to_numpy().reshape(3, height, width)
        try:
            theirs = case.prepare(sample.upright)
        except ValueError as error:
            # a strip whose short side becomes 0 in Pillow; here it is one pixel
            assert "height and width must be > 0" in str(error), sample.name  # noqa: PT017 - the library's own limit
            continue
        largest.append(np.abs(ours - theirs).max())
    return np.array(largest)


@pytest.fixture(scope="module")
def images(test_data: Path) -> list[Sample]:
    return samples(test_data)


def test_there_are_images_of_many_kinds(images: list[Sample]):
    assert len(images) > 200
    assert {"grey", "CMYK"} <= {sample.name for sample in images}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_networks_input_is_the_librarys(case: Case, images: list[Sample], tmp_path: Path):
    found = differences(case, images, tmp_path)
    assert len(found) > 200
    assert found.max() <= TOLERANCE


def test_transparency_is_laid_on_white_as_in_transformers(tmp_path: Path):
    random = np.random.default_rng(0)
    content = encoded(pillow.fromarray(random.integers(0, 256, (64, 64, 4), np.uint8), "RGBA"), "PNG")
    case = processor("", "CLIPImageProcessor", size=64, crop_size=64, do_rescale=False, do_normalize=False)
    features, _ = opened(case.values, tmp_path)._inputs().extract(pa.array([content]))
    ours = features.flatten().to_numpy().reshape(3, 64, 64)
    assert np.abs(ours - case.prepare(pillow.open(io.BytesIO(content)))).max() <= 1  # of 255 levels: rounded otherwise


def torchvision_backends() -> list[tuple[str, Case, Case]]:
    """Processors that transformers runs on torchvision unless it is told otherwise."""
    kinds: list[tuple[str, str, dict[str, Any]]] = [
        ("ViT", "ViTImageProcessor", {}),
        ("DINOv2", "BitImageProcessor", {"size": {"shortest_edge": 256}, **IMAGENET}),
        ("CLIP", "CLIPImageProcessor", {}),
        ("SigLIP 2", "SiglipImageProcessor", {"size": {"height": 256, "width": 256}, "resample": 2}),
        ("ConvNeXt", "ConvNextImageProcessor", {"size": {"shortest_edge": 224}, **IMAGENET}),
    ]
    return [
        (name, processor(name, kind, **values), processor(name, kind, "", **values)) for name, kind, values in kinds
    ]


def main() -> None:
    """Prints the tables of docs/models.md."""
    torch.set_num_threads(1)
    found = samples(REPOSITORY.parent / "shared" / "data")
    print(f"{len(found)} images\n\n| description | largest difference of the network's input |\n|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            print(f"| {case.name} | {differences(case, found, Path(folder)).max():.1e} |", flush=True)
    photos = [sample for sample in found if sample.name.lower().endswith((".jpg", ".jpeg"))]
    print(
        f"\nPillow's class against torchvision's, {len(photos)} JPEGs\n\n| processor | largest | mean |\n|---|---|---|"
    )
    for name, on_pillow, on_torchvision in torchvision_backends():
        apart = [
            np.abs(on_pillow.prepare(sample.upright) - on_torchvision.prepare(sample.upright)) for sample in photos
        ]
        print(f"| {name} | {max(map(np.max, apart)):.2f} | {np.mean(list(map(np.mean, apart))):.4f} |", flush=True)


if __name__ == "__main__":
    main()

"""What a description is blamed for, and what a preset of torchvision has beside it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sparkcider import FeatureExtractor, ModelError
from sparkcider.models.descriptions import read

FOREIGN = Path(__file__).parents[1] / "data" / "tiny_nhwc.onnx"
VIT = {"image_processor_type": "ViTImageProcessor", "size": 16}


def written(path: Path, values: dict[str, Any]) -> Path:
    path.write_text(json.dumps(values))
    return path


def entries_of(folder: Path, values: dict[str, Any]) -> dict[str, str]:
    return dict(read(written(folder / "description.json", values)).entries)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"layer": "no"},
            ValueError,
            r"^layer must be a tensor of the model's graph, .*got 'no'; [^;]* lists the tensors$",
        ),
        (
            {"crop_ratio": 0.5},
            ValueError,
            r"^crop_ratio must be left out, as resize_mode is squash and not .*, got 0\.5$",
        ),
        (
            {"input_size": 18, "resize_mode": "squash"},
            ValueError,
            r"^input_size must be \(16, 16\), .*, got \(18, 18\)$",
        ),
        ({"intra_threads": 0}, ValueError, r"^intra_threads must be a whole number from 1 to 1024, got 0$"),
        ({"resize_dtype": "float32"}, ModelError, r": FILE describes its preparation: filter must be .*, got box$"),
    ],
    ids=str,
)
def test_only_what_a_description_says_is_blamed_on_it(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], message: str
):
    model = shutil.copy(FOREIGN, tmp_path / "model.onnx")
    path = written(tmp_path / "preprocessor_config.json", {**VIT, "resample": 4})
    with pytest.raises(error, match=message.replace("FILE", str(path))):
        FeatureExtractor(model, **options)


def test_what_is_wrong_with_the_file_is_not_blamed_on_a_description_beside_it(tmp_path: Path):
    written(tmp_path / "preprocessor_config.json", VIT)
    (tmp_path / "model.onnx").write_bytes(b"<html>")
    with pytest.raises(ModelError) as caught:
        FeatureExtractor(tmp_path / "model.onnx")
    assert "describes" not in str(caught.value)


def test_what_a_preset_of_torchvision_has_of_a_module_is_passed_over(tmp_path: Path):
    own = {
        "crop_size": [16], "resize_size": [20], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5],
        "interpolation": "InterpolationMode.BICUBIC", "antialias": True,
    }  # fmt: skip
    hooks = ("_backward_hooks", "_forward_hooks", "_state_dict_hooks", "_load_state_dict_post_hooks", "_modules")
    module = {"training": True, "_parameters": {}, "_buffers": {}, "_non_persistent_buffers_set": "set()"}
    module |= {"_is_full_backward_hook": None, **{name: {} for name in hooks}}
    assert entries_of(tmp_path, {**module, **own}) == entries_of(tmp_path, own)
    with pytest.raises(ModelError, match="padding must be left out: it is not known"):
        entries_of(tmp_path, {**module, **own, "padding": 3})

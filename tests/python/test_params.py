"""The Params of the stages: typed signatures, a setter and a getter each, texts, and messages that say what to do."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparkcider import FeatureExtractor, _native
from sparkcider.feature import PCA, ImageFeaturizer, PCAModel, StandardScaler, StandardScalerModel

STAGES = (ImageFeaturizer, PCA, StandardScaler)
MODELS = (PCAModel, StandardScalerModel)

VALUES: dict[str, Any] = {
    "inputCol": "a",
    "outputCol": "b",
    "model": "pixels",
    "outputType": "vector",
    "errorCol": "c",
    "errorKindCol": "e",
    "handleInvalid": "error",
    "saveModel": False,
    "inFlight": 7,
    "inputSize": [3, 4],
    "resizeMode": "letterbox",
    "resizeSize": [5, 6],
    "cropRatio": 0.5,
    "filter": "box",
    "rounding": "timm",
    "resizeDtype": "float32",
    "fillColor": [4, 5, 6],
    "normalization": [[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]],
    "layout": "NHWC",
    "colorOrder": "BGR",
    "pooling": "max",
    "prefixTokens": 5,
    "layer": "map",
    "layerLayout": "NCHW",
    "l2Normalize": True,
    "intraThreads": 2,
    "decode": "scaled",
    "applyExif": False,
    "maxPixels": 1000,
    "background": [1, 2, 3],
    "preprocessing": "preprocessor_config.json",
    "k": 3,
    "variance": 0.5,
    "standardize": True,
    "center": True,
    "whiten": True,
    "solver": "gram",
    "maxK": 9,
    "reconstructionErrorCol": "d",
    "withMean": True,
    "withStd": False,
}


def names(stage: type) -> list[str]:
    return sorted(param.name for param in stage().params)


def capital(name: str) -> str:
    return name[0].upper() + name[1:]


# Signatures


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("method", ["__init__", "setParams"])
def test_a_signature_has_each_param_by_keyword(stage: type, method: str):
    parameters = dict(inspect.signature(getattr(stage, method)).parameters)
    del parameters["self"]
    assert sorted(parameters) == names(stage)
    for parameter in parameters.values():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.default is None
        assert str(parameter.annotation).endswith(" | None")


def test_the_featurizer_has_each_option_of_the_extractor():
    options = set(inspect.signature(_native.FeatureExtractor).parameters) - {"model", "description"} | {"preprocessing"}
    stage = ImageFeaturizer(**{name: VALUES[name] for name in names(ImageFeaturizer)})
    assert set(stage.extractorOptions()) == options


TYPED = """\
from pathlib import Path
from sparkcider.feature import PCA, ImageFeaturizer, StandardScaler

ImageFeaturizer(inputCol="a", model=Path("m.onnx"), inputSize=(2, 3), normalization=((1, 2, 3), (4, 5, 6)))
PCA(k=2, variance=0.5, standardize=True).setParams(maxK=3).setK(1).setInputCol("a")
ImageFeaturizer(inputCol=1)
PCA(k="2")
PCA(components=2)
StandardScaler(withMean="yes")
StandardScaler("a")
PCA().setParams(k=0.5)
PCA().setVariance("all")
"""


def test_a_type_checker_sees_a_wrong_argument(tmp_path: Path):
    pytest.importorskip("mypy", reason="needs the extra dev")
    script = tmp_path / "typed.py"
    script.write_text(TYPED)
    environment = {**os.environ, "MYPYPATH": str(Path(_native.__file__).parents[1])}
    command = [sys.executable, "-m", "mypy", "--follow-imports=silent", "--ignore-missing-imports", str(script)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    wrong = {int(line) for line in re.findall(r"typed\.py:(\d+): error", done.stdout)}
    assert wrong == set(range(6, 13)), done.stdout + done.stderr


@pytest.mark.parametrize("stage", STAGES)
def test_unknown_and_positional_arguments_are_type_errors(stage: type):
    with pytest.raises(TypeError, match="has no option inputColumn; near: inputCol, outputCol"):
        stage(inputColumn="a")
    with pytest.raises(TypeError, match="takes its arguments by name: "):
        stage("a")


# Setters and getters


@pytest.mark.parametrize("stage", STAGES)
def test_each_param_has_a_setter_and_a_getter(stage: type):
    given = {name: VALUES[name] for name in names(stage)}
    by_setters = stage()
    for name, value in given.items():
        assert getattr(by_setters, f"set{capital(name)}")(value) is by_setters
    for found in (by_setters, stage(**given), stage().setParams(**given)):
        assert {name: getattr(found, f"get{capital(name)}")() for name in given} == given
        assert {param.name: value for param, value in found.extractParamMap().items()} == given


@pytest.mark.parametrize("model", MODELS)
def test_each_param_of_a_model_has_a_getter(model: type):
    assert not [name for name in names(model) if not hasattr(model, f"get{capital(name)}")]


def test_none_leaves_a_param_as_it_is():
    stage = PCA(k=2, solver=None).setParams(k=None, maxK=3)
    assert (stage.getK(), stage.getSolver(), stage.getMaxK()) == (2, "auto", 3)


def test_numpy_and_path_values_are_taken():
    stage = ImageFeaturizer(model=Path("a.onnx"), inputSize=(np.int64(2), 3), background=(1, 2, 3))
    assert (stage.getModel(), stage.getInputSize(), stage.getBackground()) == ("a.onnx", [2, 3], [1, 2, 3])


def test_an_option_that_is_not_set_is_none():
    stage = ImageFeaturizer()
    assert stage.getFilter() is None
    assert stage.getErrorCol() is None
    assert PCA().getReconstructionErrorCol() is None
    assert stage.extractorOptions() == {}


# Texts

WITHOUT_DEFAULT = {"inputCol", "outputCol", "model", "k", "variance"}
"""Must be given; `outputCol` has a default of Spark's."""


@pytest.mark.parametrize("stage", [*STAGES, *MODELS])
def test_each_text_says_what_happens_where_nothing_is_given(stage: type):
    made = stage()
    for param in made.params:
        text = made.explainParam(param)
        assert len(param.doc) > 15, text
        assert "default" in text.lower() or param.name in WITHOUT_DEFAULT, text


def test_the_texts_name_units_and_defaults():
    text = ImageFeaturizer().explainParams()
    for part in (
        "inputSize: side, or [height, width], in pixels that images are resized to, 1 to 4,096. Default: as the model",
        "maxPixels: refuse images of more pixels (width x height) by their header. Default: 178,956,970",
        "intraThreads: threads inside one operator, 1 to 1,024. Default: 1",
        "normalization: tf, caffe, torch, unit or raw, or [mean, std] of R, G, B in [0, 1]",
        "array (of float) or vector (of double, as the classifiers of pyspark.ml take it) (default: array)",
        "saveModel: save the ONNX file inside the stage, not only its checksum (default: True)",
    ):
        assert part in text


def test_the_defaults_in_the_texts_are_those_of_the_extractor():
    decided = FeatureExtractor("pixels").preprocessing
    assert (decided["input_size"], decided["resize_mode"], decided["filter"]) == ((20, 20), "squash", "nearest")
    assert (decided["normalization"], decided["apply_exif"], decided["background"]) == ("unit", True, None)
    assert FeatureExtractor("pixels", resize_mode="center_crop").preprocessing["crop_ratio"] == 0.875


# Messages


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ImageFeaturizer(handleInvalid="drop"), "handleInvalid must be keep, skip or error, got 'drop'"),
        (lambda: ImageFeaturizer(outputType="list"), "outputType must be array or vector, got 'list'"),
        (lambda: ImageFeaturizer(filter="sharp"), "filter must be nearest, .* or lanczos, got 'sharp'"),
        (lambda: ImageFeaturizer(resizeMode="cut"), "resizeMode must be squash, center_crop or letterbox, got 'cut'"),
        (lambda: ImageFeaturizer(normalization="imagenet"), "normalization must be tf, .* or raw, got 'imagenet'"),
        (lambda: ImageFeaturizer(layout="CHW"), "layout must be NCHW or NHWC, got 'CHW'"),
        (lambda: ImageFeaturizer(colorOrder="GBR"), "colorOrder must be RGB or BGR, got 'GBR'"),
        (lambda: ImageFeaturizer(pooling="mean"), "pooling must be avg, max, flatten, cls or mean_tokens, got 'mean'"),
        (lambda: ImageFeaturizer(decode="fast"), "decode must be exact or scaled, got 'fast'"),
        (lambda: ImageFeaturizer(inFlight=0), "in_flight must be a whole number from 1 to 1,024, got 0"),
        (lambda: PCA(k=0), "k must be at least 1, got 0"),
        (lambda: PCA(maxK=0), "maxK must be at least 1, got 0"),
        (lambda: PCA(variance=0.0), "variance must be over 0 and at most 1, got 0"),
        (lambda: PCA(variance=1.5), "variance must be over 0 and at most 1, got 1.5"),
        (lambda: PCA(solver="svd"), "solver must be auto, covariance, gram or randomized, got 'svd'"),
    ],
)
def test_a_wrong_value_is_refused_when_it_is_set(make: Any, message: str):
    with pytest.raises(ValueError, match=f"^{message}$"):
        make()


@pytest.mark.parametrize(
    ("stage", "params"), [(ImageFeaturizer, {"inputSize": "big"}), (ImageFeaturizer, {"model": 3}), (PCA, {"k": "two"})]
)
def test_a_value_of_a_wrong_type_names_its_param(stage: type, params: dict[str, Any]):
    with pytest.raises(TypeError, match=f'Invalid param value given for param "{next(iter(params))}"'):
        stage(**params)


@pytest.mark.parametrize(
    ("get", "message"),
    [
        (
            lambda: ImageFeaturizer().getInputCol(),
            "ImageFeaturizer: inputCol is not set: give it by ImageFeaturizer(inputCol=...) or setInputCol(...)",
        ),
        (
            lambda: ImageFeaturizer().getModel(),
            "ImageFeaturizer: model is not set: give it by ImageFeaturizer(model=...) or setModel(...)",
        ),
        (lambda: PCA().getK(), "PCA: k is not set: give it by PCA(k=...) or setK(...)"),
        (
            lambda: PCA(k=1).getVariance(),
            "PCA: variance is not set: give it by PCA(variance=...) or setVariance(...)",
        ),
        (lambda: PCAModel().getVariance(), "PCAModel: variance is not set: give it by PCA(variance=...)"),
        (
            lambda: StandardScaler().getInputCol(),
            "StandardScaler: inputCol is not set: give it by StandardScaler(inputCol=...) or setInputCol(...)",
        ),
    ],
)
def test_what_is_not_set_names_param_stage_and_remedy(get: Any, message: str):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        get()


def test_reasons_of_rows_that_are_left_out_are_refused():
    for name in ("errorCol", "errorKindCol"):
        message = (
            f"^ImageFeaturizer: {name} is always null with handleInvalid='skip', which leaves bad rows out: "
            f"choose handleInvalid='keep' to see the reasons, or leave {name} out$"
        )
        column: Any = {name: "why"}
        with pytest.raises(ValueError, match=message):
            ImageFeaturizer(**column, handleInvalid="skip")
        with pytest.raises(ValueError, match=message):
            ImageFeaturizer(**column).setParams(handleInvalid="skip")
    assert ImageFeaturizer(errorCol="why", handleInvalid="error").getErrorCol() == "why"


def test_the_number_of_components_is_asked_for_once():
    with pytest.raises(ValueError, match=r"^PCA: give either k or variance, got neither$"):
        PCA()._spec()
    with pytest.raises(ValueError, match=r"^PCA: give either k or variance, got both$"):
        PCA(k=1, variance=0.5)._spec()

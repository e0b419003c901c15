"""Messages about arguments: names of other libraries, values of other types, and what stands elsewhere."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
from told import message

import sparkcider
from sparkcider import FeatureExtractor, Pca, findings, plots
from sparkcider.arguments import _HINTS
from sparkcider.job import JobConfig, run
from sparkcider.options import ExtractorOptions

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = np.random.default_rng(0).normal(size=(20, 4))
TABLE = pa.table({"path": ["a", "b"], "features": [[1.0, 0.0], [0.0, 1.0]]})
JOB = partial(JobConfig, input="in", output="out", model="pixels")
FITTED = "model must be a fitted sparkcider.Pca or sparkcider.feature.PCAModel"


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (
            lambda: FeatureExtractor("pixels", device="cuda"),
            (
                "FeatureExtractor has no option device: networks run on processors, and several cores by Spark, "
                "JobConfig(workers=...) or a twin() in each thread"
            ),
        ),
        (
            lambda: FeatureExtractor("pixels", batch_size=32),
            (
                "FeatureExtractor has no option batch_size: extract takes all images that it is given; how many the "
                "network takes in a run is chosen for the processor"
            ),
        ),
        (
            lambda: FeatureExtractor("pixels", num_workers=4),
            (
                "FeatureExtractor has no option num_workers: several cores are used by Spark, JobConfig(workers=...) "
                "or a twin() in each thread; intra_threads is the threads inside one operator"
            ),
        ),
        (
            lambda: FeatureExtractor("pixels", image_mean=(0.5, 0.5, 0.5)),
            "FeatureExtractor has no option image_mean: it is normalization=(mean, std)",
        ),
        (lambda: FeatureExtractor("pixels", inputSize=8), "FeatureExtractor has no option inputSize; near: input_size"),
        (lambda: Pca(n_components=5), "Pca has no option n_components: the number of components is k=5"),
        (lambda: Pca(n_components=0.9), "Pca has no option n_components: a share of the variance is variance=0.9"),
        (lambda: Pca(5), "Pca takes its arguments by name: Pca(k=5)"),
        (lambda: Pca(0.9), "Pca takes its arguments by name: Pca(variance=0.9)"),
        (lambda: Pca(ROWS), "Pca takes its arguments by name: Pca(k=...)"),
        (
            lambda: Pca(k=2, random_state=0),
            "Pca has no option random_state: a fit to the same rows gives the same components without it",
        ),
        (lambda: Pca(maxK=2), "Pca has no option maxK; near: max_k"),
        (lambda: JOB(k=3), "JobConfig has no option k: the number of components is pca_k"),
        (
            lambda: JOB(n_components=0.9),
            "JobConfig has no option n_components: a share of the variance is pca_variance=0.9",
        ),
        (
            lambda: JOB(input_size=224),
            "JobConfig has no option input_size: it is one of FeatureExtractor, options={'input_size': 224}",
        ),
        (lambda: JOB(spark=None), "JobConfig has no option spark: it is an argument of run(config, ...)"),
        (
            lambda: run(input="in", output="out", model="pixels"),
            (
                "run has no option input: it is one of JobConfig, which run takes: "
                "run(JobConfig(input=..., output=..., model=...))"
            ),
        ),
        (lambda: run({"input": "in"}), "run takes a JobConfig, got dict: run(JobConfig(**settings))"),
        (lambda: run("in"), "run takes a JobConfig, got 'in' (str)"),
    ],
)
def test_names(call: Callable[[], Any], expected: str):
    assert message(call) == f"TypeError: {expected}"


@pytest.mark.parametrize("owner", sorted(set(_HINTS) - {"JobConfig"}))
def test_no_hint_stands_for_an_option_that_there_is(owner: str):
    known = {
        "FeatureExtractor": list(ExtractorOptions.__annotations__),
        "ImageFeaturizer": list(ExtractorOptions.__annotations__),
        "Pca": list(Pca().get_params()),
        "PCA": list(Pca().get_params()),
    }
    assert not set(_HINTS[owner]) & set(known.get(owner, []))


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda: Pca(k="3").fit(ROWS), "k must be a whole number, got '3' (str)"),
        (lambda: Pca(k=True).fit(ROWS), "k must be a whole number, got True"),
        (lambda: Pca(k=0.9).fit(ROWS), "k must be a whole number, got 0.9: a share of the variance is variance=0.9"),
        (lambda: Pca(k=5.0).fit(ROWS), "k must be a whole number, got 5.0"),
        (lambda: Pca().set_params(k="3").fit(ROWS), "k must be a whole number, got '3' (str)"),
        (lambda: Pca(variance="0.9").fit(ROWS), "variance must be a number, got '0.9' (str)"),
        (lambda: Pca(variance=0.9, max_k="3").fit(ROWS), "max_k must be a whole number, got '3' (str)"),
        (lambda: Pca(k=1, center="no").fit(ROWS), "center must be True or False, got 'no' (str)"),
        (lambda: JOB(pca_k="3"), "pca_k must be a whole number, got '3' (str)"),
        (lambda: JOB(pca_k=0.9), "pca_k must be a whole number, got 0.9: a share of the variance is pca_variance=0.9"),
        (lambda: JOB(pca_variance=".9"), "pca_variance must be a number, got '.9' (str)"),
        (lambda: JOB(workers="3"), "workers must be a whole number, got '3' (str)"),
        (lambda: JOB(standardize="no"), "standardize must be True or False, got 'no' (str)"),
        (lambda: JOB(formats="csv"), "formats must be a tuple, such as ('parquet', 'csv'), got 'csv' (str)"),
        (lambda: JOB(options=["box"]), "options must be a dict, such as {'input_size': 224}, got list"),
        (lambda: JOB(input=b"in"), "input must be a string, got b'in' (bytes)"),
        (lambda: JOB(glob=3), "glob must be a string, got 3"),
        (lambda: findings.find(TABLE, k="3"), "k must be a whole number, got '3' (str)"),
        (lambda: findings.neighbors(TABLE, 1.5), "k must be a whole number, got 1.5"),
        (lambda: plots.explained_variance(ROWS), f"{FITTED}, got numpy ndarray"),
        (
            lambda: plots.scatter(ROWS),
            "expected a DataFrame of Spark or pandas, got numpy ndarray: pass pandas.DataFrame({'pca': list(rows)})",
        ),
        (lambda: plots.scatter(TABLE), "expected a DataFrame of Spark or pandas, got pyarrow Table: pass .to_pandas()"),
        (lambda: plots.image_grid([b"x"]), "expected a DataFrame of Spark or pandas, got list"),
    ],
)
def test_values(call: Callable[[], Any], expected: str):
    assert message(call) == f"TypeError: {expected}"


def test_values_of_numpy_are_taken():
    pca = Pca(k=np.int64(2), center=np.bool_(True), standardize=np.False_)  # noqa: FBT003 - what is tested
    assert pca.fit_transform(ROWS).shape == (20, 2)
    assert Pca(variance=np.float32(0.9)).fit(ROWS).n_components_ >= 1
    assert JOB(pca_k=np.int64(2)).pca_k == 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("PCA", "from sparkcider.feature import PCA; without Spark it is sparkcider.Pca"),
        ("ImageFeaturizer", "from sparkcider.feature import ImageFeaturizer"),
        ("image_features", "from sparkcider.functions import image_features"),
        ("JobConfig", "from sparkcider.job import JobConfig"),
    ],
)
def test_names_of_other_modules(name: str, expected: str):
    assert message(lambda: getattr(sparkcider, name)) == f"ImportError: sparkcider has no {name}: {expected}"


def test_the_package_has_no_other_names_than_before():
    assert message(lambda: sparkcider.pcaa) == "AttributeError: module 'sparkcider' has no attribute 'pcaa'"
    for module, names in sparkcider._ELSEWHERE.items():
        found = __import__(f"sparkcider.{module}", fromlist=list(names))
        assert set(names) <= set(found.__all__)


@pytest.mark.parametrize("module", ["functions", "feature"])
def test_without_pyspark(module: str):
    code = f"import sys; sys.modules['pyspark'] = None; import sparkcider.{module}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        "ImportError: this part of sparkcider needs PySpark 3.5 or later, which is not installed: pip install "
        "'pyspark>=3.5' 'pandas>=2,<3'"
    )


@pytest.mark.parametrize("solver", ["covariance", "randomized"])
def test_values_too_large_or_too_small_for_their_products(solver: str):
    fit = Pca(k=1, solver=solver).fit
    large = "PcaError: PCA: the values are so large that their products overflow: divide all of them by one number"
    small = "PcaError: PCA: the values are so small that their products underflow: multiply all of them by one number"
    assert message(lambda: fit(ROWS * 1e154)) == large
    for scale in (1e-160, 1e-200):
        assert message(lambda scale=scale: fit(ROWS * scale)) == small
    for scale in (1e-140, 1e140):
        assert fit(ROWS * scale).explained_variance_ / scale**2 == pytest.approx(Pca(k=1).fit(ROWS).explained_variance_)

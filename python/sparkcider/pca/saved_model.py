"""What `sparkcider.feature.PCAModel` saves, for engines without Spark too."""

from __future__ import annotations

from sparkcider._native import Moments, Pca
from sparkcider.pca.fit import Fitted
from sparkcider.saved_stage import SavedStage, new_uid

MAX_K = 256
"""Most components that a share of the variance takes with the randomized solver, unless `maxK` says otherwise."""

DEFAULTS = {
    "handleInvalid": "keep",
    "standardize": False,
    "center": False,
    "whiten": False,
    "solver": "auto",
    "maxK": MAX_K,
}
"""Of the Params of `sparkcider.feature.PCA`."""


def pca_model_stage(
    pca: Pca,
    moments: Moments | None,
    n_invalid: int = 0,
    *,
    k: int | None = None,
    variance: float | None = None,
    standardize: bool,
    center: bool,
    input_col: str,
    output_col: str,
) -> SavedStage:
    """The `PCAModel` that a fit of `PCA` with these Params would save.

    Args:
        pca: The fitted PCA.
        moments: What it was fitted to, for `update`; None after the randomized solver.
        n_invalid: Rows that the fit left out.
        k: Number of components that was requested; or give `variance`.
        variance: Share of the variance that was requested.
        standardize: Whether features were standardised.
        center: Whether `transform` takes the mean off; standardised features are always centred.
        input_col: Column that `transform` reads.
        output_col: Column that `transform` adds.

    Raises:
        ValueError: Neither or both of k and variance are given.
    """
    if (k is None) == (variance is None):
        raise ValueError("give either k or variance")
    uid = new_uid("PCA")  # a model has the name of its estimator
    asked = {"k": k} if variance is None else {"variance": variance}
    params = {"inputCol": input_col, "outputCol": output_col, "standardize": standardize, "center": center, **asked}
    defaults = {"outputCol": f"{uid}__output", **DEFAULTS}
    return SavedStage("PCAModel", uid, params, defaults, to_arrays(Fitted(pca, moments, n_invalid)))


def to_arrays(fitted: Fitted) -> dict[str, bytes]:
    """The arrays of a saved model."""
    arrays = {"pca": fitted.pca.to_bytes(), "invalid": str(fitted.n_invalid).encode()}
    return arrays if fitted.moments is None else {**arrays, "moments": fitted.moments.to_bytes()}


def from_arrays(arrays: dict[str, bytes]) -> Fitted:
    """What `to_arrays` was given.

    Raises:
        KeyError: An array is missing.
        ValueError: The bytes are of another version.
    """
    moments = Moments.from_bytes(arrays["moments"]) if "moments" in arrays else None
    return Fitted(Pca.from_bytes(arrays["pca"]), moments, int(arrays["invalid"]))

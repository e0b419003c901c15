"""What a fit leaves: scikit-learn's attributes with a trailing underscore."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sparkcider._native import PcaError
from sparkcider.arguments import found

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from sparkcider import _native


class NotFittedError(PcaError, AttributeError):
    """Something is asked of a `Pca` that only its fit can tell.

    An AttributeError, too: scikit-learn takes an attribute that is there for a sign of a fit.
    """


def fitted(model: Any) -> Any:
    """A fitted `Pca`, of this class or inside of a `PCAModel` of Spark.

    Raises:
        TypeError: It is something else.
        NotFittedError: It is not fitted yet.
    """
    pca = getattr(model, "pca", model)  # of a PCAModel, which this module cannot know
    if not isinstance(pca, FittedAttributes):
        hint = ""
        if isinstance(model, (str, os.PathLike)):
            hint = ": load it by PCAModel.load(...), or by Pca.from_bytes(Path(...).read_bytes())"
        elif callable(getattr(model, "fit", None)):
            hint = ": what its fit gives"
        raise TypeError(
            f"model must be a fitted sparkcider.Pca or sparkcider.feature.PCAModel, got {found(model)}{hint}"
        )
    pca._solved()  # noqa: SLF001 - a class of this module
    return pca


class FittedAttributes:
    """The attributes of a fitted `Pca`; before the fit there are none of them. docs/numerics.md has the formulas."""

    _fitted: _native.Pca | None = None
    _n_invalid: int = 0
    _names: npt.NDArray[np.object_] | None = None

    def _solved(self) -> _native.Pca:
        if self._fitted is None:
            raise NotFittedError("this Pca is not fitted yet: call fit first")
        return self._fitted

    @property
    def mean_(self) -> npt.NDArray[np.float64]:
        """Mean of each feature, (D,)."""
        return self._solved().mean_

    @property
    def scale_(self) -> npt.NDArray[np.float64] | None:
        """Sample standard deviation of each feature, (D,), 0 for a constant one; None without `standardize`."""
        return self._solved().scale_

    @property
    def components_(self) -> npt.NDArray[np.float64]:
        """The components, (k, D): orthonormal rows by descending variance, the largest entry of each positive."""
        return self._solved().components_

    @property
    def explained_variance_(self) -> npt.NDArray[np.float64]:
        """Variance along each component, (k,), N - 1 in the denominator."""
        return self._solved().explained_variance_

    @property
    def explained_variance_ratio_(self) -> npt.NDArray[np.float64]:
        """Share of each component in the variance of all features, (k,)."""
        return self._solved().explained_variance_ratio_

    @property
    def singular_values_(self) -> npt.NDArray[np.float64]:
        """Singular values of the centred (standardised) rows, (k,)."""
        return self._solved().singular_values_

    @property
    def noise_variance_(self) -> float:
        """Mean of the min(N, D) - k variances left out."""
        return self._solved().noise_variance_

    @property
    def n_samples_(self) -> int:
        """N, the rows fitted to."""
        return self._solved().n_samples_

    @property
    def n_components_(self) -> int:
        """Number of components that were found: k."""
        return self._solved().n_components_

    @property
    def n_features_(self) -> int:
        """The number of features, D."""
        return self._solved().n_features_

    @property
    def n_features_in_(self) -> int:
        """D, by scikit-learn's name."""
        return self._solved().n_features_

    @property
    def feature_names_in_(self) -> npt.NDArray[np.object_]:
        """Names of the columns, (D,) of str; only after a fit to a data frame that has such names."""
        self._solved()
        if self._names is None:
            raise AttributeError("this Pca was fitted without feature names")
        return self._names

    @property
    def n_invalid_(self) -> int:
        """Rows that the fit left out (`skip_invalid`)."""
        self._solved()
        return self._n_invalid

    @property
    def rank_(self) -> int:
        """Number of variances that are not 0, of all min(N - 1, D)."""
        return self._solved().rank_

    @property
    def solver_(self) -> str:
        """The solver that found the components."""
        return self._solved().solver_

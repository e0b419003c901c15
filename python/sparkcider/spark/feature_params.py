"""The Params of the stages over features: PCA, StandardScaler and their models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pyspark.ml.param import Param, TypeConverters

from sparkcider.pca import saved_model
from sparkcider.pca.solver_choice import SOLVERS, PcaSpec
from sparkcider.spark.params import StageParams, choices, one_of, param, whole_number

if TYPE_CHECKING:
    from typing_extensions import Self


def _variance(value: Any) -> float:
    variance = TypeConverters.toFloat(value)
    if not 0 < variance <= 1:
        raise ValueError(f"variance must be over 0 and at most 1, got {variance:g}")
    return variance


class PCAParams(StageParams):
    """How many components, of what, found how, and what `transform` gives."""

    k: Param[int] = param(
        "k", "number of components, 1 to the number of features; or give variance", whole_number("k", "variance")
    )
    variance: Param[float] = param(
        "variance", "take as many components as hold this share of the variance, in (0, 1]; or give k", _variance
    )
    standardize: Param[bool] = param(
        "standardize",
        "scale each feature to mean 0 and sample deviation 1 first, in the fit and in transform; a fitted model cannot "
        "change it",
        TypeConverters.toBoolean,
    )
    center: Param[bool] = param(
        "center", "take the mean off in transform; with standardize or whiten it always is", TypeConverters.toBoolean
    )
    whiten: Param[bool] = param(
        "whiten", "in transform, take the mean off and divide each component by its deviation", TypeConverters.toBoolean
    )
    solver: Param[str] = param(
        "solver",
        f"{choices(SOLVERS)}: how components are found; auto: by the number of features and rows",
        one_of("solver", *SOLVERS),
    )
    maxK: Param[int] = param(
        "maxK", "most components that variance takes with the randomized solver", whole_number("maxK")
    )
    reconstructionErrorCol: Param[str] = param(
        "reconstructionErrorCol",
        "column of double to add with the Euclidean distance of a centred (standardised) row to its part in the "
        "components. Default: no such column",
        TypeConverters.toString,
    )

    _COLUMNS: ClassVar = ("inputCol", "outputCol", "reconstructionErrorCol")
    _DEFAULTS: ClassVar = saved_model.DEFAULTS

    def _spec(self) -> PcaSpec:
        if self.isSet(self.k) == self.isSet(self.variance):
            found = "both" if self.isSet(self.k) else "neither"
            raise ValueError(f"{type(self).__name__}: give either k or variance, got {found}")
        return PcaSpec(
            k=self.getOrDefault(self.k) if self.isSet(self.k) else None,
            variance=self.getVariance() if self.isSet(self.variance) else None,
            standardize=self.getStandardize(),
            solver=self.getSolver(),
            max_k=self.getMaxK(),
        )

    def getK(self) -> int:
        """Gives the number of components that was requested."""
        return int(self.getOrDefault(self.k))

    def getVariance(self) -> float:
        """Gives the share of the variance that was requested."""
        return float(self.getOrDefault(self.variance))

    def getStandardize(self) -> bool:
        """Says whether features are standardised first."""
        return bool(self.getOrDefault(self.standardize))

    def setCenter(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether `transform` takes the mean off; with `standardize` or `whiten` it always does."""
        return self._set(center=value)

    def getCenter(self) -> bool:
        """Gives what `center` was set to; `PCAModel.centers` says what `transform` does."""
        return bool(self.getOrDefault(self.center))

    def setWhiten(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether components are scaled to deviation 1."""
        return self._set(whiten=value)

    def getWhiten(self) -> bool:
        """Says whether components are scaled to deviation 1."""
        return bool(self.getOrDefault(self.whiten))

    def getSolver(self) -> str:
        """Gives the solver that was requested."""
        return str(self.getOrDefault(self.solver))

    def getMaxK(self) -> int:
        """Gives the most components that `variance` takes with the randomized solver."""
        return int(self.getOrDefault(self.maxK))

    def setReconstructionErrorCol(self, value: str) -> Self:
        """Names the column of reconstruction errors to add."""
        return self._set(reconstructionErrorCol=value)

    def getReconstructionErrorCol(self) -> str | None:
        """Gives the column of reconstruction errors; None: there is none."""
        return self._or_none(self.reconstructionErrorCol)


class ScalerParams(StageParams):
    """What a StandardScaler does."""

    withMean: Param[bool] = param("withMean", "take the mean off", TypeConverters.toBoolean)
    withStd: Param[bool] = param(
        "withStd",
        "divide by the sample standard deviation (N - 1); a constant feature becomes 0",
        TypeConverters.toBoolean,
    )

    _DEFAULTS: ClassVar = {"handleInvalid": "keep", "withMean": False, "withStd": True}

    def setWithMean(self, value: bool) -> Self:  # noqa: FBT001 - as pyspark.ml spells setters
        """Chooses whether the mean is taken off."""
        return self._set(withMean=value)

    def getWithMean(self) -> bool:
        """Says whether the mean is taken off."""
        return bool(self.getOrDefault(self.withMean))

    def setWithStd(self, value: bool) -> Self:  # noqa: FBT001 - likewise
        """Chooses whether features are divided by their deviation."""
        return self._set(withStd=value)

    def getWithStd(self) -> bool:
        """Says whether features are divided by their deviation."""
        return bool(self.getOrDefault(self.withStd))

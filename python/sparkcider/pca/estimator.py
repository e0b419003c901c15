"""`sparkcider.Pca`: a PCA with scikit-learn's protocol, over arrays and Arrow columns.

Nothing here imports scikit-learn, NumPy or pyarrow before it is needed: `import sparkcider` stays instant.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from sparkcider import _native
from sparkcider.arguments import advice, check_flag, check_number, check_whole, names_checked
from sparkcider.notebook_html import facts_table
from sparkcider.pca.attributes import FittedAttributes
from sparkcider.pca.repr_html import pca_html
from sparkcider.pca.solver_choice import SOLVERS, PcaSpec

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from typing_extensions import Self


@names_checked
class Pca(FittedAttributes):
    """Principal components of rows of features: scikit-learn's words, numbers and protocol.

    It works in a scikit-learn `Pipeline`, with `clone` and in a grid search; scikit-learn itself is not needed. The
    constructor checks names, `fit` checks values, as scikit-learn wants it.

    NumPy arrays, lists, data frames and pandas Series give NumPy arrays. Arrow columns, a Polars Series too, give
    pyarrow Arrays, or ChunkedArrays for streams and chunked columns.

    A fit to a data frame whose columns have names of strings keeps them as `feature_names_in_`; rows with other names,
    or in another order, are then a ValueError, and rows without names a warning, as in scikit-learn.

    Args:
        k: Number of components, 1 to D. Give either this or `variance`.
        variance: Share of the variance in (0, 1]: the fewest components that hold it.
        standardize: Divide each feature by its sample standard deviation (N - 1) first; a constant feature becomes 0.
        center: Whether `transform` takes the mean off. Default True, as in scikit-learn; `sparkcider.feature.PCA` has
            False, as in Spark. The components are those of the centred rows either way.
        whiten: Whether `transform` divides each coordinate by the standard deviation along its component.
        solver: `auto` (default), `covariance`, `gram` or `randomized`: docs/numerics.md says which `auto` takes.
        max_k: Most components that `variance` takes with the randomized solver. Default 256.
        skip_invalid: Leave rows that cannot be used (null, of another length, with a null, a NaN or an infinity) out of
            the fit and count them (`n_invalid_`); `transform` gives null for them, or NaN in an array. Otherwise they
            are an error.

    Raises:
        TypeError: There is no such argument, or one has no name.

    Example:
        >>> import numpy as np
        >>> from sparkcider import Pca
        >>> rows = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
        >>> pca = Pca(k=1).fit(rows)
        >>> pca.explained_variance_ratio_
        array([1.])
        >>> pca.transform(rows).round(3).tolist()
        [[-2.828], [0.0], [2.828]]
    """

    def __init__(
        self,
        *,
        k: int | None = None,
        variance: float | None = None,
        standardize: bool = False,
        center: bool = True,
        whiten: bool = False,
        solver: str = "auto",
        max_k: int = 256,
        skip_invalid: bool = False,
    ) -> None:
        self.k = k
        self.variance = variance
        self.standardize = standardize
        self.center = center
        self.whiten = whiten
        self.solver = solver
        self.max_k = max_k
        self.skip_invalid = skip_invalid

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002 - scikit-learn's pipelines hand the labels on
        """Fits to rows of features. k may be over the rank: variances past it are 0, components complete the others.

        Args:
            X: N rows of D features: an array (N, D), a data frame of numbers, lists, an Arrow column of lists; or the
                `Moments` of all rows.
            y: Ignored.

        Returns:
            This object.

        Raises:
            TypeError: X holds something else; the message says what to pass.
            ValueError: An argument of the constructor has a value that it cannot take.
            PcaError: There are no rows, a row cannot be used, or products overflow.
        """
        from sparkcider.pca.feature_names import names_of

        names = names_of(X)
        self._fit(X)
        self._names = names
        return self

    def fit_transform(self, X: Any, y: object = None) -> Any:  # noqa: ARG002 - as `fit`
        """Fits to rows and projects them: k coordinates per row, as `transform` gives them.

        Args:
            X: As for `fit`, without `Moments`; a stream is read once and kept.
            y: Ignored.

        Raises:
            TypeError: X holds something else.
            ValueError: As `fit`.
            PcaError: As `fit`.
        """
        from sparkcider.columns import is_arrow, matrix
        from sparkcider.pca.feature_names import names_of

        names = names_of(X)
        column = _native._feature_column(X)  # noqa: SLF001 - not for users
        self.fit(column)
        projected = self.transform(column)
        self._names = names
        return projected if is_arrow(X) else matrix(projected)

    def transform(
        self, X: Any, *, center: bool | None = None, whiten: bool | None = None, skip_invalid: bool | None = None
    ) -> Any:
        """Projects rows of D features onto the components: k coordinates per row.

        Args:
            X: N rows: an array (N, D), a data frame of numbers, lists, or an Arrow column of lists.
            center: Instead of the constructor's.
            whiten: Instead of the constructor's.
            skip_invalid: Instead of the constructor's.

        Returns:
            (N, k) NumPy of the rows' float; for Arrow a column of the same kind of list of the same float.

        Raises:
            TypeError: X holds something else.
            ValueError: X is a data frame with other columns than the one that was fitted to.
            PcaError: A row cannot be used, or nothing is fitted yet.
        """
        self._check_names(X)
        return self._mapped("transform", X, center=center, whiten=whiten, skip_invalid=skip_invalid)

    def inverse_transform(
        self, X: Any, *, center: bool | None = None, whiten: bool | None = None, skip_invalid: bool | None = None
    ) -> Any:
        """Takes k coordinates per row back to D features; what the components do not span is lost.

        Args:
            X: What `transform` gave.
            center: As given to `transform`.
            whiten: As given to `transform`.
            skip_invalid: Instead of the constructor's.

        Raises:
            TypeError: X holds something else.
            PcaError: A row cannot be used, or nothing is fitted yet.
        """
        return self._mapped("inverse_transform", X, center=center, whiten=whiten, skip_invalid=skip_invalid)

    def reconstruction_error(self, X: Any, *, skip_invalid: bool | None = None) -> Any:
        """Distance of each centred (standardised) row to its part in the components: large for an outlier.

        Args:
            X: N rows, as for `transform`.
            skip_invalid: Instead of the constructor's.

        Returns:
            N floats of the rows' type, 0 or more.

        Raises:
            TypeError: X holds something else.
            ValueError: As `transform`.
            PcaError: A row cannot be used, or nothing is fitted yet.
        """
        self._check_names(X)
        return self._mapped("reconstruction_error", X, skip_invalid=skip_invalid)

    def to_bytes(self) -> bytes:
        """What was fitted as bytes, for `from_bytes`; pickling keeps the constructor's arguments, too."""
        return self._solved().to_bytes()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """A fitted Pca from the bytes of `to_bytes`; `center` and `whiten` have their defaults.

        Raises:
            ValueError: The bytes are something else, cut off or of another version.
        """
        return cls.of(_native.Pca.from_bytes(data))

    @classmethod
    def of(cls, fitted: _native.Pca, *, center: bool = True, whiten: bool = False, n_invalid: int = 0) -> Self:
        """The Pca of what a solver gave."""
        k, standardize = fitted.n_components_, fitted.scale_ is not None
        pca = cls(k=k, standardize=standardize, center=center, whiten=whiten, solver=fitted.solver_)
        pca._fitted, pca._n_invalid = fitted, n_invalid
        return pca

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002, FBT001, FBT002 - scikit-learn's signature
        """The arguments of the constructor, by name."""
        return {name: getattr(self, name) for name in self._defaults()}

    def set_params(self, **params: Any) -> Self:
        """Changes arguments of the constructor; what was fitted stays until the next `fit`.

        Raises:
            ValueError: There is no such argument.
        """
        known = self._defaults()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"Pca has no parameter {name}{advice('Pca', name, value, known)}")
            setattr(self, name, value)
        return self

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:  # noqa: ARG002 - as above
        """Names of the components, `pca0` to `pca{k - 1}`, as scikit-learn's PCA has them."""
        import numpy as np

        return np.array([f"pca{number}" for number in range(self.n_components_)], dtype=object)

    def __sklearn_is_fitted__(self) -> bool:
        return self._fitted is not None

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags  # only scikit-learn asks

        floats = ["float64", "float32"]
        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(preserves_dtype=floats),
            input_tags=InputTags(),
        )

    def _repr_html_(self) -> str:
        """What notebooks show: sizes, and the share of the variance by component; before the fit its arguments."""
        if self._fitted is None:
            return facts_table("Pca, not fitted", self.get_params())
        return pca_html("Pca", self._fitted)

    def __repr__(self) -> str:
        given = (
            f"{name}={getattr(self, name)!r}"
            for name, default in self._defaults().items()
            if getattr(self, name) != default
        )
        return f"{type(self).__name__}({', '.join(given)})"

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        parameters = inspect.signature(cls).parameters.values()
        return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}

    def _fit(self, rows: Any) -> None:
        from sparkcider.pca.batches import fit_column
        from sparkcider.pca.fit import solved
        from sparkcider.pca.rows import RowRules, RowSum

        spec = self._spec()
        skip = self.skip_invalid
        rules = RowRules("Pca", "X", skip_nulls=skip, choice="skip_invalid=True", skip_wrong=skip)
        if isinstance(rows, _native.Moments):
            fitted = solved(RowSum.of(rows), rules, spec)
        else:
            fitted = fit_column(_native._feature_column(rows), spec, rules)  # noqa: SLF001 - not for users
        self._fitted, self._n_invalid = fitted.pca, fitted.n_invalid

    def _check_names(self, rows: Any) -> None:
        from sparkcider.pca.feature_names import check_names

        self._solved()
        check_names(self._names, rows)

    def _spec(self) -> PcaSpec:
        if (self.k is None) == (self.variance is None):
            found = "neither" if self.k is None else "both"
            raise ValueError(f"k or variance must be given, one of the two, got {found}")
        self._check_values()
        return PcaSpec(self.k, self.variance, self.standardize, self.solver, self.max_k)

    def _check_values(self) -> None:
        """Raises TypeError or ValueError for an argument with a value that it cannot take."""
        if self.k is not None:
            check_whole("k", self.k, share="variance")
        if self.variance is not None:
            check_number("variance", self.variance)
            if not 0 < self.variance <= 1:
                raise ValueError(f"variance must be over 0 and at most 1, got {self.variance}")
        if self.solver not in SOLVERS:
            raise ValueError(f"solver must be {', '.join(SOLVERS[:-1])} or {SOLVERS[-1]}, got {self.solver!r}")
        check_whole("max_k", self.max_k)
        for name in ("standardize", "center", "whiten", "skip_invalid"):
            check_flag(name, getattr(self, name))

    def _mapped(self, call: str, rows: Any, **options: bool | None) -> Any:
        from sparkcider.columns import is_arrow, matrix

        chosen = {name: getattr(self, name) if value is None else value for name, value in options.items()}
        column = getattr(self._solved(), call)(rows, **chosen)
        return column if is_arrow(rows) else matrix(column)

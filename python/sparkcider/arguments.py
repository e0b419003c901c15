"""Arguments that are not what is wanted: names of other libraries, missing names, values of another type."""

from __future__ import annotations

import difflib
import functools
import inspect
from functools import partial
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Callable, TypeVar, Union

from sparkcider.options import ExtractorOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LONGEST = 60
"""Letters of a text that a message repeats."""

Callee = TypeVar("Callee", bound=Callable[..., Any])
Hint = Union[str, Callable[[Any], str]]  # what there is instead; or a function of the value that was given


def components_as(k: str, variance: str) -> Callable[[Any], str]:
    """The hint for a number of components: a share of the variance is another argument here."""

    def hint(value: Any) -> str:
        if _is_share(value):
            return f"a share of the variance is {variance}={value}"
        return f"the number of components is {k}={value!r}"

    return hint


def _extractor_option(name: str, value: Any) -> str:
    return f"it is one of FeatureExtractor, options={{{name!r}: {value!r}}}"


def _alike(hint: Hint, *names: str) -> dict[str, Hint]:
    return dict.fromkeys(names, hint)


_PREPARATION: dict[str, Hint] = {
    **_alike(
        "networks run on processors, and several cores by Spark, JobConfig(workers=...) or a twin() in each thread",
        *("device", "gpu", "use_gpu", "cuda", "providers"),
    ),
    **_alike(
        "extract takes all images that it is given; how many the network takes in a run is chosen for the processor",
        *("batch_size", "per_device_batch_size"),
    ),
    **_alike(
        "several cores are used by Spark, JobConfig(workers=...) or a twin() in each thread; intra_threads is the "
        "threads inside one operator",
        *("num_workers", "workers", "n_jobs", "threads", "num_threads", "n_threads"),
    ),
    **_alike(
        "input_size is the side of the network's input, or its (height, width)",
        *("image_size", "img_size", "size", "input_shape", "target_size"),
    ),
    **_alike("it is normalization=(mean, std)", "mean", "std", "image_mean", "image_std"),
    **_alike("normalization is that of the pixels, l2_normalize that of the features", "normalize"),
    **_alike("filter is how images are resized", "interpolation", "resample"),
    **_alike("crop_ratio is input size over short side", "crop_pct"),
    **_alike(
        "preprocessing is a JSON file that describes it, such as preprocessor_config.json",
        *("transform", "transforms", "processor", "image_processor", "feature_extractor"),
    ),
    **_alike("the model's file has its type of numbers", "dtype", "torch_dtype", "precision"),
    **_alike("the weights are in the ONNX file that model names", "weights", "pretrained", "checkpoint"),
    **_alike("layer names the output to take", "include_top", "output", "output_layer", "layer_name"),
    **_alike("pooling is how an output that is not a vector becomes one", "pool"),
}

_PCA: dict[str, Hint] = {
    **_alike(components_as("k", "variance"), "n_components"),
    **_alike("solver is auto, covariance, gram or randomized", "svd_solver"),
    **_alike("a fit to the same rows gives the same components without it", "random_state", "seed"),
    **_alike("rows are never changed", "copy"),
    **_alike(
        "the randomized solver goes on until its components are right",
        *("tol", "iterated_power", "n_oversamples", "power_iteration_normalizer"),
    ),
    **_alike("Moments().update(rows) takes rows in batches, and fit takes the Moments", "batch_size"),
    **_alike("center is whether transform takes the mean off", "with_mean"),
    **_alike("standardize divides by the deviations", "with_std", "scale"),
}

_JOB: dict[str, Hint] = {
    **_alike("the number of components is pca_k", "k"),
    **_alike(components_as("pca_k", "pca_variance"), "n_components"),
    **_alike("the share of the variance to keep is pca_variance", "variance"),
    **_alike("workers is the threads of the embedded engine", "num_workers", "n_jobs", "threads", "num_threads"),
    **_alike("folders are read with all below them", "recursive"),
    **_alike("it is mode='overwrite'", "overwrite"),
    **_alike("it is an argument of run(config, ...)", "spark", "master", "conf", "verbose", "progress"),
    **{name: _PREPARATION[name] for name in ("device", "gpu", "use_gpu", "batch_size")},
    **{name: partial(_extractor_option, name) for name in ExtractorOptions.__annotations__},
}

_COMMAND: dict[str, Hint] = {
    **_alike("networks run on processors, and several cores by --workers or --engine spark", "device", "gpu", "cuda"),
    **_alike("how many images the network takes in a run is chosen for the processor", "batch_size"),
    **_alike("the threads of the embedded engine are --workers", "num_workers", "n_jobs", "threads", "num_threads"),
    **_alike("the number of components is --pca-k", "k", "n_components"),
    **_alike("the share of the variance to keep is --pca-variance", "variance"),
    **_alike("it is --mode overwrite", "overwrite", "force"),
    **_alike("folders are read with all below them", "recursive", "r"),
}

_HINTS: dict[str, dict[str, Hint]] = {
    "FeatureExtractor": _PREPARATION,
    "ImageFeaturizer": _PREPARATION,
    "Pca": _PCA,
    "PCA": {**_PCA, "batch_size": "fit reads a DataFrame of any length"},
    "JobConfig": _JOB,
    "sparkcider run": _COMMAND,
    "run": _alike(
        "it is one of JobConfig, which run takes: run(JobConfig(input=..., output=..., model=...))",
        *("input", "output", "model", "options", "pca_k", "pca_variance", "engine", "workers", "mode", "resume"),
    ),
}
"""What there is instead of well-known arguments of scikit-learn, pyspark, transformers, torch or Keras, by callee."""


def unknown(owner: str, name: str, value: Any, known: Iterable[str]) -> TypeError:
    """The error about an argument that there is not.

    Args:
        owner: The class or function that was called.
        name: The argument's name.
        value: Its value.
        known: The names that there are.

    Example:
        >>> unknown("PCA", "input_col", "features", ["inputCol", "outputCol"])
        TypeError('PCA has no option input_col; near: inputCol')
    """
    return TypeError(f"{owner} has no option {name}{advice(owner, name, value, known)}")


def advice(owner: str, name: str, value: Any, known: Iterable[str]) -> str:
    """What there is instead of an option: the end of a message that begins with its name."""
    spelled = {_plain(option): option for option in known}
    same = spelled.get(_plain(name))
    if same is not None:
        return f"; near: {same}"
    hint = instead(owner, name, value)
    if hint is not None:
        return f": {hint}"
    near = difflib.get_close_matches(name, spelled.values(), n=3, cutoff=0.6)
    return f"; near: {', '.join(near)}" if near else f"; there are {', '.join(spelled.values())}"


def instead(owner: str, name: str, value: Any = None) -> str | None:
    """What there is instead of a well-known argument of other libraries; None for other names."""
    hints = {_plain(other): hint for other, hint in _HINTS.get(owner, {}).items()}
    hint = hints.get(_plain(name))
    return hint if hint is None or isinstance(hint, str) else hint(value)


def _plain(name: str) -> str:
    """`input_col`, `inputCol` and `input-col` alike."""
    return name.replace("_", "").replace("-", "").lower()


def check_names(owner: str, given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Raises TypeError for the first argument that there is not."""
    known = list(known)
    for name, value in given.items():
        if name not in known:
            raise unknown(owner, name, value, known)


def names_checked(callee: Callee) -> Callee:
    """Lets a class or a function say what helps where it is called with an argument that it does not have.

    A class whose arguments all have names says how to spell the first, too.
    """
    if not isinstance(callee, type):
        function: Callee = _checked(callee, callee.__name__, list(inspect.signature(callee).parameters.values()))
        return function
    init: Any = callee.__init__  # type: ignore[misc]
    parameters = list(inspect.signature(init).parameters.values())
    setattr(callee, "__init__", _checked(init, callee.__name__, parameters[1:]))  # noqa: B010 - mypy refuses the assignment
    return callee


def _checked(function: Any, owner: str, parameters: list[inspect.Parameter]) -> Any:
    known = [parameter.name for parameter in parameters]
    by_name = all(parameter.kind is inspect.Parameter.KEYWORD_ONLY for parameter in parameters)

    @functools.wraps(function)
    def checked(*args: Any, **given: Any) -> Any:
        if by_name:
            check_given(owner, known, args[1:])  # the first is the object
        check_names(owner, given, known)
        return function(*args, **given)

    return checked


def check_given(owner: str, known: list[str], args: tuple[Any, ...]) -> None:
    """Raises TypeError for arguments without names; a number is that of the components, where there are any."""
    if not args:
        return
    named = f"{known[0]}=..."
    if "k" in known and isinstance(args[0], Real):
        named = f"variance={args[0]}" if _is_share(args[0]) else f"k={args[0]!r}"
    raise TypeError(f"{owner} takes its arguments by name: {owner}({named})")


def check_whole(name: str, value: Any, *, share: str = "") -> None:
    """Raises an error if a value is not a whole number of at least 1.

    Args:
        name: Of the argument.
        value: What it was given.
        share: The argument that takes a number from 0 to 1, where there is one beside it.

    Raises:
        TypeError: It is not a whole number.
        ValueError: It is below 1.

    Example:
        >>> check_whole("k", 0.9, share="variance")
        Traceback (most recent call last):
        ...
        TypeError: k must be a whole number, got 0.9: a share of the variance is variance=0.9
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        hint = f": a share of the variance is {share}={value}" if share and _is_share(value) else ""
        raise TypeError(f"{name} must be a whole number, got {found(value)}{hint}")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}")


def check_number(name: str, value: Any) -> None:
    """Raises TypeError if a value is not a number."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {found(value)}")


def check_flag(name: str, value: Any) -> None:
    """Raises TypeError if a value is neither True nor False; NumPy has those, too."""
    if type(value).__name__ not in ("bool", "bool_"):
        raise TypeError(f"{name} must be True or False, got {found(value)}")


def check_text(name: str, value: Any) -> None:
    """Raises TypeError if a value is not a string."""
    if not isinstance(value, str):
        hint = f": pass str({name})" if hasattr(value, "__fspath__") else ""
        raise TypeError(f"{name} must be a string, got {found(value)}{hint}")


def found(value: Any) -> str:
    """A value of a wrong type as a message names it: a number as it is, a short text with its type, else the type."""
    if value is None or isinstance(value, Real):
        return repr(value)
    kind = type(value)
    root = kind.__module__.split(".")[0]
    name = kind.__name__ if root == "builtins" else f"{root} {kind.__name__}"
    return f"{value!r} ({name})" if isinstance(value, (str, bytes)) and len(value) <= _LONGEST else name


def _is_share(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, Integral) and 0 < float(value) < 1

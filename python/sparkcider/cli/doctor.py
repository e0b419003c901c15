"""``sparkcider doctor``: what is installed here, what does not fit together, and what to do about it.

Works where things are missing, pyspark and the compiled module included: that is what it is for.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from sparkcider.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

OK, WARNING, FAILED = "ok", "warning", "failed"

# (package, first version that works, first that does not, what needs it where not everything does)
_PACKAGES = (
    ("numpy", (1, 20), (3,), None),
    ("pyarrow", (14,), None, None),
    ("jinja2", (3,), None, "reports of jobs need it"),
    ("pyspark", (3, 5), (5,), "Spark jobs need it"),
    ("pandas", (2,), (4,), "Spark jobs need it"),
)
# Major Java versions by major PySpark version: "Downloading" on spark.apache.org/docs/3.5.x and /4.x
_JAVA = {3: (8, 11, 17), 4: (17, 21)}
_LENGTH_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    status: str
    """``ok``, ``warning`` (some things will not work) or ``failed``."""
    found: str
    advice: str = ""


def examine() -> list[Finding]:
    """Looks at everything that sparkcider stands on, in the order in which it is needed.

    Returns:
        One each for Python, sparkcider, every package, Java, the processor, ONNX Runtime, an inference and models.
    """
    packages = [_package(*package) for package in _PACKAGES]
    spark = [finding for finding in (_pyspark_and_pandas(), _java(), _worker_python()) if finding is not None]
    return [_python(), _sparkcider(), *packages, *spark, _processor(), _onnxruntime(), _inference(), _models()]


def main(*, as_json: bool) -> int:
    """Prints the findings; returns 1 if one of them failed, else 0."""
    findings = examine()
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        print("\n".join(printable(_line(finding)) for finding in findings))
    return 1 if any(finding.status == FAILED for finding in findings) else 0


def _line(finding: Finding) -> str:
    line = f"{finding.status:<8} {finding.name:<14} {finding.found}"
    return f"{line}\n{'':<8} {'':<14} -> {finding.advice}" if finding.advice else line


def _python() -> Finding:
    found = f"{platform.python_version()} at {sys.executable}, {platform.system()} {platform.machine()}"
    return Finding("python", OK, found)


def _sparkcider() -> Finding:
    try:
        import sparkcider
        from sparkcider import _native
    except ImportError as error:
        return Finding("sparkcider", FAILED, str(error), "install it again for this Python and machine")
    build = _native._build_profile()
    found = f"{sparkcider.__version__}, {build} build at {Path(sparkcider.__file__).parent}"
    if build != "release":
        return Finding("sparkcider", WARNING, found, "it is many times slower than the wheel that `make wheel` builds")
    return Finding("sparkcider", OK, found)


def _package(name: str, low: tuple[int, ...], high: tuple[int, ...] | None, needed_by: str | None) -> Finding:
    missing = FAILED if needed_by is None else WARNING
    wanted = ">=" + ".".join(map(str, low)) + ("" if high is None else ",<" + ".".join(map(str, high)))
    advice = f"pip install '{name}{wanted}'"
    version = _version(name)
    if version is None:
        return Finding(name, missing, "not installed", advice + (f" ({needed_by})" if needed_by else ""))
    try:
        importlib.import_module(name)
    except Exception as error:  # noqa: BLE001 - a broken installation may raise anything
        return Finding(name, FAILED, f"{version}, but its import fails: {error}", advice)
    if _numbers(version) < low or (high is not None and _numbers(version) >= high):
        return Finding(name, FAILED, version, advice)
    return Finding(name, OK, version)


def _pyspark_and_pandas() -> Finding | None:
    """PySpark's own opinion of the pandas and pyarrow beside it: it refuses the too old, warns of the too new."""
    if _version("pyspark") is None or _version("pandas") is None:
        return None
    advice = "install the versions that this PySpark asks for"
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            utils = importlib.import_module("pyspark.sql.pandas.utils")
            utils.require_minimum_pandas_version()
            utils.require_minimum_pyarrow_version()
    except Exception as error:  # noqa: BLE001 - the import itself fails for some pairs of versions
        return Finding("pandas for Spark", FAILED, str(error).strip().splitlines()[0], advice)
    doubts = [str(warning.message) for warning in warned if "pandas" in str(warning.message)]
    return Finding("pandas for Spark", WARNING, doubts[0], advice) if doubts else None


def _java() -> Finding | None:
    pyspark = _version("pyspark")
    if pyspark is None:
        return None
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    fitting = _JAVA.get(_numbers(pyspark)[0], ())
    advice = f"PySpark {pyspark} runs on Java {' or '.join(map(str, fitting))}: install one, or set JAVA_HOME to it"
    if java is None:
        return Finding("java", FAILED, "not found: neither JAVA_HOME nor `java` on the PATH", advice)
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding("java", FAILED, f"{java} does not run: {error}", advice)
    first = next((line for line in answer.stderr.splitlines() if "version" in line), answer.stderr.strip())
    if java_major(first) not in fitting:
        return Finding("java", FAILED, f"{first} at {java}", advice)
    return Finding("java", OK, f"{first} at {java}")


def java_major(line: str) -> int | None:
    """The major version in the line that ``java -version`` prints.

    Example:
        >>> java_major('java version "1.8.0_392"'), java_major('openjdk version "17.0.15" 2025-04-15')
        (8, 17)
    """
    numbers = re.search(r'"(?:1\.)?(\d+)', line)
    return int(numbers[1]) if numbers else None


def _worker_python() -> Finding | None:
    """Executors on this machine must run the driver's Python version."""
    chosen = os.environ.get("PYSPARK_PYTHON")
    if _version("pyspark") is None or chosen is None:
        return None
    path = shutil.which(chosen)
    if path is None:
        return Finding("PYSPARK_PYTHON", FAILED, f"{chosen} is not a program here", f"set it to {sys.executable}")
    code = "import platform, sparkcider; print(platform.python_version())"
    answer = subprocess.run([path, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if answer.returncode != 0:
        cause = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        return Finding("PYSPARK_PYTHON", FAILED, f"{path}: {cause}", "install sparkcider for that Python too")
    version = answer.stdout.strip()
    if _numbers(version)[:2] != sys.version_info[:2]:
        return Finding("PYSPARK_PYTHON", FAILED, f"{path} is {version}", f"set it to {sys.executable}")
    return Finding("PYSPARK_PYTHON", OK, f"{path}, {version}")


def _processor() -> Finding:
    try:
        from sparkcider import _native
    except ImportError:
        return Finding("processor", WARNING, f"{os.cpu_count()} cores", "the compiled module is missing")
    features = _native._cpu_features()
    found = f"{os.cpu_count()} cores, {', '.join(features) or 'no vector extensions'}"
    if platform.machine() in ("x86_64", "AMD64") and "avx2" not in features:
        return Finding("processor", WARNING, found, "networks run several times faster where there is AVX2")
    return Finding("processor", OK, found)


def _onnxruntime() -> Finding:
    advice = "reinstall sparkcider, or set SPARKCIDER_ONNXRUNTIME to a libonnxruntime.so of version 1.17 or newer"

    def load() -> Finding:
        from sparkcider import _native

        path, build = _native._onnxruntime()
        version = re.search(r"version=?\s*([\d.]+)", build) or re.search(r"so\.([\d.]+)$", str(path))
        _length_of_an_embedding()  # a library that loads may still refuse each network
        return Finding("onnxruntime", OK, f"{version[1] if version else build} at {path}")

    return _tried("onnxruntime", load, advice)


def _inference() -> Finding:
    """A real way through decoding, resizing, tensor and network: `fruits-tiny` gives vectors of length 1."""

    def infer() -> Finding:
        n_values, length, error = _length_of_an_embedding()
        if not abs(length - 1) < _LENGTH_TOLERANCE:
            found = f"expected an embedding of length 1, got {length} {error or ''}"
            return Finding("inference", FAILED, found, "report this as a bug")
        return Finding("inference", OK, f"an image through fruits-tiny gives {n_values} values of length 1")

    return _tried("inference", infer, "see the findings above")


def _length_of_an_embedding() -> tuple[int, float, str | None]:
    """The number of values, their Euclidean norm and the error of an image through `fruits-tiny`."""
    import numpy as np
    import pyarrow as pa

    from sparkcider import FeatureExtractor
    from sparkcider.samples import encode_png

    image = encode_png(np.full((5, 7, 3), [200, 100, 50], np.uint8))
    features, errors = FeatureExtractor("fruits-tiny").extract(pa.array([image]))
    return features.type.list_size, float(np.linalg.norm(features.flatten().to_numpy())), errors[0].as_py()


def _models() -> Finding:
    """What a name finds here, and whether more can be kept."""

    def look() -> Finding:
        from sparkcider import models
        from sparkcider.models import cache as model_cache

        cache = model_cache.folder()
        there = next(folder for folder in (cache, *cache.parents) if folder.exists())
        found = f"{', '.join(models.available())}; cache {cache}"
        if not os.access(there, os.W_OK):
            advice = "set SPARKCIDER_CACHE to a folder that can be written; models of URIs come there"
            return Finding("models", WARNING, f"{found} cannot be written", advice)
        return Finding("models", OK, found)

    return _tried("models", look, "reinstall sparkcider")


def _tried(name: str, look: Callable[[], Finding], advice: str) -> Finding:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - every failure is a finding
        return Finding(name, FAILED, str(error).strip().splitlines()[0], advice)


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # pyspark of a cluster is on PYTHONPATH without the metadata of an installation
        try:
            module = importlib.import_module(package)
        except Exception:  # noqa: BLE001 - a broken installation may raise anything
            return None
        return str(getattr(module, "__version__", "0"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])

"""Imports point down the layers, never in a circle; those for type checkers count, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

grimp = pytest.importorskip("grimp", reason="needs the extra dev")

LAYERS = (
    ("_native", "error_kinds", "base64_images", "labels", "memory", "notebook_html", "notice", "printable", "version"),
    ("columns", "options"),
    ("arguments", "contents", "samples", "storage"),
    ("models", "saved_stage"),
    ("extractor", "pca"),
    ("findings",),
    ("spark", "report"),
    ("functions", "feature"),
    ("job", "plots"),
    ("cli",),
    ("__main__",),
)
"""From the lowest to the highest; modules in one row import nothing of one another."""

WITH_PYSPARK = ("functions", "feature", "job", "spark")
"""All others work without it; so does `spark.worker`, which runs on executors."""

ROOT = "sparkcider"


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """What each module of the package imports, by dotted names without the package's own."""
    graph = grimp.build_graph(ROOT, include_external_packages=True)
    return {short(module): set(imported(graph, module)) for module in graph.modules if module.startswith(ROOT)}


def short(module: str) -> str:
    return module.removeprefix(f"{ROOT}.")


def imported(graph: grimp.ImportGraph, module: str) -> Iterator[str]:
    for target in graph.find_modules_directly_imported_by(module):
        if target != ROOT:
            yield short(target)
            continue
        for detail in graph.get_import_details(importer=module, imported=target):
            # the compiled module has no source, so an import of it is one of the package; the package itself gives
            # what stands in `extractor`
            yield "_native" if "_native" in detail["line_contents"] else "extractor"


def layer(module: str) -> int:
    return next(at for at, row in enumerate(LAYERS) if module.split(".", maxsplit=1)[0] in row)


def test_imports_point_down(imports: dict[str, set[str]]):
    ours = {module: used - {"pyspark"} for module, used in imports.items() if module != ROOT}
    up = [
        f"{module} imports {target}"
        for module, used in ours.items()
        for target in used
        if target.split(".")[0] in {name for row in LAYERS for name in row}
        and target.split(".")[0] != module.split(".")[0]
        and layer(target) >= layer(module)
    ]
    assert not up


def test_every_module_has_a_layer(imports: dict[str, set[str]]):
    assert {module.split(".")[0] for module in imports} - {ROOT} == {name for row in LAYERS for name in row} - {
        "_native"
    }


def test_no_modules_import_each_other_in_a_circle(imports: dict[str, set[str]]):
    def reached(module: str) -> set[str]:
        seen: set[str] = set()
        ahead = [module]
        while ahead:
            for target in imports.get(ahead.pop(), ()):
                if target not in seen:
                    seen.add(target)
                    ahead.append(target)
        return seen

    assert not [module for module in imports if module in reached(module)]


def test_pyspark_is_imported_for_spark_only():
    graph = grimp.build_graph(ROOT, include_external_packages=True, exclude_type_checking_imports=True)
    users = {short(module) for module in graph.find_modules_that_directly_import("pyspark")}
    assert users
    assert not [module for module in users if module.split(".")[0] not in WITH_PYSPARK or module == "spark.worker"]

#!/usr/bin/env bash
# Proves what a release ships: dist/*.whl and dist/*.tar.gz, which `make release-check` has built.
# The gate of check_wheel.py looks at the wheel (glibc 2.28). Then the wheel is installed into clean virtualenvs of each
# Python from 3.9 to 3.13 that is here, without PySpark and with it, and runs the demo on each engine. The sdist is
# built and installed once. PYTHONS names other versions; the check fails where none of them is here.
set -euo pipefail
cd "$(dirname "$0")/.."
wheel=(dist/*.whl) sdist=(dist/*.tar.gz)
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
proven=()

[[ ${wheel[0]} == dist/sparkcider-$version-*.whl && ${sdist[0]} == dist/sparkcider-$version.tar.gz ]] ||
    { echo "dist/ must hold the wheel and the sdist of $version, found ${wheel[*]} ${sdist[*]}" >&2 && exit 2; }
grep -q "^## \[$version\] - 20" CHANGELOG.md || { echo "CHANGELOG.md has no dated heading for $version" >&2 && exit 2; }
for python in ${PYTHONS:-3.9 3.10 3.11 3.12 3.13}; do
    if ! found=$(command -v "python$python") || ! "$found" -c "" 2>/dev/null; then
        echo "no python$python here: left out"
        continue
    fi
    PYTHON=$found scripts/prove_install.sh "${wheel[0]}"
    PYTHON=$found EXTRA=spark scripts/prove_install.sh "${wheel[0]}"
    proven+=("$python")
done
((${#proven[@]})) || { echo "none of the Pythons is here: ${PYTHONS:-3.9 to 3.13}" >&2 && exit 1; }
scripts/prove_install.sh "${sdist[0]}"
echo "sparkcider $version is proven: wheel with Python ${proven[*]}, without and with PySpark; sdist"

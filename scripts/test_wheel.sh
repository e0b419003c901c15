#!/usr/bin/env bash
# Tests the wheel in dist/, installed, with one Python and the versions that tests/matrix/PYTHON.txt pins.
# test_wheel.sh PYTHON [tier|all]; python3.9 is found on the PATH. The virtualenv is .venv-PYTHON, made again each time.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1
tests=${2:-tier}
venv=.venv-$python

# A way through all that depends on the versions: features, PCA, pipeline, job.
tier=(test_doctor test_extractor test_pca_native test_pca_dropin test_functions test_feature test_results test_job)
case $tests in
    tier) files=("${tier[@]/#/tests/python/}") && files=("${files[@]/%/.py}") ;;
    all) files=(tests/python --pyargs sparkcider --collect-in-virtualenv) ;;
    *) echo "expected tier or all, got $tests" >&2 && exit 2 ;;
esac
[ -f "tests/matrix/$python.txt" ] || { echo "no tests/matrix/$python.txt: it pins the versions for Python $python" >&2 && exit 2; }
command -v "python$python" >/dev/null || { echo "no python$python on the PATH" >&2 && exit 2; }
wheels=(dist/*.whl)
[ -f "${wheels[0]}" ] || { echo "no wheel in dist/: make wheel" >&2 && exit 2; }

rm -rf "$venv"
"python$python" -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade pip # Debian 11's cannot resolve an extra of sparkcider itself
"$venv/bin/pip" install --quiet --disable-pip-version-check --constraint "tests/matrix/$python.txt" "${wheels[0]}[test]"
SPARKCIDER_TEST_INSTALLED=yes "$venv/bin/python" -m pytest "${files[@]}"

# Once more with each Spark setting that the file names, as a platform's spark-defaults.conf would have it.
conf=$(mktemp -d)
trap 'rm -rf "$conf"' EXIT
sed -n 's/^# also with: //p' "tests/matrix/$python.txt" | while read -r setting; do
    echo "${setting/=/ }" >"$conf/spark-defaults.conf"
    echo "with $setting:"
    SPARK_CONF_DIR=$conf SPARKCIDER_TEST_INSTALLED=yes "$venv/bin/python" -m pytest tests/python/test_functions.py tests/python/test_feature.py
done

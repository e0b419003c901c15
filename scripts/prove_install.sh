#!/usr/bin/env bash
# Installs a wheel or an sdist into a virtualenv that has nothing else, lets its doctor look, and runs the demo.
# prove_install.sh FILE; PYTHON names the interpreter, EXTRA an extra: with `spark` the demo runs on Spark.
set -euo pipefail
file=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
cd "$folder" # no source tree on the path
venv/bin/pip install --quiet --disable-pip-version-check "$file${EXTRA:+[$EXTRA]}"
venv/bin/python -m sparkcider doctor
if [[ ${EXTRA:-} == spark ]]; then
    PYSPARK_PYTHON=$folder/venv/bin/python venv/bin/sparkcider demo --engine spark
else
    venv/bin/python -c 'import importlib.util as u, sys; sys.exit(u.find_spec("pyspark") is not None)'
    venv/bin/sparkcider demo
fi

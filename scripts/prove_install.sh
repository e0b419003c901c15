#!/usr/bin/env bash
# Installs a wheel or an sdist into a virtualenv that has nothing else, and lets its doctor run an image through a network.
# prove_install.sh FILE; PYTHON names the interpreter.
set -euo pipefail
file=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

"${PYTHON:-python3}" -m venv "$folder/venv"
cd "$folder" # no source tree on the path
venv/bin/pip install --quiet --disable-pip-version-check "$file"
venv/bin/python -m sparkcider doctor

#!/usr/bin/env bash
# Databricks cluster init script: sparkcider beside the packages of the runtime's own Python, on every node.
#
# The wheel is named by the line WHEEL= below, which upload.sh writes: the path in a volume, or a version from the
# package index. The environment variable SPARKCIDER_WHEEL of a dedicated cluster overrides it; in standard mode init
# scripts see only Databricks' own variables. A cluster library from the volume needs no init script at all.
#
# numpy, pandas and pyarrow stay those of the runtime. A model needs nothing here: model="/Volumes/..." is a path.
# bootstrap/README.md has the exit codes.
set -Eeuo pipefail
umask 022

readonly ARGUMENTS=2 PYTHON=3 PACKAGES=5 DOCTOR=7 # exit codes, as on EMR; 1: not foreseen
readonly PYTHON_PATH=${SPARKCIDER_PYTHON:-/databricks/python/bin/python}
WHEEL=
export PIP_BREAK_SYSTEM_PACKAGES=1 # the runtime's own Python is the one that its Spark runs (PEP 668)

main() {
    trap 'fail 1 "line $LINENO: $BASH_COMMAND"' ERR
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    local wheel=${SPARKCIDER_WHEEL:-$WHEEL}
    [[ -x $PYTHON_PATH ]] || fail $PYTHON "$PYTHON_PATH is not there: this is for a Databricks runtime"
    case $wheel in
    *.whl) [[ -r $wheel ]] || fail $PACKAGES "cannot read $wheel" ;;
    [0-9]*) wheel=sparkcider==$wheel ;;
    *) fail $ARGUMENTS "the line WHEEL= must have the path of a .whl file or a version (upload.sh writes it), got '$wheel'" ;;
    esac
    attempt $PACKAGES "cannot install $(basename "$wheel")" "$PYTHON_PATH" -m pip install --quiet --no-input --no-deps \
        --disable-pip-version-check --no-cache-dir --retries 2 --timeout 15 --only-binary=:all: "$wheel"
    complete
    attempt $DOCTOR "the installation does not work" "$PYTHON_PATH" -m sparkcider doctor
    cat "$work/output"
    printf 'sparkcider init: ready after %d s\n' "$SECONDS"
}

# What sparkcider needs beside numpy and pyarrow, where the runtime does not have it; nothing else is touched.
complete() {
    local missing
    missing=$("$PYTHON_PATH" -c 'import importlib.util as u; print(*[n for n in ("jinja2", "tqdm") if not u.find_spec(n)])')
    # shellcheck disable=SC2086 # words
    [[ -z $missing ]] || attempt $PACKAGES "cannot install $missing" "$PYTHON_PATH" -m pip install --quiet --no-input \
        --disable-pip-version-check --no-cache-dir --retries 2 --timeout 15 --only-binary=:all: $missing
}

fail() { # exit code, message
    trap - ERR
    printf 'sparkcider init failed: %s\n' "$2" >&2
    exit "$1"
}

attempt() { # exit code, message, command...: what it says is shown when it fails
    local code=$1 message=$2
    shift 2
    "$@" >"$work/output" 2>&1 && return
    cat "$work/output"
    fail "$code" "$message: $({ grep -iE 'error|errno|failed|denied' "$work/output" || cat "$work/output"; } | tail -n 1)"
}

main "$@"

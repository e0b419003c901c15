#!/usr/bin/env bash
# Dataproc initialization action: sparkcider beside the packages of the image's own Python, on every node.
#
# Metadata of the cluster:
#   sparkcider-wheel    gs:// URI of the wheel, or a version from the package index
#   sparkcider-models   gs:// URIs of ONNX files, with spaces between: /opt/sparkcider/models/NAME on each node, where
#                       model="local:/opt/sparkcider/models/NAME" finds them
#   sparkcider-python   a Python other than /opt/conda/default/bin/python, which the image's Spark uses
#
# numpy, pandas and pyarrow stay those of the image, which its Spark was tested with. bootstrap/README.md has the exit
# codes. A second run changes nothing that is right already.
set -Eeuo pipefail
umask 022

readonly ARGUMENTS=2 PYTHON=3 PACKAGES=5 MODEL=6 DOCTOR=7 # exit codes, as on EMR; 1: not foreseen
readonly MODELS=${SPARKCIDER_MODELS:-/opt/sparkcider/models}
PATH=$PATH:/usr/share/google # get_metadata_value

main() {
    trap 'fail 1 "line $LINENO: $BASH_COMMAND"' ERR
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    python=$(metadata sparkcider-python)
    python=${python:-/opt/conda/default/bin/python}
    timed "python" check_python
    timed "package" install_package
    for uri in $(metadata sparkcider-models); do
        timed "model" place_model "$uri"
    done
    timed "doctor" prove
    log "ready after $SECONDS s: $python"
}

metadata() { # key; nothing where the cluster has no such metadata
    get_metadata_value "attributes/$1" 2>/dev/null || true
}

check_python() {
    local found
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1) ||
        fail $PYTHON "$python does not run: ${found##*$'\n'}"
    [[ ${found#3.} -ge 9 ]] || fail $PYTHON "$python is Python $found; sparkcider needs 3.9, so an image from 2.2 on"
    said="Python $found"
}

install_package() {
    local wheel
    wheel=$(metadata sparkcider-wheel)
    case $wheel in
    gs://*.whl)
        fetch $PACKAGES "$wheel" "$work/$(basename "$wheel")"
        wheel=$work/$(basename "$wheel")
        ;;
    [0-9]*) wheel=sparkcider==$wheel ;;
    *) fail $ARGUMENTS "the metadata sparkcider-wheel must be gs://....whl or a version, got '$wheel'" ;;
    esac
    attempt $PACKAGES "cannot install $(basename "$wheel")" "$python" -m pip install --quiet --no-input --no-deps \
        --disable-pip-version-check --no-cache-dir --retries 2 --timeout 15 --only-binary=:all: "$wheel"
    said=$("$python" -c 'import sparkcider; print("sparkcider", sparkcider.__version__)' 2>&1) ||
        fail $DOCTOR "sparkcider cannot be imported: ${said##*$'\n'}"
}

place_model() { # URI
    local file
    file=$MODELS/$(basename "$1")
    said="local:$file"
    fetch $MODEL "$1" "$work/model.onnx"
    attempt $MODEL "$(basename "$1") is not a model" "$python" -m sparkcider model show "$work/model.onnx"
    attempt $MODEL "cannot write $file" install -D -m 644 "$work/model.onnx" "$file"
}

prove() {
    attempt $DOCTOR "the installation does not work" "$python" -m sparkcider doctor
    cat "$work/output"
    said="an inference ran"
}

# -- small parts, as in emr/bootstrap.sh: each action is one file ------------------------------------------------------

log() { printf '%(%H:%M:%S)T sparkcider init: %s\n' -1 "$*"; }

fail() { # exit code, message
    trap - ERR
    printf 'sparkcider init failed: %s\n' "$2" >&2
    exit "$1"
}

timed() { # name, command...
    local begin=$SECONDS
    said=""
    "${@:2}"
    log "$1: $said ($((SECONDS - begin)) s)"
}

attempt() { # exit code, message, command...: what it says is shown when it fails
    local code=$1 message=$2
    shift 2
    "$@" >"$work/output" 2>&1 && return
    cat "$work/output"
    fail "$code" "$message: $({ grep -iE 'error|errno|failed|denied' "$work/output" || cat "$work/output"; } | tail -n 1)"
}

fetch() { # exit code, URI, target
    [[ $2 == gs://* ]] || fail $ARGUMENTS "only gs:// can be fetched, got $2"
    attempt "$1" "cannot fetch $2" gcloud storage cp "$2" "$3"
}

main "$@"

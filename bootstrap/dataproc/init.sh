#!/usr/bin/env bash
# Dataproc initialization action: sparkcider beside the packages of the image's own Python, on every node.
# Dataproc is called Managed Service for Apache Spark since April 2026.
#
# Metadata of the cluster:
#   sparkcider-wheel    gs:// URI of the wheel, or a version from the package index
#   sparkcider-models   gs:// URIs of ONNX files, with spaces between: /opt/sparkcider/models/NAME on each node, where
#                       model="local:/opt/sparkcider/models/NAME" finds them
#   sparkcider-python   a Python other than the one that the image's Spark uses; that one is looked for in
#                       spark-defaults.conf, then PYSPARK_PYTHON, Pixi (images from 3.0 on) and conda (2.x)
#
# numpy, pandas and pyarrow stay those of the image, which its Spark was tested with. bootstrap/README.md has the exit
# codes. A second run changes nothing that is right already.
set -Eeuo pipefail
umask 022

readonly ARGUMENTS=2 PYTHON=3 PACKAGES=5 MODEL=6 DOCTOR=7 # exit codes, as on EMR; 1: not foreseen
readonly MODELS=${SPARKCIDER_MODELS:-/opt/sparkcider/models}
readonly ROOT=${SPARKCIDER_ROOT:-} # of the file system, for tests
export PIP_BREAK_SYSTEM_PACKAGES=1 # the image's own Python is the one that its Spark runs (PEP 668)
PATH=$PATH:/usr/share/google # get_metadata_value

main() {
    trap 'fail 1 "line $LINENO: $BASH_COMMAND"' ERR
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    find_python
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

# Sets `python`, and `whose`: who names it.
find_python() {
    local conf=$ROOT/etc/spark/conf path
    python=$(metadata sparkcider-python)
    whose="the metadata sparkcider-python"
    [[ -z $python ]] || return 0
    python=$(setting 's/^spark\.pyspark\.python[[:space:]=]+([^[:space:]]+).*/\1/p' "$conf/spark-defaults.conf")
    whose="spark-defaults.conf"
    [[ -z $python ]] || return 0
    python=${PYSPARK_PYTHON:-$(setting 's/^[[:space:]]*(export[[:space:]]+)?PYSPARK_PYTHON=["'"'"']?([^"'"'"'[:space:]]+).*/\2/p' \
        "$conf/spark-env.sh" "$ROOT/etc/environment" "$ROOT"/etc/profile.d/*.sh)}
    whose="PYSPARK_PYTHON"
    [[ -z $python ]] || return 0
    for path in "$ROOT"/opt/pixi/.pixi/envs/default/bin/python "$ROOT"/opt/*/.pixi/envs/default/bin/python \
        "$ROOT"/opt/pixi/envs/default/bin/python "$ROOT"/opt/conda/default/bin/python; do
        [[ ! -x $path ]] || python=${python:-$path}
    done
    whose="the image"
    [[ -n $python ]] || fail $PYTHON "no Python in spark-defaults.conf, PYSPARK_PYTHON, Pixi or conda: set the metadata sparkcider-python"
}

setting() { # sed program, files...: the last line that it prints; files that are not there are left out
    local file found last=""
    for file in "${@:2}"; do
        [[ -r $file ]] || continue
        found=$(sed -nE "$1" "$file" | tail -n 1)
        last=${found:-$last}
    done
    printf '%s' "$last"
}

check_python() {
    local found
    found=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>&1) ||
        fail $PYTHON "$python does not run: ${found##*$'\n'}"
    [[ ${found#3.} -ge 9 ]] || fail $PYTHON "$python is Python $found; sparkcider needs 3.9, so an image from 2.2 on"
    said="Python $found at $python, named by $whose"
    # environments of Pixi need not have pip
    "$python" -m pip --version >/dev/null 2>&1 || attempt $PYTHON "$python has no pip" "$python" -m ensurepip
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
    complete
    said=$("$python" -c 'import sparkcider; print("sparkcider", sparkcider.__version__)' 2>&1) ||
        fail $DOCTOR "sparkcider cannot be imported: ${said##*$'\n'}"
}

# What sparkcider needs beside numpy and pyarrow, where the image does not have it; nothing else is touched.
complete() {
    local missing
    missing=$("$python" -c 'import importlib.util as u; print(*[n for n in ("jinja2", "tqdm") if not u.find_spec(n)])')
    # shellcheck disable=SC2086 # words
    [[ -z $missing ]] || attempt $PACKAGES "cannot install $missing" "$python" -m pip install --quiet --no-input \
        --disable-pip-version-check --no-cache-dir --retries 2 --timeout 15 --only-binary=:all: $missing
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

#!/usr/bin/env bash
# EMR bootstrap action: sparkcider in a virtualenv of its own, on every node, before Spark is there.
#
#   bootstrap.sh [--wheel S3URI|PATH|VERSION] [--model S3URI]... [--python PATH] [--venv DIR]
#
#   --wheel   a wheel file; a folder of wheels (then no package index is asked: for subnets without internet); or a
#             version, from the package index (default: the version that this script came with)
#   --model   an ONNX file, to DIR/models/NAME, where model="local:DIR/models/NAME" finds it on each node
#   --python  the Python that the virtualenv is made from (default: python3)
#   --venv    a folder that belongs to this script (default: /opt/sparkcider); Spark's Python is DIR/bin/python
#
# An S3URI or PATH of a file may end in #sha256=HEX, which is checked. bootstrap/README.md has the exit codes.
# Packages of rpm and pip itself stay as they are. A second run changes nothing that is right already.
set -Eeuo pipefail
umask 022 # YARN's users read what this user installs

readonly VERSION=0.1.0
readonly ARGUMENTS=2 PYTHON=3 FOLDER=4 PACKAGES=5 MODEL=6 DOCTOR=7 # exit codes; 1: not foreseen

wheel=$VERSION
models=()
python=python3
venv=/opt/sparkcider

main() {
    trap 'fail 1 "line $LINENO: $BASH_COMMAND"' ERR
    read_arguments "$@"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    timed "python" check_python
    timed "folder" own_folder
    timed "wheel" fetch_wheels
    timed "packages" install_packages
    for model in "${models[@]+"${models[@]}"}"; do
        timed "model" place_model "$model"
    done
    timed "doctor" prove
    log "ready after $SECONDS s: $venv/bin/python"
}

read_arguments() {
    while (($#)); do
        [[ $# -ge 2 && -n $2 ]] || fail $ARGUMENTS "$1 needs a value, or is no option"
        case $1 in
        --wheel) wheel=$2 ;;
        --model) models+=("$2") ;;
        --python) python=$2 ;;
        --venv) venv=${2%/} ;;
        *) fail $ARGUMENTS "no option is called $1: --wheel, --model, --python, --venv" ;;
        esac
        shift 2
    done
    [[ $venv == /*/* ]] || fail $ARGUMENTS "--venv must be a path such as /opt/sparkcider, got $venv"
}

check_python() {
    local found
    found=$("$python" -c 'import ensurepip, sys, venv; print("%d.%d" % sys.version_info[:2])' 2>&1) ||
        fail $PYTHON "$python cannot make a virtualenv: ${found##*$'\n'}"
    case $found in
    3.9 | 3.1[0-3]) said="Python $found" ;;
    *) fail $PYTHON "$python is Python $found; the pinned packages are for 3.9 to 3.13" ;;
    esac
}

# The folder is emptied when something else is to be installed, so it must have been this script that made it.
own_folder() {
    said=$venv
    [[ -e $venv/.sparkcider ]] && return
    [[ ! -e $venv || -z $(ls -A "$venv") ]] || fail $FOLDER "$venv exists and was not made by this script"
    mkdir -p "$venv" 2>"$work/output" || attempt $FOLDER "cannot make $venv" sudo -n mkdir -p "$venv"
    [[ -w $venv ]] || attempt $FOLDER "cannot take $venv" sudo -n chown "$(id -u):$(id -g)" "$venv"
    attempt $FOLDER "cannot write to $venv" touch "$venv/.sparkcider"
}

# Whatever --wheel says becomes a folder of wheels, of which pip takes the one for this machine.
fetch_wheels() {
    index=()
    mkdir "$work/wheels"
    case $wheel in
    */)
        index=(--no-index)
        fetch_folder "$wheel" "$work/wheels"
        ;;
    *.whl | *.whl#*) fetch $PACKAGES "$wheel" "$work/wheels/$(name_of "$wheel")" ;;
    [0-9]*) download "$wheel" ;;
    *) fail $ARGUMENTS "--wheel takes a version, a .whl file or a folder with a slash at its end, got $wheel" ;;
    esac
    said=$(find "$work/wheels" -name 'sparkcider-*.whl' -printf '%f\n' | sort -V | tail -n 1)
    [[ -n $said ]] || fail $PACKAGES "no sparkcider-*.whl in $wheel"
    version=${said#sparkcider-}
    version=${version%%-*}
}

# By the pip of a virtualenv: a node's Python need not have one.
download() { # version
    attempt $PYTHON "cannot make a virtualenv" "$python" -m venv "$work/pip"
    attempt $PACKAGES "cannot get sparkcider $1" "$work/pip/bin/python" -m pip "${PIP[@]}" download \
        --no-deps --only-binary=:all: --dest "$work/wheels" "sparkcider==$1"
}

install_packages() {
    local stamp
    {
        pins
        printf 'sparkcider==%s' "$version"
        sha256sum "$work/wheels/sparkcider-$version-"*.whl | sed 's/^\([0-9a-f]*\).*/ --hash=sha256:\1/' | tr -d '\n'
    } >"$work/requirements.txt"
    stamp=$("$python" -c 'import sys; print(sys.executable, sys.version)' | cat - "$work/requirements.txt" | sha256sum)
    if [[ -x $venv/bin/sparkcider && $(cat "$venv/.sparkcider") == "$stamp" ]]; then
        said="are there already"
        return
    fi
    : >"$venv/.sparkcider"
    find "$venv" -mindepth 1 ! -path "$venv/.sparkcider" -delete
    attempt $PYTHON "cannot make a virtualenv" "$python" -m venv "$venv"
    attempt $PACKAGES "cannot install the packages" "$venv/bin/python" -m pip "${PIP[@]}" install \
        --no-cache-dir --only-binary=:all: --require-hashes --find-links "$work/wheels" "${index[@]+"${index[@]}"}" \
        --requirement "$work/requirements.txt"
    printf '%s\n' "$stamp" >"$venv/.sparkcider"
    said="sparkcider $version in $venv"
}

place_model() { # URI
    local file
    file=$venv/models/$(name_of "$1")
    said="local:$file"
    [[ $1 == *"#sha256="* && -f $file ]] && has_checksum "$file" "${1##*#sha256=}" && return
    fetch $MODEL "$1" "$work/model.onnx"
    attempt $MODEL "$(name_of "$1") is no model" "$venv/bin/sparkcider" model show "$work/model.onnx"
    attempt $MODEL "cannot write $file" install -D -m 644 "$work/model.onnx" "$file"
}

prove() {
    attempt $DOCTOR "the installation does not work" "$venv/bin/sparkcider" doctor
    cat "$work/output"
    said="an inference ran; PySpark comes later, with the platform: do not install it"
}

# -- small parts -------------------------------------------------------------------------------------------------------

# A dead network is found out within a minute. --isolated is not among them: a company's pip.conf counts.
readonly PIP=(--quiet --no-input --disable-pip-version-check --retries 2 --timeout 15)

log() { printf '%(%H:%M:%S)T sparkcider bootstrap: %s\n' -1 "$*"; }

fail() { # exit code, message
    trap - ERR
    printf 'sparkcider bootstrap failed: %s%s\n' "$2" "$(full_disks)" >&2
    exit "$1"
}

# An early end for want of space has many faces, some of which do not say so.
full_disks() {
    local folder free
    for folder in "$venv" "${TMPDIR:-/tmp}"; do
        free=$(df --output=avail -m "$folder" 2>/dev/null | tail -n 1) || continue
        ((free >= 50)) || printf ' (%s has %d MB left)' "$folder" "$free"
    done
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
    fail "$code" "$message: $(reason)"
}

# The line of the failed command that says most.
reason() {
    if grep -qE 'connection broken|ConnectTimeoutError' "$work/output"; then
        echo "no package index can be reached"
    else
        { grep -iE 'error|errno|failed|denied' "$work/output" || cat "$work/output"; } | tail -n 1
    fi
}

name_of() { # URI or path
    basename "${1%%#*}"
}

fetch() { # exit code, URI or path, target
    local source=${2%%#*}
    case $source in
    s3://*) attempt "$1" "cannot fetch $source" aws s3 cp --only-show-errors "$source" "$3" ;;
    *://*) fail $ARGUMENTS "only s3:// and files of this node can be fetched, got $source" ;;
    *) attempt "$1" "cannot copy $source" cp "$source" "$3" ;;
    esac
    [[ $2 != *"#sha256="* ]] || has_checksum "$3" "${2##*#sha256=}" ||
        fail "$1" "$source has not the checksum ${2##*#sha256=}"
}

fetch_folder() { # URI or path, target
    case $1 in
    s3://*) attempt $PACKAGES "cannot fetch $1" aws s3 cp --recursive --only-show-errors "$1" "$2" ;;
    *) attempt $PACKAGES "cannot copy $1" cp -r "$1/." "$2" ;;
    esac
}

has_checksum() { # file, HEX
    [[ $(sha256sum <"$1") == "$2  -" ]]
}

# Every package that sparkcider needs beside Spark, for Python 3.9 to 3.13 on x86-64 and arm64.
pins() {
    cat <<'PINS'
# made by scripts/pin_bootstrap.py
numpy==1.26.4 ; python_version in "3.10 3.11 3.12 3.9" \
    --hash=sha256:666dbfb6ec68962c033a450943ded891bed2d54e6755e35e5835d63f4f6931d5 \
    --hash=sha256:675d61ffbfa78604709862923189bad94014bef562cc35cf61d3a07bba02a7ed \
    --hash=sha256:7ab55401287bfec946ced39700c053796e7cc0e3acbef09993a9ad2adba6ca6e \
    --hash=sha256:9fad7dcb1aac3c7f0584a5a8133e3a43eeb2fe127f47e3632d43d677c66c102b \
    --hash=sha256:d209d8969599b27ad20994c8e41936ee0964e6da07478d6c35016bc386b66ad4 \
    --hash=sha256:d5241e0a80d808d70546c697135da2c613f30e28251ff8307eb72ba696945764 \
    --hash=sha256:f870204a840a60da0b12273ef34f7051e98c3b5961b61b0c2c1be6dfd64fbcd3 \
    --hash=sha256:ffa75af20b44f8dba823498024771d5ac50620e6915abac414251bd971b4529f
numpy==2.1.3 ; python_version in "3.13" \
    --hash=sha256:5641516794ca9e5f8a4d17bb45446998c6554704d888f86df9b200e66bdcce56 \
    --hash=sha256:c181ba05ce8299c7aa3125c27b9c2167bca4a4445b7ce73d5febc411ca692e43
pandas==2.2.3 \
    --hash=sha256:22a9d949bfc9a502d320aa04e5d02feab689d61da4e7764b62c30b991c42c5f0 \
    --hash=sha256:5de54125a92bb4d1c051c0659e6fcb75256bf799a732a87184e5ea503965bce3 \
    --hash=sha256:86976a1c5b25ae3f8ccae3a5306e443569ee3c3faf444dfd0f41cda24667ad57 \
    --hash=sha256:8cd6d7cc958a3910f934ea8dbdf17b2364827bb4dafc38ce6eef6bb3d65ff09c \
    --hash=sha256:99df71520d25fade9db7c1076ac94eb994f4d2673ef2aa2e86ee039b6746d20c \
    --hash=sha256:c124333816c3a9b03fbeef3a9f230ba9a737e9e5bb4060aa2107a86cc0a497fc \
    --hash=sha256:cd8d0c3be0515c12fed0bdbae072551c8b54b7192c7b1fda0ba56059a0179698 \
    --hash=sha256:d9c45366def9a3dd85a6454c0e7908f2b3b8e9c138f5dc38fed7ce720d8453ed \
    --hash=sha256:f3a255b2c19987fbbe62a9dfd6cff7ff2aa9ccab3fc75218fd4b7530f01efa24 \
    --hash=sha256:fffb8ae78d8af97f849404f21411c95062db1496aeb3e56f146f0355c9989319
pyarrow==21.0.0 \
    --hash=sha256:26bfd95f6bff443ceae63c65dc7e048670b7e98bc892210acba7e4995d3d4b51 \
    --hash=sha256:3b4d97e297741796fead24867a8dabf86c87e4584ccc03167e4a811f50fdf74d \
    --hash=sha256:40ebfcb54a4f11bcde86bc586cbd0272bac0d516cfa539c799c2453768477569 \
    --hash=sha256:479ee41399fcddc46159a551705b89c05f11e8b8cb8e968f7fec64f62d91985e \
    --hash=sha256:69cbbdf0631396e9925e048cfa5bce4e8c3d3b41562bbd70c685a8eb53a91e61 \
    --hash=sha256:7be45519b830f7c24b21d630a31d48bcebfd5d4d7f9d3bdb49da9cdf6d764edb \
    --hash=sha256:898afce396b80fdda05e3086b4256f8677c671f7b1d27a6976fa011d3fd0a86e \
    --hash=sha256:b7ae0bbdc8c6674259b25bef5d2a1d6af5d39d7200c819cf99e07f7dfef1c51e \
    --hash=sha256:e72a8ec6b868e258a2cd2672d91f2860ad532d590ce94cdf7d5e7ec674ccf03d \
    --hash=sha256:f522e5709379d72fb3da7785aa489ff0bb87448a9dc5a75f45763a795a089ebd
python-dateutil==2.9.0.post0 \
    --hash=sha256:a8b2bc7bffae282281c8140a97d3aa9c14da0b136dfe83f850eea9a5f7470427
pytz==2026.6 \
    --hash=sha256:7fed3fee8fd6bd4a2b7b75a8d56021d0624127bf69bd5691f115db929ac570b3
six==1.17.0 \
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
tzdata==2026.6 \
    --hash=sha256:0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec
PINS
}

main "$@"

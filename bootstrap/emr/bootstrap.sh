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

readonly VERSION=0.2.0
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
        [[ $# -ge 2 && -n $2 ]] || fail $ARGUMENTS "$1 needs a value, or is not an option"
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
    attempt $MODEL "$(name_of "$1") is not a model" "$venv/bin/sparkcider" model show "$work/model.onnx"
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
Jinja2==3.1.6 \
    --hash=sha256:85ece4451f492d0c13c5dd7c13a64681a86afae63a5f347908daf103ce6d2f67
MarkupSafe==3.0.4 \
    --hash=sha256:434139499bb20b502ed3baa1f169e618f924a97e7a777fea1a49446d80106cf6 \
    --hash=sha256:5e8b3d0b18fd623afa12ecb2ce8d8becef69f9b5440c6330c7972200e0bb84b0 \
    --hash=sha256:6768d67d1bce64270e0fdc2e69309d68b9b18ae56ddf6c711d168e9d051c2cac \
    --hash=sha256:6a45c3d514f2436064db00d7fc8778d888f0236ebfed649b53d13a59e69ad51b \
    --hash=sha256:6da83a088f8ef93b2d483a8232a4dbf4d69d3d8496b568a03c56becac43e1808 \
    --hash=sha256:7018d4af1cd272e847aa5917983ab5e83e4f6579f9dbfecd4a79c0ca80b144c2 \
    --hash=sha256:849dd2bb0e5e4ab2b71c7191726a4a8d5aa8a610daa584728cbee0b710ddc4ef \
    --hash=sha256:8e124f974786f831d6043728e38296969d3579db8896fe004682f5758e613581 \
    --hash=sha256:cf63c214fe879a65e69a386f915e36104fc84254ab141240f8854602d8e0be2a \
    --hash=sha256:d1aca03ede943eb80ab3d63bb082c84b7aab85ea83bd0fd0c200260945fb49d9
contourpy==1.3.0 ; python_version in "3.9" \
    --hash=sha256:68a32389b06b82c2fdd68276148d7b9275b5f5cf13e5417e4252f6d1a34f72a2 \
    --hash=sha256:e12968fdfd5bb45ffdf6192a590bd8ddd3ba9e58360b29683c6bb71a7b41edca
contourpy==1.3.2 ; python_version in "3.10" \
    --hash=sha256:9be002b31c558d1ddf1b9b415b162c603405414bacd6932d031c5b5a8b757f0d \
    --hash=sha256:ad687a04bc802cbe8b9c399c07162a3c35e227e2daccf1668eb1f278cb698631
contourpy==1.3.3 ; python_version in "3.11 3.12" \
    --hash=sha256:4d00e655fcef08aba35ec9610536bfe90267d7ab5ba944f7032549c55a146da1 \
    --hash=sha256:51e79c1f7470158e838808d4a996fa9bac72c498e93d8ebe5119bc1e6becb0db \
    --hash=sha256:929ddf8c4c7f348e4c0a5a3a714b5c8542ffaa8c22954862a46ca1813b667ee7 \
    --hash=sha256:92d9abc807cf7d0e047b95ca5d957cf4792fcd04e920ca70d48add15c1a90ea7
contourpy==1.4.0 ; python_version in "3.13" \
    --hash=sha256:9c0e07c691f3b3321913ed9b8161c50ea5f77fadd006f52f5e755359b0dcbfc5 \
    --hash=sha256:f1219a8898523cba821085f2da8a1b962cc696325763f09d7f93538ba43b2d70
cycler==0.12.1 \
    --hash=sha256:85cef7cff222d8644161529808465972e51340599459b8ac3ccbac5a854e0d30
fonttools==4.60.2 ; python_version in "3.9" \
    --hash=sha256:38ce703b60a906e421e12d9e3a7f064883f5e61bb23e8961f4be33cfe578500b \
    --hash=sha256:fe905403fe59683b0e9a45f234af2866834376b8821f34633b1c76fb731b6311
fonttools==4.65.0 ; python_version in "3.10" \
    --hash=sha256:e3944e0bdba42effb71959e43d91b599326b02b59c78310d5675e8a75525e7d8 \
    --hash=sha256:fb53892b570f7f1f0055e75fc4de32673e32f749c4c8a606b63d5c436650e634
fonttools==4.68.0 ; python_version in "3.11 3.12 3.13" \
    --hash=sha256:04a4868dcfcc23f00bb033147d5afc1a118a992842644c3eb9da55467ab4fd74 \
    --hash=sha256:08851f7d2b983412f490b73a7c56f17cbda1d4d85d2ad3f857564bf15b5d9475 \
    --hash=sha256:3edce69ecdefa73ab1041901ca22eefed6ebb93a77bc77e889d940479f25bf7d \
    --hash=sha256:4b9c89b5876f1a74b1341632dfaf4c4c2be565d76c060445df401ebe7a4ceefa \
    --hash=sha256:53f2387d7e3816763f30e08d14263be18e28ead53d4dc20a82f9280d0c99d88a \
    --hash=sha256:b41e71b2657c9843b2327b4e3c116db1757dc8cd05d978cd47cb5061272d4997
importlib_resources==6.5.2 ; python_version in "3.9" \
    --hash=sha256:789cfdc3ed28c78b67a06acb8126751ced69a3d5f79c095a98298cd8a760ccec
kiwisolver==1.4.7 ; python_version in "3.9" \
    --hash=sha256:79849239c39b5e1fd906556c474d9b0439ea6792b637511f3fe3a41158d89ca8 \
    --hash=sha256:dda56c24d869b1193fcc763f1284b9126550eaf84b88bbc7256e15028f19188a
kiwisolver==1.5.1 ; python_version in "3.10 3.11 3.12 3.13" \
    --hash=sha256:21e46b23a2da695c364124817bc01d970effd5483147f8d66a6a7167e3f6b851 \
    --hash=sha256:34633ecf50d16187ab8e5528b7a2530f2feb4e23f300db4672538b51cfc5cd38 \
    --hash=sha256:719a35fa1156db3640555f95ebb94f60a444e64d1c69626b0edef5df78eba225 \
    --hash=sha256:74ad5c3dad54a4641b4c28cd15ded70899d04459c6c7aeacafea716be97cce6d \
    --hash=sha256:95a02752aa032eef4aed01cda6d9b687c669bd0396bf4519eef8bba22a286720 \
    --hash=sha256:c3a4e41e3096bf1f0f1b76e2ffd6d828d6547f574f702d59bdbef7acfa59db9c \
    --hash=sha256:d27c2123977cb9269c30a49ba45f03a4323017ef693e19db4ec9dbe1299a3002 \
    --hash=sha256:e05c2f7925f1d88778e53cb44f14e0223204a3bdd09a41664750363acfb1f2ef
matplotlib==3.9.4 \
    --hash=sha256:173ac3748acaac21afcc3fa1633924609ba1b87749006bc25051c52c422a5d00 \
    --hash=sha256:18ebcf248030173b59a868fda1fe42397253f6698995b55e81e1f57431d85e50 \
    --hash=sha256:2b8c97917f21b75e72108b97707ba3d48f171541a74aa2a56df7a40626bafc64 \
    --hash=sha256:2bb0030d1d447fd56dcc23b4c64a26e44e898f0416276cac1ebc25522e0ac249 \
    --hash=sha256:57aa235109e9eed52e2c2949db17da185383fa71083c00c6c143a60e07e0888c \
    --hash=sha256:6bb0141a21aef3b64b633dc4d16cbd5fc538b727e4958be82a0e1c92a234160e \
    --hash=sha256:aca90ed222ac3565d2752b83dbb27627480d27662671e4d39da72e97f657a423 \
    --hash=sha256:ddf9f3c26aae695c5daafbf6b94e4c1a30d6cd617ba594bbbded3b33a1fcfa26 \
    --hash=sha256:f4c12302c34afa0cf061bea23b331e747e5e554b0fa595c96e01c7b75bc3b858 \
    --hash=sha256:fba1f52c6b7dc764097f52fd9ab627b90db452c9feb653a59945de16752e965f
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
packaging==26.3 ; python_version in "3.9" \
    --hash=sha256:d7193f7c8e4e93f444fde0262bf90af30e16fa0ad0ad44cb553c87339b23cd1c
packaging==26.4 ; python_version in "3.10 3.11 3.12 3.13" \
    --hash=sha256:81383611a09c1bc0b08b76e0fd5829d7c6824c65b27a6aee339da133f4233ea2
pandas==2.3.3 \
    --hash=sha256:318d77e0e42a628c04dc56bcef4b40de67918f7041c2b061af1da41dcff670ac \
    --hash=sha256:5caf26f64126b6c7aec964f74266f435afef1c1b13da3b0636c7518a1fa3e2b1 \
    --hash=sha256:854d00d556406bffe66a4c0802f334c9ad5a96b4f1f868adf036a21b11ef13ff \
    --hash=sha256:b3d11d2fda7eb164ef27ffc14b4fcab16a80e1ce67e9f57e19ec0afaf715ba89 \
    --hash=sha256:b468d3dad6ff947df92dcb32ede5b7bd41a9b3cceef0a30ed925f6d01fb8fa66 \
    --hash=sha256:b98560e98cb334799c0b07ca7967ac361a47326e9b4e5a7dfb5ab2b1c9d35a1b \
    --hash=sha256:bf1f8a81d04ca90e32a0aceb819d34dbd378a98bf923b6398b9a3ec0bf44de29 \
    --hash=sha256:dd7478f1463441ae4ca7308a70e90b33470fa593429f9d4c578dd00d1fa78838 \
    --hash=sha256:e32e7cc9af0f1cc15548288a51a3b681cc2a219faa838e995f7dc53dbab1062d \
    --hash=sha256:ecaf1e12bdc03c86ad4a7ea848d66c685cb6851d807a26aa245ca3d2017a1908
pillow==11.3.0 ; python_version in "3.9" \
    --hash=sha256:092c80c76635f5ecb10f3f83d76716165c96f5229addbd1ec2bdbbda7d496e06 \
    --hash=sha256:cadc9e0ea0a2431124cde7e1697106471fc4c1da01530e679b2391c37d3fbb3a
pillow==12.3.0 ; python_version in "3.10" \
    --hash=sha256:5594fc43d548a7ed94949d139aa1341b270f1863f11cfd37f5a6c8b778a6b67f \
    --hash=sha256:f0606c8bf2cdefea14a43530f7657cbbb7ecf1c4222512492ef4a4434a9501ec
pillow==13.0.0 ; python_version in "3.11 3.12 3.13" \
    --hash=sha256:19b66ca0a4d25cc0200b381ce824c7ea090db61427315e73cfb05dbf1b35c369 \
    --hash=sha256:42d63be3af4f9b951b199b0a9d23365d37ab14687e6d77b74940432c8515c4ca \
    --hash=sha256:5f56499c1a74d2b862beb0c33b8016f99d095858455df9d21583bbbc1c15b582 \
    --hash=sha256:7c88c10dd432f3b39ccdafc9ed81d0c21b8fd634502574da76d1bfa4fe2c76d0 \
    --hash=sha256:8bf295fe459343bc6093c8e5e0df60bfa189e0fcb775a22e2c2488fdeccc6c0d \
    --hash=sha256:a625df9a2a5597fa5e5266e01aefc82604bb85d291e3547981e863560d75da6c
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
pyparsing==3.3.3 \
    --hash=sha256:ece8c00a69cf01b45d0b1dedabb469c90d8caf996d4fda40f147627a122849a4
python-dateutil==2.9.0.post0 \
    --hash=sha256:a8b2bc7bffae282281c8140a97d3aa9c14da0b136dfe83f850eea9a5f7470427
pytz==2026.6 \
    --hash=sha256:7fed3fee8fd6bd4a2b7b75a8d56021d0624127bf69bd5691f115db929ac570b3
six==1.17.0 \
    --hash=sha256:4721f391ed90541fddacab5acf947aa0d3dc7d27b2e1e8eda2be8970586c3274
tqdm==4.67.3 \
    --hash=sha256:ee1e4c0e59148062281c49d80b25b67771a127c85fc9676d3be5f243206826bf
tzdata==2026.6 \
    --hash=sha256:0a10eec6e13ef16b627fabed9a5f2ba61a62b1c67f327305f4e7e412a70b4aec
zipp==3.23.0 ; python_version in "3.9" \
    --hash=sha256:071652d6115ed432f5ce1d34c336c0adfd6a884660d1e9712a256d3d3bd4b14e
PINS
}

main "$@"

#!/usr/bin/env bash
# Packs a virtualenv with sparkcider for EMR Serverless, and what starts a job in it, into a folder or S3.
#
#   pack.sh [--wheel S3URI|PATH|VERSION] [--python PATH] --to DIR|S3URI
#
#   --wheel    as in ../emr/bootstrap.sh, which installs it
#   --python   a Python of the version that the application has: 3.9 for EMR 7 (default: python3.9)
#   --to       gets sparkcider.tar.gz and sparkcider_job.py
#
# The archive is for the machine's own architecture; any Linux with glibc >= 2.28 will do to make it. Exits as bootstrap.sh
# does, and with 8 where packing fails.
set -Eeuo pipefail

readonly ARGUMENTS=2 PACKING=8

here=$(dirname "$0")
to="" python=python3.9
wheel=()

main() {
    read_arguments "$@"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    "$here/../emr/bootstrap.sh" --python "$python" "${wheel[@]+"${wheel[@]}"}" --venv "$work/environment"
    relocate
    deliver
    printf 'next: %s/submit.sh --archive %s/sparkcider.tar.gz --application ID --role ARN -- run --input S3URI ...\n' \
        "$here" "$to"
}

read_arguments() {
    while (($#)); do
        [[ $# -ge 2 && -n $2 ]] || fail $ARGUMENTS "$1 needs a value, or is not an option"
        case $1 in
        --wheel) wheel=(--wheel "$2") ;;
        --python) python=$2 ;;
        --to) to=${2%/} ;;
        *) fail $ARGUMENTS "no option is called $1: --wheel, --python, --to" ;;
        esac
        shift 2
    done
    [[ -n $to ]] || fail $ARGUMENTS "--to DIR|S3URI is needed"
}

# The application has its Python in /usr/bin, so there the archive's links point. (venv-pack 0.2.0 makes a dead link of
# one that points there already.) The other programs name the folder of this machine; pip is not needed there.
relocate() {
    local name
    name=$("$work/environment/bin/python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    cd "$work/environment"
    cp lib/python*/site-packages/sparkcider/__main__.py "$work/sparkcider_job.py"
    rm -r bin lib/python*/site-packages/pip lib/python*/site-packages/pip-*
    mkdir bin
    ln -s "/usr/bin/$name" "bin/$name"
    ln -s "$name" bin/python3
    ln -s "$name" bin/python
    printf 'home = /usr/bin\ninclude-system-site-packages = false\n' >pyvenv.cfg
    tar czf "$work/sparkcider.tar.gz" . || fail $PACKING "cannot pack the environment"
    cd "$OLDPWD"
}

deliver() {
    local file
    [[ $to == s3://* ]] || mkdir -p "$to"
    for file in sparkcider.tar.gz sparkcider_job.py; do
        if [[ $to == s3://* ]]; then
            aws s3 cp --only-show-errors "$work/$file" "$to/$file" || fail $PACKING "cannot write $to/$file"
        else
            cp "$work/$file" "$to/$file"
        fi
        printf '%s/%s (%s)\n' "$to" "$file" "$(du -h "$work/$file" | cut -f 1)"
    done
}

fail() { # exit code, message
    printf 'pack.sh: %s\n' "$2" >&2
    exit "$1"
}

main "$@"

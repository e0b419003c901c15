#!/bin/sh
# Names each missing prerequisite in one line, with the command that installs it. PYTHON names the interpreter.
# Usage: check_prerequisites.sh [build | spark]; without a word, what both need.
# Shell built-ins only, so that it speaks even where PATH holds nothing.
set -u
wanted=${1:-build spark}
python=${PYTHON:-python3}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
missing=0

have() { command -v "$1" >/dev/null 2>&1; }

# Debian 12 has no Java 21, Debian 13 no Java 17.
java_of_debian=17
# shellcheck disable=SC1090 # each system has its own
system=$({ . "${OS_RELEASE:-/etc/os-release}" && echo "${ID:-}${VERSION_ID:-}"; } 2>/dev/null)
case $system in debian1[3-9]) java_of_debian=21 ;; esac
if have apt-get; then install='sudo apt-get install -y'; packages="python3 python3-venv build-essential openjdk-$java_of_debian-jre-headless cmake nasm"
elif have dnf; then install='sudo dnf install -y'; packages='python3.11 python3.11 gcc java-21-openjdk-headless cmake nasm'
elif have brew; then install='brew install'; packages='python python gcc openjdk@17 cmake nasm'
else install='install with your package manager:'; packages='python3 python3-venv gcc openjdk-17 cmake nasm'
fi
# shellcheck disable=SC2086 # six words
set -- $packages

need() { # what, the command that installs it
    printf 'missing: %s. Install it: %s\n' "$1" "$2" >&2
    missing=1
}

check_build() {
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
        need "Python >= 3.9 ($python; PYTHON=... names another)" "$install $1"
    elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        need "Python's venv module" "$install $2"
    fi

    have cc || need 'a C compiler (cc), which links the Rust code and compiles libjpeg-turbo' "$install $3"
    have cmake || need 'CMake, which builds libjpeg-turbo' "$install $5"
    case $(uname -m 2>/dev/null) in
        aarch64 | arm64) ;;
        *) have nasm || need 'NASM, which assembles libjpeg-turbo' "$install $6" ;;
    esac

    rust_minor=$(rustc --version 2>/dev/null) && rust_minor=${rust_minor#rustc 1.} && rust_minor=${rust_minor%%.*}
    if ! have cargo || ! have rustc; then
        need 'Rust >= 1.92 (cargo and rustc)' "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"
    elif [ "${rust_minor:-0}" -lt 92 ]; then
        need "Rust >= 1.92 (found 1.$rust_minor)" 'rustup update stable'
    fi
}

check_spark() {
    java_line=$("$java" -version 2>&1) && java_line=${java_line#*\"} && java_major=${java_line%%[!0-9]*}
    if [ "${java_major:-0}" -lt 17 ]; then
        need 'Java >= 17' "$install $4"
    fi
}

case $wanted in *build*) check_build "$@" ;; esac
case $wanted in *spark*) check_spark "$@" ;; esac
exit "$missing"

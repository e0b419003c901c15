#!/bin/sh
# Looks for what a command needs of the system. What is missing is installed where that takes no password (as root, by
# `sudo -n`, by Homebrew), after a line that says which command runs. What is still missing is named in one line each, with
# the command that installs it. SPARKCIDER_INSTALL=no installs nothing.
# Usage: prerequisites.sh [build] [spark] [lint] [browser]; without a word, build and spark. PYTHON names the interpreter.
# Names by shell built-ins only, so that it speaks even where PATH holds nothing.
set -u
wanted=${*:-build spark}
python=${PYTHON:-python3}
java=${JAVA_HOME:+$JAVA_HOME/bin/}java
installing=yes # the first look installs, the second one names
tried=no
missing=0

have() { command -v "$1" >/dev/null 2>&1; }

# Debian 12 has no Java 21, Debian 13 no Java 17.
java_of_debian=17
# shellcheck disable=SC1090 # each system has its own
system=$({ . "${OS_RELEASE:-/etc/os-release}" && echo "${ID:-}${VERSION_ID:-}"; } 2>/dev/null)
case $system in debian1[3-9]) java_of_debian=21 ;; esac
if have apt-get; then manager=apt; packages="python3 python3-venv gcc+libc6-dev nasm openjdk-$java_of_debian-jre-headless chromium"
elif have dnf; then manager=dnf; packages='python3.11 python3.11 gcc nasm java-21-openjdk-headless chromium'
elif have brew; then manager=brew; packages='python python gcc nasm openjdk@17 chromium'
else manager=none; packages='python3 python3-venv gcc nasm openjdk-17 chromium'
fi
# shellcheck disable=SC2086 # six words
set -- $packages

# Root's rights without a password: nothing for root, `sudo -n ` where it works. Fails where there is neither.
without_password() {
    if [ "${uid:=$(id -u 2>/dev/null)}" = 0 ]; then
        sudo=
    elif [ -z "${sudo+set}" ]; then
        have sudo && sudo -n true 2>/dev/null && sudo='sudo -n '
    fi
    [ -n "${sudo+set}" ]
}

run() { # what, command: says it, runs it
    printf 'installing %s: %s\n' "$1" "$2" >&2
    sh -c "$2" </dev/null >/dev/null || printf 'this command failed: %s\n' "$2" >&2
    tried=yes
}

# The lists of a new Debian are empty or old.
update_lists() {
    [ "$manager" = apt ] && [ -z "${updated+set}" ] && run "the lists of packages" "${sudo}apt-get update -qq"
    updated=yes
}

need() { # what, the words of the package manager for it
    words=$2
    while case $words in *+*) ;; *) false ;; esac; do words="${words%%+*} ${words#*+}"; done
    case $manager in
        apt) command="apt-get install -y $words" ;;
        dnf) command="dnf install -y $words" ;;
        brew) command="brew install $words" ;;
        none) command="install with your package manager: $words" ;;
    esac
    if [ $installing = no ]; then
        case $manager in apt | dnf) command="sudo $command" ;; esac
        name "$1" "$command"
    elif [ $manager = brew ]; then
        run "$1" "$command"
    elif [ $manager != none ] && without_password; then
        update_lists
        case $manager in apt) command="env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $words" ;; esac
        run "$1" "$sudo$command"
    fi
}

name() { # what, the command that installs it
    printf 'missing: %s. Install it: %s\n' "$1" "$2" >&2
    missing=1
}

rustup_rs="curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh"

# Rust's minor version in a text such as `1.96.0+dfsg1`.
minor_of() { minor=${1#1.}; echo "${minor%%.*}"; }

# Whether Debian's newest Rust, which it has for its browsers, is new enough.
debian_has_rust() {
    [ $manager = apt ] || return 1
    candidate=$(apt-cache policy rustc-web 2>/dev/null)
    candidate=${candidate#*Candidate: }
    [ "$(minor_of "${candidate%%[!0-9.]*}")" -ge 92 ] 2>/dev/null
}

need_rust() { # what
    if have rustup; then
        if [ $installing = no ]; then name "$1" 'rustup update stable'; else run "$1" 'rustup update stable'; fi
        return
    fi
    [ $installing = no ] || [ $manager != apt ] || ! without_password || update_lists
    if debian_has_rust; then
        need "$1" rustc-web+cargo-web
    elif [ $installing = no ]; then
        name "$1" "$rustup_rs"
    elif have curl; then
        run "$1" "$rustup_rs -s -- -y --profile minimal --component clippy,rustfmt"
    fi
}

check_build() {
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 9))' >/dev/null 2>&1; then
        need "Python >= 3.9 ($python; PYTHON=... names another)" "$1+$2"
    elif ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        need "Python's venv module" "$2"
    fi

    have cc || need 'a C compiler (cc), which links the Rust code and compiles libjpeg-turbo' "$3"
    case $(uname -m 2>/dev/null) in
        aarch64 | arm64) ;;
        *) have nasm || need 'NASM, which assembles libjpeg-turbo' "$4" ;;
    esac

    rust=$(rustc --version 2>/dev/null)
    if ! have cargo || [ -z "$rust" ]; then
        need_rust 'Rust >= 1.92 (cargo and rustc)'
    elif [ "$(minor_of "${rust#rustc }")" -lt 92 ]; then
        need_rust "Rust >= 1.92 (found 1.$(minor_of "${rust#rustc }"))"
    fi
}

check_spark() {
    java_line=$("$java" -version 2>&1) && java_line=${java_line#*\"} && java_major=${java_line%%[!0-9]*}
    if [ "${java_major:-0}" -lt 17 ]; then
        need 'Java >= 17' "$5"
    fi
}

check_lint() {
    # a rustup installs both by itself, since rust-toolchain.toml names them
    if [ $installing = no ] && ! { cargo clippy --version && cargo fmt --version; } >/dev/null 2>&1; then
        name "clippy and rustfmt, which Debian's Rust lacks" "$rustup_rs"
    fi
}

# Tests of the report open it in Chromium, and skip where there is none.
check_browser() {
    was_missing=$missing
    have chromium || have chromium-browser || need 'Chromium, which opens the report in tests' "$6"
    missing=$was_missing
}

look() {
    case $wanted in *build*) check_build "$@" ;; esac
    case $wanted in *spark*) check_spark "$@" ;; esac
    case $wanted in *lint*) check_lint ;; esac
    case $wanted in *browser*) check_browser "$@" ;; esac
}

if [ "${SPARKCIDER_INSTALL:-yes}" != no ]; then look "$@"; fi
installing=no
if [ "$tried" = yes ]; then hash -r; fi
look "$@"
exit "$missing"

#!/usr/bin/env bash
# Puts the wheel and init.sh into a volume of Unity Catalog; init.sh names the wheel by its path there.
#
#   upload.sh --to /Volumes/CATALOG/SCHEMA/VOLUME[/FOLDER] --wheel FILE [--dry-run]
#
#   --dry-run   only print the commands
# Needs the `databricks` program. Exits with 2 for a wrong argument, else with the code of `databricks`.
set -euo pipefail

here=$(dirname "$0")
to="" wheel="" run=()

main() {
    read_arguments "$@"
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    sed "s|^WHEEL=.*|WHEEL=$to/$(basename "$wheel")|" "$here/init.sh" >"$work/init.sh"
    for file in "$wheel" "$work/init.sh"; do
        "${run[@]+"${run[@]}"}" databricks fs cp --overwrite "$file" "dbfs:$to/$(basename "$file")"
    done
    echo "init script: $to/init.sh"
    echo "or, without it, as a cluster library: $to/$(basename "$wheel")"
}

read_arguments() {
    while (($#)); do
        [[ $1 != --dry-run ]] || { run=(printed) && shift && continue; }
        [[ $# -ge 2 && -n $2 ]] || wrong "$1 needs a value, or is not an option"
        case $1 in
        --to) to=${2%/} ;;
        --wheel) wheel=$2 ;;
        *) wrong "no option is called $1" ;;
        esac
        shift 2
    done
    [[ $to == /Volumes/*/*/* ]] || wrong "--to must be a volume, /Volumes/CATALOG/SCHEMA/VOLUME, got '$to'"
    [[ -r $wheel && $wheel == *.whl ]] || wrong "--wheel must be a .whl file, got '$wheel'"
}

printed() { printf '%q ' "$@" && echo; }

wrong() {
    printf 'sparkcider upload: %s\n' "$1" >&2
    exit 2
}

main "$@"

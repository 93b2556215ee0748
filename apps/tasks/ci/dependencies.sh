#!/usr/bin/env bash
# Checks what the program is made of, and fails when something is wrong: a lock file that does not fit, a library
# in two versions, a licence that is not on the list, a source other than the registry. With cargo-deny on the
# machine, its advisory check as well.
set -euo pipefail
cd "$(dirname "$0")/.."

allowed='^(MIT|Apache-2\.0|Apache-2\.0 WITH LLVM-exception|BSD-2-Clause|BSD-3-Clause|ISC|Zlib|0BSD|Unlicense|CC0-1\.0|BSL-1\.0|Unicode-3\.0)$'
failed=0
wrong() {
    echo "::error::$*"
    failed=1
}

if ! tree=$(cargo tree --locked --prefix none --no-dedupe --edges normal,build --format '{p}|{l}'); then
    wrong "Cargo.lock does not fit Cargo.toml: run \`cargo update --workspace\` and commit it"
    exit 1
fi

while IFS='|' read -r package licence; do
    # An expression holds if, in each part joined by AND, one of those joined by OR is on the list.
    holds=1
    while read -r part; do
        one=0
        while read -r name; do
            [[ $name =~ $allowed ]] && one=1
        done < <(sed 's/^(\|)$//g; s# *OR *#\n#g; s#/#\n#g' <<<"$part" | sed 's/^[( ]*//; s/[) ]*$//')
        [[ $one = 1 ]] || holds=0
    done < <(sed 's/ AND /\n/g' <<<"$licence")
    [[ $holds = 1 ]] || wrong "$package has the licence \`$licence\`, which is not on the list in ci/dependencies.sh"
done < <(sort -u <<<"$tree")

duplicates=$(cargo tree --locked --duplicates --depth 0 --edges normal,build --prefix none 2>/dev/null | sort -u)
[[ -z $duplicates ]] || wrong "in more than one version: ${duplicates//$'\n'/, }"

others=$(grep '^source = ' Cargo.lock | grep -v '"registry+' | sort -u || true)
[[ -z $others ]] || wrong "not from the registry: ${others//$'\n'/, }"

if cargo deny --version >/dev/null 2>&1; then
    cargo deny --locked check advisories || wrong "cargo-deny found an advisory, or could not look"
    advisories="advisories checked by cargo-deny"
else
    echo "::notice::cargo-deny is not on this machine: known vulnerabilities were not looked for"
    advisories="advisories **not** checked (cargo-deny is not on this machine)"
fi

count=$(sort -u <<<"$tree" | wc -l)
echo "$count packages: licences, versions and sources checked; $advisories" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
exit "$failed"

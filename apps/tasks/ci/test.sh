#!/usr/bin/env bash
# Runs the tests; with cargo-llvm-cov on the machine, measures what they cover, and fails below the floor. Whatever
# comes of it, reports/junit.xml says which tests passed: outside target, which is kept from run to run.
set -euo pipefail
cd "$(dirname "$0")/.."

floor=85
mkdir -p target reports
log=target/tests.log
trap 'ci/junit.sh "$log" reports/junit.xml' EXIT
if cargo llvm-cov --version >/dev/null 2>&1; then
    cargo llvm-cov --locked --fail-under-lines "$floor" --lcov --output-path target/lcov.info 2>&1 | tee "$log"
    cargo llvm-cov report --summary-only | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
else
    cargo test --locked 2>&1 | tee "$log"
    echo "::notice::cargo-llvm-cov is not on this machine: coverage was not measured"
    echo "Tests passed; coverage **not** measured (cargo-llvm-cov is not on this machine)." >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
fi

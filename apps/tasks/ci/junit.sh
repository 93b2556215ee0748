#!/usr/bin/env bash
# Makes a JUnit report of what `cargo test` printed: ci/junit.sh LOG REPORT
set -euo pipefail

sed $'s/\x1b\\[[0-9;]*m//g' "$1" | awk '
    function plain(text) {
        gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text); gsub(/"/, "\\&quot;", text)
        return text
    }
    BEGIN { print "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n<testsuite name=\"tasks\">" }
    /^ +Running / { suite = $2 == "unittests" ? $3 : $2 }
    /^ +Doc-tests / { suite = "doc-tests" }
    /^test .* \.\.\. (ok|FAILED|ignored)/ {
        name = $0; sub(/^test /, "", name); sub(/ \.\.\. .*$/, "", name)
        inside = ""
        if ($0 ~ / \.\.\. FAILED/) inside = "<failure message=\"it failed: see the log\"/>"
        if ($0 ~ / \.\.\. ignored/) inside = "<skipped/>"
        printf "<testcase classname=\"%s\" name=\"%s\">%s</testcase>\n", plain(suite), plain(name), inside
    }
    END { print "</testsuite>\n</testsuites>" }
' >"$2"

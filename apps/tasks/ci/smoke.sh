#!/usr/bin/env bash
# Checks a running service from outside: `ci/smoke.sh http://tasks.staging.localhost:7780`. What it makes, it
# removes again. Fails when anything is not as it should be, and says all that is not.
set -uo pipefail

url=${1:?usage: ci/smoke.sh URL}
url=${url%/}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
checks=0
failed=0

wrong() {
    echo "::error::$*"
    failed=$((failed + 1))
}

# ask METHOD PATH [CURL OPTIONS…]: the status in $status, the headers and body in files.
ask() {
    local method=$1 path=$2
    shift 2
    : >"$work/head" && : >"$work/body"
    status=$(curl --silent --show-error --noproxy '*' --path-as-is --max-time 20 --request "$method" \
        --dump-header "$work/head" --output "$work/body" --write-out '%{http_code}' "$@" "$url$path" 2>"$work/said") || {
        wrong "$method $path: no answer: $(<"$work/said")"
        status=000
    }
}

# expect STATUS METHOD PATH [CURL OPTIONS…]: asks, and holds the answer against what every answer must be.
expect() {
    local wanted=$1 method=$2 path=$3
    checks=$((checks + 1))
    ask "${@:2}"
    [[ $status = "$wanted" ]] || wrong "$method $path: status $status instead of $wanted: $(head -c 200 "$work/body")"
    [[ $method = HEAD ]] || clean "$method $path"
}

# clean WHAT: no answer tells how it is made inside.
clean() {
    if grep -aqiE 'panicked|stack backtrace|rust_begin|\.rs:[0-9]+|rusqlite|sqlite|src/|/home/|/root/|\.cargo|thread .* at ' "$work/body"; then
        wrong "$1: the answer tells what is inside: $(head -c 200 "$work/body")"
    fi
}

# holds WHAT TEXT: the body contains TEXT.
holds() {
    checks=$((checks + 1))
    grep -qF -- "$2" "$work/body" || wrong "$1: \`$2\` is not in the answer: $(head -c 300 "$work/body")"
}

# header WHAT NAME REGEX: the header is there and fits.
header() {
    checks=$((checks + 1))
    grep -qiE "^$2: *$3"$'\r?$' "$work/head" || wrong "$1: the header $2 is not $3: $(tr -d '\r' <"$work/head" | head -20)"
}

field() { sed -nE "s/.*\"$1\":\"?([^\",}]*)\"?[,}].*/\1/p" "$work/body" | head -1; }

echo "Health, description, metrics"
expect 200 GET /health
holds /health '"status":"healthy"'
holds /health '"timestamp":"'
expect 200 GET /openapi.yaml
holds /openapi.yaml 'openapi: 3'
expect 200 GET /metrics
header /metrics content-type 'text/plain; version=0\.0\.4; charset=utf-8'
holds /metrics '# TYPE api_requests_total counter'
holds /metrics 'api_request_duration_seconds_bucket'

echo "A task from its making to its removal"
title="Prüfung $(date +%s%N) ✓ 日本"
expect 201 POST /tasks --header 'content-type: application/json' --data "{\"title\":\"$title\",\"description\":\"ä\"}"
id=$(field id)
[[ $id =~ ^[0-9]+$ ]] || { wrong "POST /tasks gave no id"; id=0; }
expect 200 GET "/tasks/$id"
holds "GET /tasks/$id" "\"title\":\"$title\""
holds "GET /tasks/$id" '"status":"pending"'
expect 200 PUT "/tasks/$id" --header 'content-type: application/json' --data '{"status":"completed"}'
expect 200 GET "/tasks/$id"
holds "GET /tasks/$id" '"status":"completed"'
holds "GET /tasks/$id" "\"title\":\"$title\""
expect 200 GET "/tasks?status=completed&limit=1000"
header "GET /tasks" x-total-count '[0-9]+'
expect 200 DELETE "/tasks/$id"
for method in GET DELETE; do expect 404 "$method" "/tasks/$id"; done
expect 404 PUT "/tasks/$id" --data '{"status":"completed"}'

echo "Malformed input"
expect 400 POST /tasks --data ''
expect 400 POST /tasks --data '{"title":'
expect 400 POST /tasks --data '[]'
expect 400 POST /tasks --data '{}'
holds "a missing title" title
expect 400 POST /tasks --data '{"title":42}'
expect 400 POST /tasks --data '{"title":"  "}'
expect 400 POST /tasks --data '{"title":"a","status":"whenever"}'
holds "an unknown status" in_progress
expect 400 POST /tasks --data-binary $'{"title":"\xff\xfe"}'
expect 400 GET '/tasks?limit=-1'
expect 400 GET '/tasks?status=%27%20OR%201=1--'
for odd in 0 -1 abc 99999999999999999999 '1%27%20OR%20%271%27=%271' '%00' '..%2f..%2fetc%2fpasswd'; do
    expect 404 GET "/tasks/$odd"
done
printf '[%.0s' {1..5000} >"$work/deep"
expect 400 POST /tasks --data-binary "@$work/deep"
head -c 100000 /dev/zero | tr '\0' ' ' >"$work/large"
expect 413 POST /tasks --data-binary "@$work/large"

echo "Methods and places"
for pair in 'PATCH /tasks/1' 'DELETE /tasks' 'POST /health' 'PUT /metrics' 'TRACE /tasks'; do
    read -r method path <<<"$pair"
    checks=$((checks + 1))
    ask "$method" "$path"
    # A gateway may refuse a method that it does not pass on.
    [[ $status = 405 || ($method = TRACE && $status =~ ^(400|403|501)$) ]] || wrong "$method $path: status $status instead of 405"
    clean "$method $path"
done
for path in /.env /.git/config /admin /tasks/1/2 /server-status; do expect 404 GET "$path"; done

echo "Headers"
for path in /tasks /tasks/1 /nothing /openapi.yaml; do
    ask GET "$path"
    header "$path" x-content-type-options nosniff
    header "$path" x-frame-options DENY
    header "$path" content-security-policy "default-src 'none'.*"
    header "$path" referrer-policy no-referrer
    header "$path" cache-control no-store
    header "$path" x-request-id '[A-Za-z0-9_.:-]+'
    if grep -qiE '^(server: .*[0-9]|x-powered-by:)' "$work/head"; then wrong "$path: a header names software and version"; fi
done
ask GET /health --header 'origin: https://evil.example'
if grep -qi '^access-control-allow-origin:' "$work/head"; then wrong "/health: other origins may read it"; fi

if ((failed > 0)); then
    echo "$failed things are wrong with $url ($checks checks)" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"
    exit 1
fi
echo "$checks checks passed against $url" | tee -a "${GITHUB_STEP_SUMMARY:-/dev/null}"

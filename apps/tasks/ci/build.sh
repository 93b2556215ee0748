#!/usr/bin/env bash
# Builds the program into dist/tasks: static, so that it runs in an image with nothing else in it.
set -euo pipefail
cd "$(dirname "$0")/.."

largest=$((15 * 1024 * 1024))
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" cargo build --locked --release --target "$target"
mkdir -p dist
cp "${CARGO_TARGET_DIR:-target}/$target/release/tasks" dist/tasks

if head -c 4096 dist/tasks | grep -aq 'ld-linux\|ld-musl'; then
    echo "::error::dist/tasks asks for a dynamic loader; an empty image has none"
    exit 1
fi
size=$(stat -c %s dist/tasks)
if ((size > largest)); then
    echo "::error::dist/tasks has $size bytes; the image must stay under $largest"
    exit 1
fi
echo "dist/tasks: static, $size bytes"

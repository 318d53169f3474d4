#!/bin/sh
# Fails when docs/reference is not what the command's --help says now.
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
${GO:-go} build -o "$tmp/image2ipfs" ./cmd/image2ipfs
${GO:-go} run ./hack/gendocs -binary "$tmp/image2ipfs" "$tmp/reference"
diff -ru docs/reference "$tmp/reference" >&2 || {
	echo "docs/reference is out of date: run make docs" >&2
	exit 1
}

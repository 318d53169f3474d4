#!/bin/sh
# Fails when docs/reference is not what the command's --help and the schemas, from
# which json.md is made, say now.
set -eu
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
${GO:-go} build -o "$tmp/image2ipfs" ./cmd/image2ipfs
${GO:-go} run ./hack/gendocs -binary "$tmp/image2ipfs" "$tmp/reference"
diff -ru --exclude=schema docs/reference "$tmp/reference" >&2 || {
	echo "docs/reference is out of date: run make docs" >&2
	exit 1
}

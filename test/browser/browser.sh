#!/bin/bash
# The page of serve in a real Chromium: its views, copying, pushes that appear, hostile
# names, axe-core's rules, widths from 320 pixels to 4K.
#
#   test/browser/browser.sh IMAGE2IPFS    the binary
#
# npm and, as root, apt bring the rest, into $IMAGE2IPFS_E2E/browser. With PICTURES=DIR the
# pictures of docs are made there.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=$(realpath "$1")
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}/browser
export BINARY AXE=$WORK/node_modules/axe-core/axe.min.js PICTURES=${PICTURES:+$(realpath "$PICTURES")}

# brought installs a command's package.
brought() {
	command -v "$1" >/dev/null && return
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$1" >/dev/null
}

brought npm
brought chromium
mkdir -p "$WORK"
cp "$HERE/package.json" "$WORK"
[ -e "$AXE" ] && grep -q "$(sed -n 's/.*"axe-core": "\(.*\)".*/\1/p' "$HERE/package.json")" "$AXE" ||
	(cd "$WORK" && npm install --no-audit --no-fund --no-package-lock --silent)
go test -C "$HERE" -count=1 -timeout 20m "${@:2}" .

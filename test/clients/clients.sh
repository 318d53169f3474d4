#!/bin/bash
# Other people's clients read an image from the gateway of `serve`, and what arrives is
# compared with the digests that name it: lassie, ipfs-car, and verified-fetch in Node
# and in Chromium, from a page of another origin.
#
#   test/clients/clients.sh IMAGE2IPFS LASSIE    the two binaries
#
# npm and, as root, apt bring the rest. Everything lies in $IMAGE2IPFS_E2E/clients.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
BINARY=$(realpath "$1") LASSIE=$(realpath "$2")
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}/clients
export IMAGE2IPFS_PATH=$WORK/tmp/store
unset IPFS_PATH IPFS_API IPFS_GATEWAY

# brought installs a command's package.
brought() {
	command -v "$1" >/dev/null && return
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$2" >/dev/null
}

# intact compares each blob of a layout with its name.
intact() {
	local f n=0
	for f in "$1"/blobs/sha256/*; do
		[ "$(sha256sum <"$f" | cut -d' ' -f1)" = "${f##*/}" ] || { echo "clients: $2: $f has other bytes" >&2; exit 1; }
		n=$((n + 1))
	done
	[ $n -gt 2 ] || { echo "clients: $2: $n blobs in $1, expected 3 at least" >&2; exit 1; }
	echo "$2: $n blobs as they were published"
}

rm -rf --one-file-system "$WORK/tmp"
mkdir -p "$WORK/tmp"
brought npm npm
brought chromium chromium
cp "$HERE"/*.mjs "$HERE/package.json" "$WORK"
(cd "$WORK" && npm install --no-audit --no-fund --no-package-lock --silent)
NODE=$WORK/node_modules/node/bin/node

server=
trap '[ -z "$server" ] || kill "$server" 2>/dev/null || true; rm -rf --one-file-system "$WORK/tmp"' EXIT
cd "$HERE/../.."
go run ./hack/mkimage -binary "$BINARY" -name clients:1 -o "$WORK/tmp/image.tar"
root=$("$BINARY" publish -q "$WORK/tmp/image.tar" | cut -d/ -f2)
cid=$("$BINARY" ref -f cidv1 "$root")
"$BINARY" serve --addr 127.0.0.1:0 --log-format json >"$WORK/tmp/serve.log" 2>&1 &
server=$!
for _ in $(seq 100); do
	gateway=$(grep -om1 'http://127\.0\.0\.1:[0-9]*\|127\.0\.0\.1:[1-9][0-9]*' "$WORK/tmp/serve.log" | head -1 || true)
	[ -z "$gateway" ] || break
	sleep 0.1
done
[ -n "$gateway" ] || { cat "$WORK/tmp/serve.log" >&2; exit 1; }
gateway=http://${gateway#http://}

"$LASSIE" fetch --protocols http --provider "$gateway" -o "$WORK/tmp/lassie.car" "$cid" >/dev/null 2>&1
"$NODE" "$WORK/node_modules/ipfs-car/bin.js" unpack "$WORK/tmp/lassie.car" --output "$WORK/tmp/lassie"
intact "$WORK/tmp/lassie" lassie
"$LASSIE" fetch --protocols http --provider "$gateway" --dups --dag-scope entity --entity-bytes 0:99 \
	-o "$WORK/tmp/part.car" "$cid/index.json" >/dev/null 2>&1
echo "lassie: took a range of a file, each block as often as it occurs"
curl -fsS "$gateway/ipfs/$cid?format=car&car-dups=y" -o "$WORK/tmp/dups.car"
"$NODE" "$WORK/node_modules/ipfs-car/bin.js" unpack "$WORK/tmp/dups.car" --output "$WORK/tmp/ipfs-car"
intact "$WORK/tmp/ipfs-car" ipfs-car
# In Node it is the build for browsers, too: its own for Node asks no gateway here.
(cd "$WORK" && node_modules/.bin/esbuild node.mjs --bundle --platform=browser --format=esm --outfile=tmp/node.mjs --log-level=error)
timeout 120 "$NODE" "$WORK/tmp/node.mjs" "$gateway" "$cid" 2>/dev/null || { echo "clients: verified-fetch in Node failed" >&2; exit 1; }
(cd "$WORK" && timeout 180 "$NODE" browser.mjs "$gateway" "$cid" "$WORK/tmp/profile")

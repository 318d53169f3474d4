#!/bin/bash
# Runs the Windows binary under Wine: it must publish an image to the same name as
# the Linux one, from a file and from a pipe, list, verify, serve, pull and remove
# it. Then it runs the tests of packages that need no temporary directories.
#
# Needs root on Debian, for apt. Wine is not Windows, but has its paths, locks,
# renames and open files that cannot be removed.
set -euo pipefail
cd "$(dirname "$0")/.."

WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}/wine
TESTED="./ref ./oci ./layer" # not those with temporary directories: Go's RemoveAll fails on this Wine
say() { echo "wine: $*" >&2; }
die() { say "$*"; exit 1; }

if [ ! -x /usr/lib/wine/wine64 ] || ! command -v x86_64-w64-mingw32-gcc-win32 >/dev/null; then
	say "installing Wine"
	apt-get update -qq
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-remove --no-install-recommends \
		wine64 gcc-mingw-w64-x86-64-win32 >"${WORK%/wine}/log/wine.log" 2>&1 || die "apt-get failed (see ${WORK%/wine}/log/wine.log)"
fi
rm -rf "$WORK"
mkdir -p "$WORK"
server=
finish() {
	[ -z "$server" ] || kill "$server" 2>/dev/null || true
	WINEPREFIX=$WORK/prefix /usr/lib/wine/wineserver64 -k 2>/dev/null || true # of this prefix only
	rm -rf "$WORK"
}
trap finish EXIT
export WINEPREFIX=$WORK/prefix WINEDEBUG=-all
DISPLAY= /usr/lib/wine/wine64 wineboot >/dev/null 2>&1 || die "Wine does not start"
x86_64-w64-mingw32-gcc-win32 -shared -o "$WORK/prefix/drive_c/windows/system32/bcryptprimitives.dll" hack/testdata/wine/prng.c -ladvapi32

GOOS=windows CGO_ENABLED=0 go build -o "$WORK/image2ipfs.exe" ./cmd/image2ipfs
CGO_ENABLED=0 go build -o "$WORK/image2ipfs" ./cmd/image2ipfs
go run ./hack/mkimage -binary "$WORK/image2ipfs" -name app:1 -o "$WORK/app.tar"

export IMAGE2IPFS_PATH='C:\store'
windows() { timeout 300 /usr/lib/wine/wine64 "$WORK/image2ipfs.exe" "$@" | tr -d '\r'; }

name=$(IMAGE2IPFS_PATH=$WORK/store "$WORK/image2ipfs" publish -q -r 127.0.0.1:5057 "$WORK/app.tar")
say "on Linux:          $name"
[ "$(windows publish -q -r 127.0.0.1:5057 "Z:${WORK//\//\\}\\app.tar")" = "$name" ] || die "from a file Windows gives another name"
[ "$(cat "$WORK/app.tar" | windows publish -q -r 127.0.0.1:5057 -)" = "$name" ] || die "from a pipe Windows gives another name"
[ "$(windows publish -q -r 127.0.0.1:5057 - <"$WORK/app.tar")" = "$name" ] || die "from a redirected file Windows gives another name"
windows publish -q - </dev/null 2>"$WORK/empty" && die "an empty standard input is published"
grep -q 'standard input is empty' "$WORK/empty" || { cat "$WORK/empty" >&2; die "an empty standard input is not told"; }
say "on Windows, thrice: $name"
windows ls | grep -q app:1 || die "ls does not list it"
windows verify "$name" >/dev/null || die "verify fails"
windows pull -q --to 'oci:C:\layout' "$name" >/dev/null || die "pull fails"
[ "$(IMAGE2IPFS_PATH=$WORK/again "$WORK/image2ipfs" publish -q -r 127.0.0.1:5057 "$WORK/prefix/drive_c/layout")" = "$name" ] ||
	die "the layout that was pulled is another image"

/usr/lib/wine/wine64 "$WORK/image2ipfs.exe" serve --addr 127.0.0.1:5057 >"$WORK/serve.log" 2>&1 &
server=$!
for _ in $(seq 300); do
	curl -sf -o /dev/null http://127.0.0.1:5057/healthz && break
	kill -0 $server 2>/dev/null || { cat "$WORK/serve.log" >&2; die "serve ended at once"; }
	sleep 0.1
done
path=${name#*/}
curl -sf -H 'Accept: application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json' \
	"http://127.0.0.1:5057/v2/$path/manifests/1" >"$WORK/manifest" || die "the manifest is not served"
digests=$(grep -oE 'sha256:[0-9a-f]{64}' "$WORK/manifest" | sort -u)
for digest in $digests; do
	got=sha256:$(curl -sfL "http://127.0.0.1:5057/v2/$path/blobs/$digest" | sha256sum | cut -d' ' -f1)
	[ "$got" = "$digest" ] || die "blob $digest is served as $got"
done
say "served, $(wc -w <<<"$digests") blobs as their digests say"
kill $server
wait $server 2>/dev/null || true
server=
windows rm "$path" >/dev/null || die "rm fails"
windows ls | grep -q app:1 && die "it is listed after rm"
say "removed"

GOOS=windows CGO_ENABLED=0 go test -short -vet=off -exec /usr/lib/wine/wine64 $TESTED

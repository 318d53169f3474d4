#!/bin/bash
# deb and rpm of image2ipfs for linux/amd64 and linux/arm64 in dist/VERSION, of the
# binaries that are there, or are built. With SIGNING_KEY, a file with an OpenPGP
# secret key, the packages are signed (NFPM_PASSPHRASE opens the key).
set -euo pipefail
cd "$(dirname "$0")/.."

NFPM=github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.44.0
GO=${GO:-go}
: "${VERSION:?}" "${LDFLAGS:?}"
dist=dist/$VERSION
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$dist" "$work/share/completions"

# package_version makes of "git describe" what sorts after the version it names.
package_version() {
	local v
	v=$(sed -E 's/^v([0-9])/\1/; s/-([0-9]+)-g([0-9a-f]+)/+\1.g\2/; s/-dirty$/.dirty/' <<<"$1")
	case $v in
	[0-9]*.[0-9]*) echo "$v" ;;
	*) echo "0.0.0+git.$v" ;;
	esac
}

binary() { echo "$dist/image2ipfs-$VERSION-linux-$1"; }

for ARCH in ${PACKAGE_ARCHS:-amd64 arm64}; do
	[ -x "$(binary "$ARCH")" ] ||
		CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH "$GO" build -trimpath -ldflags "$LDFLAGS" -o "$(binary "$ARCH")" ./cmd/image2ipfs
done

# The pages and completions are what a binary says that runs here.
here=$work/image2ipfs
env -u GOOS -u GOARCH CGO_ENABLED=0 "$GO" build -trimpath -ldflags "$LDFLAGS" -o "$here" ./cmd/image2ipfs
for shell in bash zsh fish; do "$here" completion $shell >"$work/share/completions/$shell"; done
env -u GOOS -u GOARCH "$GO" run ./hack/gendocs -binary "$here" -man "$work/share/man/man1"
gzip -9n "$work"/share/man/man1/*

nfpm=$work/nfpm
env -u GOOS -u GOARCH GOFLAGS= GOBIN="$work" "$GO" install "$NFPM"
PACKAGE_VERSION=$(package_version "$VERSION")
# The time of all files: of the commit, so that the same commit gives the same bytes.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export PACKAGE_VERSION SOURCE_DATE_EPOCH SHARE=$work/share SIGNING_KEY=${SIGNING_KEY:-}
for ARCH in ${PACKAGE_ARCHS:-amd64 arm64}; do
	BINARY=$(binary "$ARCH")
	export ARCH BINARY
	for format in deb rpm; do
		"$nfpm" package --config deploy/packages/nfpm.yaml --packager $format --target "$dist/image2ipfs-$VERSION-linux-$ARCH.$format" >&2
		echo "$dist/image2ipfs-$VERSION-linux-$ARCH.$format"
	done
done

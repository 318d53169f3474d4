#!/bin/sh
# Builds static binaries for PLATFORMS into dist/, deb and rpm of those for Linux, an
# SBOM (CycloneDX) of what is in them, and SHA256SUMS. With SIGNING_KEY, a file
# with an OpenPGP secret key, SHA256SUMS.asc signs the sums, and the packages are
# signed; NFPM_PASSPHRASE opens the key.
set -eu

dist=dist/$VERSION
rm -rf "$dist"
mkdir -p "$dist"
for platform in $PLATFORMS; do
	os=${platform%/*} arch=${platform#*/} suffix=
	[ "$os" != windows ] || suffix=.exe
	out=$dist/image2ipfs-$VERSION-$os-$arch$suffix
	echo "$out"
	CGO_ENABLED=0 GOOS=$os GOARCH=$arch "$GO" build -trimpath -ldflags "$LDFLAGS" -o "$out" ./cmd/image2ipfs
done
host=$dist/image2ipfs-$VERSION-linux-amd64
"$GO" run ./hack/sbom -binary "$host" -version "$VERSION" -o "$dist/image2ipfs-$VERSION.cdx.json"
hack/packages.sh
(cd "$dist" && sha256sum image2ipfs-* >SHA256SUMS)
echo "$dist/SHA256SUMS"
[ -n "${SIGNING_KEY:-}" ] || { echo "release: not signed: SIGNING_KEY names no OpenPGP secret key" >&2; exit 0; }
GNUPGHOME=$(mktemp -d) # the key is in no keyring afterwards
export GNUPGHOME
trap 'gpgconf --kill all; rm -rf "$GNUPGHOME"' EXIT
gpg --batch --quiet --import "$SIGNING_KEY"
printf '%s' "${NFPM_PASSPHRASE:-}" | gpg --batch --quiet --pinentry-mode loopback --passphrase-fd 0 \
	--armor --detach-sign --output "$dist/SHA256SUMS.asc" "$dist/SHA256SUMS"
echo "$dist/SHA256SUMS.asc"

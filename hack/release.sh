#!/bin/sh
# Builds static binaries for PLATFORMS into dist/, deb, rpm and an OCI image of those for
# Linux, an
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
first=$(set -- $PLATFORMS; echo "$1") # all have the same modules
suffix=
[ "${first%/*}" != windows ] || suffix=.exe
"$GO" run ./hack/sbom -binary "$dist/image2ipfs-$VERSION-${first%/*}-${first#*/}$suffix" -version "$VERSION" -o "$dist/image2ipfs-$VERSION.cdx.json"
linux=
for platform in $PLATFORMS; do
	[ "${platform%/*}" != linux ] || linux="$linux ${platform#*/}"
done
if [ -n "$linux" ]; then
	PACKAGE_ARCHS=${linux# } hack/packages.sh
	set --
	for arch in $linux; do set -- "$@" -binary "$arch=$dist/image2ipfs-$VERSION-linux-$arch"; done
	"$GO" run ./hack/mkimage "$@" -name "image2ipfs:$VERSION" -o "$dist/image2ipfs-$VERSION-image.tar"
	echo "$dist/image2ipfs-$VERSION-image.tar"
fi
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

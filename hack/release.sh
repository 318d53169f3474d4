#!/bin/sh
# Builds static binaries for PLATFORMS into dist/, with SHA256SUMS and an SBOM
# (CycloneDX) of what is in them.
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
(cd "$dist" && sha256sum image2ipfs-* >SHA256SUMS)
echo "$dist/SHA256SUMS"

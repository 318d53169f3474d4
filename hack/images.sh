#!/bin/bash
# Image archives for the end-to-end tests, each written by the real tool that
# its name ends in:  IMAGE.TOOL.tar, or IMAGE.TOOL for a directory.
#
#   hack/images.sh           make those that are missing (needs `engines.sh up`)
#   hack/images.sh portable  only what crane can make, without root and Debian
#
#   small      busybox: three layers
#   big        a Debian root with Python, above 150 MB in five layers
#   multi      two images that share layers, three tags
#   pair       two images with one tag
#   unnamed    small, saved by its id
#   platforms  amd64, arm64 and arm/v7, with provenance
#   plain      one layer, whose only program is ours
#
# Each archive is read by a program that did not write it before it gets its
# name; all of them are made again when this file changes.
#
# /etc/message in each image says which one it is. Nothing is fetched but the
# Debian packages, from apt's own mirror.
set -euo pipefail

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
eval "$("$HACK/engines.sh" env)"
WORK=$IMAGE2IPFS_E2E
OUT=$WORK/archives
SRC=$WORK/sources                      # build contexts, packages, Debian root
CODENAME=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

CHROOT=$WORK/chroot
HOME_OF_C2=$CHROOT/eng/containerd2    # which sees it as /eng/containerd2

say() { echo "images: $*" >&2; }
die() { say "$*"; exit 1; }
on() { "$HACK/engines.sh" run "$@"; }
d20() { DOCKER_BUILDKIT=0 on ${E2E_DOCKERD20:?dockerd 20.10 does not run} "$@"; }
d28() { on ${E2E_DOCKERD28:?dockerd 28 does not run} "$@"; }
classic() { on $("$HACK/engines.sh" command_of dockerd28classic) "$@"; }
c16() { on ${E2E_CONTAINERD16:?containerd 1.6 does not run} "$@"; }
c2() { on ${E2E_CONTAINERD2:?containerd 2 does not run} "$@"; }

# missing NAME… succeeds unless all of these archives exist.
missing() { local n; for n; do [ -e "$OUT/$n" ] || return 0; done; return 1; }

# archive NAME CMD… keeps what the command prints, unless NAME exists.
archive() {
  local name=$1; shift
  missing "$name" || return 0
  say "$name"
  "$@" >"$OUT/$name.part" || die "$name: failed: $*"
  keep "$name"
}

# keep NAME gives NAME.part its name if it is whole.
keep() {
  whole "$1" "$OUT/$1.part"
  mv "$OUT/$1.part" "$OUT/$1"
}

# whole NAME FILE fails unless an independent reader finds all that an archive
# must have: tar its entries and its end, and skopeo, which copies each image of
# it, the blobs as their digests say.
whole() {
  local name=$1 file=$2 images=("docker-archive:$2") from
  if [ ! -d "$file" ]; then
    tar -tf "$file" >/dev/null || die "$name: tar cannot read it to its end"
    # Without the two blocks of zeros at its end tar takes it for whole, too.
    [ "$(tail -c 1024 "$file" | tr -d '\0' | wc -c)" = 0 ] || die "$name: cut: the end of the tar is missing"
  fi
  command -v skopeo >/dev/null || { say "$name: not read by skopeo, which is not here"; return; }
  case $name in
    *.skopeo | *.skopeo-zstd) images=("oci:$file") ;;
    *-oci.tar | *.buildkit.tar | *.containerd.tar) images=("oci-archive:$file") ;;
    *.docker28*.tar) images+=("oci-archive:$file") ;; # both in one
    # In the second image skopeo takes a link to a shared layer for an empty one.
    multi.* | pair.*) images=("docker-archive:$file:@0") ;;
  esac
  for from in "${images[@]}"; do
    rm -rf "$SRC/read"
    skopeo --insecure-policy copy -q --all "$from" "dir:$SRC/read" >&2 || die "$name: skopeo cannot read $from"
    [ -s "$SRC/read/manifest.json" ] || die "$name: skopeo found no image in $from"
  done
  rm -rf "$SRC/read"
}

# exported IMAGE writes what containerd exports to standard output; exported to
# a pipe it may be cut.
exported() {
  local file=$HOME_OF_C2/export.tar
  c2 images export "${file#"$CHROOT"}" "$1" >&2
  cat "$file"
  rm "$file"
}

# ---- sources -------------------------------------------------------------------

# cat_for GOARCH GOARM FILE builds a static `cat`: all that an image FROM scratch needs.
cat_for() {
  (cd "$HACK/testdata/cat" && CGO_ENABLED=0 GOOS=linux GOARCH=$1 GOARM=${2:-} \
    go build -trimpath -ldflags='-s -w' -o "$3" .)
}

# static_busybox FILE copies the host's, or the one of Debian's package if the
# host's needs libraries.
static_busybox() {
  local there; there=$(command -v busybox)
  if ldd "$there" >/dev/null 2>&1; then
    rm -rf "$SRC/busybox"; mkdir -p "$SRC/busybox"
    (cd "$SRC/busybox" && apt-get download -qq busybox-static >&2 && dpkg-deb -x busybox-static_*.deb .)
    there=$(find "$SRC/busybox" -name busybox -type f -path '*bin/*')
  fi
  cp "$there" "$1"
}

small_context() {
  local dir=$SRC/small
  mkdir -p "$dir"
  static_busybox "$dir/busybox"
  echo small >"$dir/message"
  cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM scratch
COPY busybox /bin/busybox
RUN ["/bin/busybox", "--install", "-s", "/bin"]
COPY message /etc/message
ENV GREETING="hello from small"
CMD ["/bin/cat", "/etc/message"]
DOCKERFILE
  mkdir -p "$SRC/second"
  printf 'FROM small:1\nRUN echo second >/etc/message\n' >"$SRC/second/Dockerfile"
}

# debian_root makes the Debian root, and lets apt work out against it which
# packages Python needs: they are installed by `docker build`, in layers.
debian_root() {
  [ -e "$SRC/debian.tar" ] && return
  say "debootstrap of a $CODENAME root"
  rm -rf --one-file-system "$SRC/debian" "$SRC/debs"
  unshare --mount --propagation private debootstrap --variant=minbase "$CODENAME" "$SRC/debian" \
    "$("$HACK/engines.sh" mirror)" >"$WORK/log/debian.log" 2>&1
  rm -rf "$SRC/debian"/var/cache/apt/archives/*.deb "$SRC/debian"/var/lib/apt/lists/*
  mkdir -p "$SRC/debs/partial"
  apt-get -o Dir::State::status="$SRC/debian/var/lib/dpkg/status" -o Dir::Cache::archives="$SRC/debs" \
    -o Debug::NoLocking=1 -y -qq --no-install-recommends --download-only install python3 >>"$WORK/log/debian.log" 2>&1
  tar -C "$SRC/debian" -cf "$SRC/debian.tar.part" .
  mv "$SRC/debian.tar.part" "$SRC/debian.tar"
}

big_context() {
  local dir=$SRC/big
  debian_root
  rm -rf "$dir"
  mkdir -p "$dir/app"
  cp -r "$SRC/debs" "$dir/debs"
  rm -rf "$dir/debs/partial" "$dir/debs/lock"
  cp -r "$HACK/." "$dir/app/"
  cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM debian-root:1
COPY debs /debs
RUN apt-get install -y -qq /debs/*.deb && rm -r /debs
COPY app /srv/app
RUN echo big >/etc/message && ln /etc/message /srv/hardlink && ln -s ../etc/message /srv/symlink \
 && rm -r /usr/share/doc/python3 && chmod 4755 /srv/hardlink && mkfifo /srv/fifo
ENV APP=/srv/app
WORKDIR /srv/app
CMD ["python3", "-c", "print(open('/etc/message').read(), end='')"]
DOCKERFILE
}

platforms_context() {
  local dir=$SRC/platforms a
  mkdir -p "$dir"
  cat_for amd64 '' "$dir/cat-amd64"
  cat_for arm64 '' "$dir/cat-arm64"
  cat_for arm 7 "$dir/cat-armv7"
  for a in amd64 arm64 armv7; do echo "platforms $a" >"$dir/message-$a"; done
  cat >"$dir/Dockerfile" <<'DOCKERFILE'
FROM scratch
ARG TARGETARCH TARGETVARIANT
COPY cat-${TARGETARCH}${TARGETVARIANT} /bin/cat
COPY message-${TARGETARCH}${TARGETVARIANT} /etc/message
CMD ["/bin/cat", "/etc/message"]
DOCKERFILE
}

# ---- archives ------------------------------------------------------------------

from_docker20() {
  missing {small,multi,pair,unnamed,big}.docker20.tar || return 0
  small_context
  d20 build -q --network none -t small:1 -t small:latest "$SRC/small" >&2
  d20 build -q --network none -t second:2 "$SRC/second" >&2
  archive small.docker20.tar d20 save small:1
  archive multi.docker20.tar d20 save small:1 small:latest second:2
  d20 tag second:2 db:1
  archive pair.docker20.tar d20 save small:1 db:1
  archive unnamed.docker20.tar d20 save "$(d20 image inspect -f '{{.Id}}' small:1)"
  big_context
  d20 import "$SRC/debian.tar" debian-root:1 >&2
  d20 build -q --network none -t registry.example/team/big:1 "$SRC/big" >&2
  archive big.docker20.tar d20 save registry.example/team/big:1
}

from_docker28() {
  missing {small,big}.docker28.tar platforms.buildkit.tar || return 0
  small_context; platforms_context
  tar -C "$SRC/small" -c . | d28 build -q --network none -t small:1 - >&2
  archive small.docker28.tar d28 save small:1
  archive platforms.buildkit.tar d28 buildx build -q --provenance=mode=max -t platforms:1 \
    --platform linux/amd64,linux/arm64,linux/arm/v7 -o type=oci,dest=- - < <(tar -C "$SRC/platforms" -c .)
  d28 load -q <"$OUT/big.docker20.tar" >&2
  archive big.docker28.tar d28 save registry.example/team/big:1
}

# The same dockerd with the store it had before: its archives carry LayerSources.
from_docker28classic() {
  missing {small,big}.docker28classic.tar || return 0
  "$HACK/engines.sh" start dockerd28classic
  "$HACK/engines.sh" ready dockerd28classic
  classic load -q <"$OUT/small.docker20.tar" >&2
  classic load -q <"$OUT/big.docker20.tar" >&2
  archive small.docker28classic.tar classic save small:1
  archive big.docker28classic.tar classic save registry.example/team/big:1
  classic system prune -af >/dev/null
  "$HACK/engines.sh" halt dockerd28classic
}

# skopeo_copy NAME FROM TRANSPORT [REFERENCE FLAG…] converts a docker archive.
skopeo_copy() {
  local name=$1 from=$2 transport=$3 reference=$4; shift 4
  missing "$name" || return 0
  say "$name"
  rm -rf "$OUT/$name.part"
  $E2E_SKOPEO copy -q "$@" "docker-archive:$OUT/$from" "$transport:$OUT/$name.part:$reference"
  keep "$name"
}

from_skopeo() {
  local image reference
  for image in small big; do
    reference=$image:1
    skopeo_copy $image.skopeo $image.docker20.tar oci $reference
    skopeo_copy $image.skopeo-oci.tar $image.docker20.tar oci-archive $reference
    skopeo_copy $image.skopeo-docker.tar $image.docker20.tar docker-archive $reference
  done
  skopeo_copy small.skopeo-zstd small.docker20.tar oci small:1 --dest-compress --dest-compress-format zstd
}

from_podman() {
  missing small.podman.tar small.podman-oci.tar || return 0
  on $E2E_PODMAN load -q -i "$OUT/small.docker20.tar" >&2
  archive small.podman.tar on $E2E_PODMAN save --format docker-archive localhost/small:1
  archive small.podman-oci.tar on $E2E_PODMAN save --format oci-archive localhost/small:1
}

from_containerd() {
  missing small.containerd.tar || return 0
  c2 images import - <"$OUT/small.docker20.tar" >&2
  archive small.containerd.tar exported docker.io/library/small:1
}

from_crane() {
  missing plain.crane.tar || return 0
  local dir=$SRC/plain
  mkdir -p "$dir/bin" "$dir/etc"
  cat_for amd64 '' "$dir/bin/cat"
  echo plain >"$dir/etc/message"
  tar -C "$dir" -czf "$SRC/plain.tar.gz" bin etc
  say plain.crane.tar
  "$E2E_CRANE" append -f "$SRC/plain.tar.gz" -t plain:1 -o "$OUT/plain.crane.tar.part" 2>/dev/null
  keep plain.crane.tar
}

# forget empties the engines of images, and of containers that a killed run has
# left, so that a pull has to fetch every layer.
forget() {
  local engine names
  for engine in d20 d28; do
    names=$($engine ps -aq)
    [ -z "$names" ] || $engine rm -f $names >/dev/null
    $engine system prune -af >/dev/null
  done
  for engine in "$E2E_PODMAN" "$E2E_PODMAN5"; do
    on $engine rm -af >/dev/null
    on $engine rmi -af >/dev/null
  done
  for engine in c16 c2; do forget_containerd $engine; done
}

# forget_containerd CTR does so in each of its namespaces.
forget_containerd() {
  local space names
  for space in $("$1" namespaces ls -q); do
    for names in $("$1" -n "$space" tasks ls -q); do "$1" -n "$space" tasks rm -f "$names" >/dev/null || true; done # gone by itself
    names=$("$1" -n "$space" containers ls -q)
    [ -z "$names" ] || "$1" -n "$space" containers rm $names >/dev/null
    names=$("$1" -n "$space" images ls -q)
    [ -z "$names" ] || "$1" -n "$space" images rm --sync $names >/dev/null
  done
}

mkdir -p "$OUT" "$SRC"
made_by=$(cat "$HACK/images.sh" "$HACK"/testdata/cat/* | sha256sum)
if [ "$(cat "$OUT/made-by" 2>/dev/null)" != "$made_by" ]; then
  rm -rf "$OUT"; mkdir -p "$OUT"
  echo "$made_by" >"$OUT/made-by"
fi
from_crane
[ "${1:-}" = portable ] && exit
from_docker20
from_docker28
from_docker28classic
from_skopeo
from_podman
from_containerd
forget

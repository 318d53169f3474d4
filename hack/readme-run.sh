#!/bin/bash
# Runs the README's first command exactly as it stands there, in a store of its
# own, and checks that the name it prints is really served: the manifest and
# every blob, by their digests.
set -euo pipefail
cd "$(dirname "$0")/.."

TIMEOUT=180 # seconds until the server must answer; the build is part of it
say() { echo "readme-run: $*" >&2; }
die() {
	say "$*"
	[ ! -s "$WORK/log" ] || { say "it printed:"; tail -40 "$WORK/log" >&2; }
	exit 1
}

WORK=$(mktemp -d)
pid=
finish() {
	rc=$?
	if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then
		kill -TERM -- "-$pid" 2>/dev/null || true
		wait "$pid" 2>/dev/null || true
	fi
	rm -rf "$WORK"
	exit $rc
}
trap finish EXIT
command -v curl >/dev/null || die "curl is not installed; it is needed to look at what is served"

# first_command prints the first command of README's first code block, without
# its comment.
first_command() {
	awk '/^```/ { if (inside) exit; inside = 1; next }
		inside && NF && !/^#/ { sub(/[ \t]+#.*$/, ""); print; exit }' README.md
}

# names prints the pull names in what the command printed.
names() { grep -oE '^[^ /]+/ciq[a-z2-7]{52}(/[^ ]+)?$' "$WORK/log" || true; }

# get URL FILE fetches, and follows redirects as engines do.
get() {
	curl --silent --show-error --fail --location --max-time 60 --output "$2" \
		-H 'Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json' "$1" ||
		die "GET $1 failed"
}

# digest FILE prints its sha256 digest.
digest() { echo "sha256:$(sha256sum <"$1" | cut -d' ' -f1)"; }

# check_manifest BASE REFERENCE fetches a manifest or index and what it names.
check_manifest() {
	local base=$1 reference=$2 file d
	file=$(mktemp -p "$WORK")
	get "$base/manifests/$reference" "$file"
	case $reference in sha256:*) [ "$(digest "$file")" = "$reference" ] || die "$base/manifests/$reference has digest $(digest "$file")" ;; esac
	for d in $(grep -oE '"digest":"sha256:[0-9a-f]{64}"' "$file" | cut -d'"' -f4 | sort -u); do
		if grep -q '"manifests":' "$file"; then
			check_manifest "$base" "$d"
		else
			get "$base/blobs/$d" "$file.blob"
			[ "$(digest "$file.blob")" = "$d" ] || die "$base/blobs/$d has digest $(digest "$file.blob")"
			blobs=$((blobs + 1)) bytes=$((bytes + $(wc -c <"$file.blob")))
		fi
	done
}

cmd=$(first_command)
[ -n "$cmd" ] || die "README.md has no command in a code block"
say "$cmd"
set -m # a process group of its own, so that all of it can be stopped by pid
env -u IPFS_API -u IPFS_PATH -u IPFS_GATEWAY IMAGE2IPFS_PATH="$WORK/store" bash -c "$cmd" >"$WORK/log" 2>&1 &
pid=$!
set +m

begin=$SECONDS
until [ -n "$(names)" ] && curl --silent --fail --max-time 2 --output /dev/null "http://$(names | head -1 | cut -d/ -f1)/healthz"; do
	kill -0 "$pid" 2>/dev/null || die "the command ended before it served anything"
	[ $((SECONDS - begin)) -lt $TIMEOUT ] || die "nothing is served after $TIMEOUT s"
	sleep 0.2
done
# Another server that has the port already would answer, too.
kill -0 "$pid" 2>/dev/null || die "the command ended"

blobs=0 bytes=0
for name in $(names); do
	rest=${name#*/} reference=latest
	case $rest in
		*@*) reference=${rest#*@} rest=${rest%%@*} ;;
		*:*) reference=${rest##*:} rest=${rest%:*} ;;
	esac
	check_manifest "http://${name%%/*}/v2/$rest" "$reference"
done
[ $blobs -gt 1 ] || die "expected a config and layers, found $blobs blobs"

kill -TERM -- "-$pid"
wait "$pid" || rc=$?
case ${rc:-0} in 0 | 2 | 130 | 143) ;; *) die "it ended with exit code $rc after SIGTERM" ;; esac
pid=
say "$name: served, $blobs blobs and $bytes bytes as their digests say"

#!/bin/bash
# The end-to-end tests: real archives, real engines, one simulated machine.
#
#   hack/e2e.sh [-test.run=REGEXP …]    further flags go to the test binary
#
# Starts the engines (and stops them, unless they ran before), makes the
# archives, builds image2ipfs and runs test/e2e/. Without root or apt it runs what
# can run and says what was left out; with CI=true or STRICT=1 that is a failure.
set -euo pipefail

HACK=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export IMAGE2IPFS_E2E=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
ENGINES=$HACK/engines.sh
OURS=$IMAGE2IPFS_E2E/run/started-by-e2e
MARK=IMAGE2IPFS_E2E_RUN=$IMAGE2IPFS_E2E
STRICT=${STRICT:-}
[ "${CI:-}" != true ] || STRICT=1

say() { echo "e2e: $*" >&2; }

# lacking says what cannot be had here, and fails where it must be had.
lacking() {
  say "LEFT OUT: $*"
  [ -z "$STRICT" ] || { say "and nothing may be left out (CI or STRICT is set)"; exit 1; }
}

# leftovers prints the pids of what a killed run left running: what makes archives
# writes files that this run needs, servers, engines and tests hold ports. They are
# known by their environment. What installs engines and what builds is not among
# them: that is waited for, by its own lock and by that of the run.
leftovers() { grep -lzsFx "$MARK" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

clear_leftovers() {
  local pids tries=100
  while pids=$(leftovers); [ -n "$pids" ]; do
    [ $tries = 100 ] && say "ending what a killed run left:" $pids
    kill -9 $pids 2>/dev/null || true
    [ $((tries--)) -gt 0 ] || { say "cannot end" $pids; exit 1; }
    sleep 0.1
  done
  rm -rf --one-file-system "$IMAGE2IPFS_E2E/tmp"
}

# prepare brings engines and archives up, as far as this machine allows.
prepare() {
  if [ "$(id -u)" != 0 ]; then
    lacking "all engines but crane and skopeo: only root can start them"
  elif ! command -v apt-get >/dev/null; then
    lacking "all engines but crane and skopeo: they are installed with apt, which is not here"
  else
    # Engines that run already are left running, unless a killed run left them.
    if [ -e "$OURS" ] || ! "$ENGINES" status >/dev/null 2>&1; then stop_engines=1; fi
    if "$ENGINES" up && { [ -z "$stop_engines" ] || touch "$OURS"; } && env "$MARK" "$HACK/images.sh"; then return; fi
    lacking "engines or archives: see above"
  fi
  "$ENGINES" tools || lacking "crane, oras and Kubo: they could not be built"
  env "$MARK" "$HACK/images.sh" portable || lacking "archives: see above"
}

# tests runs the test binary, on the simulated machine if there is one, as a
# process group of its own: an interrupted run can end all of it.
tests() {
  local machine=()
  "$ENGINES" run true 2>/dev/null && machine=("$ENGINES" run)
  set -m
  "${machine[@]}" "$IMAGE2IPFS_E2E/bin/e2e.test" -test.timeout 60m -test.parallel 3 "$@" &
  group=$!
  set +m
  wait "$group"
}

finish() {
  [ -z "$group" ] || kill -- "-$group" 2>/dev/null || true
  [ -z "$stop_engines" ] || "$ENGINES" down
  rm -rf --one-file-system "$IMAGE2IPFS_E2E/tmp"
}

mkdir -p "$IMAGE2IPFS_E2E/bin"
exec 9>"$IMAGE2IPFS_E2E/lock"
flock -n 9 || { say "another run uses $IMAGE2IPFS_E2E; waiting for it"; flock 9; }
clear_leftovers
mkdir -p "$IMAGE2IPFS_E2E/tmp"

group= stop_engines=
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

begin=$SECONDS
cd "$HACK/.."
prepare 9>&-
CGO_ENABLED=0 go build -trimpath -o "$IMAGE2IPFS_E2E/bin/image2ipfs" ./cmd/image2ipfs # as released: it runs in images without libc
CGO_ENABLED=0 go build -o "$IMAGE2IPFS_E2E/bin/mkimage" ./hack/mkimage
go build -C docs/examples/containerd-pull -o "$IMAGE2IPFS_E2E/bin/containerd-pull" .
CGO_ENABLED=0 go build -C test/partial -o "$IMAGE2IPFS_E2E/bin/partial" .
CGO_ENABLED=0 go build -C test/stargz -o "$IMAGE2IPFS_E2E/bin/stargz" .
go test -c -tags e2e -o "$IMAGE2IPFS_E2E/bin/e2e.test" ./test/e2e
say "prepared in $((SECONDS - begin)) s"

set -a
eval "$("$ENGINES" env)"
E2E_IMAGE2IPFS=$IMAGE2IPFS_E2E/bin/image2ipfs
E2E_MKIMAGE=$IMAGE2IPFS_E2E/bin/mkimage
E2E_EXAMPLE=$IMAGE2IPFS_E2E/bin/containerd-pull
E2E_PARTIAL=$IMAGE2IPFS_E2E/bin/partial
E2E_STARGZ=$IMAGE2IPFS_E2E/bin/stargz
TMPDIR=$IMAGE2IPFS_E2E/tmp
STRICT=$STRICT
export "$MARK"
set +a
rc=0
tests "$@" 9>&- || rc=$?
group=
say "took $((SECONDS - begin)) s, exit $rc"
exit $rc

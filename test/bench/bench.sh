#!/bin/bash
# Measures image2ipfs beside what one would use instead:
#
#   test/bench/bench.sh             everything; results go to docs/benchmarks.md
#   test/bench/bench.sh FLAG…       flags of test/bench, see main.go; results go
#                                   to standard output
#
# As root on Debian it installs what is missing (no service is started) and
# makes its inputs with debootstrap. A quiet machine gives the best figures;
# ratios are fair on a busy one too, since contenders take turns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export IMAGE2IPFS_E2E=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
PACKAGES="skopeo docker-registry nginx-light pigz containerd debootstrap curl openssl"

packages() {
  local c missing=
  for c in skopeo docker-registry nginx pigz containerd ctr debootstrap curl openssl; do
    command -v $c >/dev/null || missing=1
  done
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "bench: some of these are missing, and what needs them is left out: $PACKAGES" >&2
    return 0
  fi
  local policy=/usr/sbin/policy-rc.d ours= rc=0
  [ -e $policy ] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES; } >&2 || rc=$?
  [ -z "$ours" ] || rm -f $policy
  return $rc
}

packages
[ -x "$IMAGE2IPFS_E2E/bin/ipfs" ] || hack/engines.sh tools
if [ $# -gt 0 ]; then
  exec go run ./test/bench "$@"
fi
results=$(mktemp)
trap 'rm -f "$results"' EXIT
go run ./test/bench -o "$results" || { cat "$results"; exit 1; }
{ sed '/^<!-- results/,$d' docs/benchmarks.md; echo '<!-- results: everything below is written by make bench -->'; echo; cat "$results"; } >docs/benchmarks.md.new
mv docs/benchmarks.md.new docs/benchmarks.md

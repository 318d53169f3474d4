#!/bin/bash
# Measures how images spread between machines, which are network namespaces on
# this one, and writes the results to docs/benchmarks.md and docs/spread.svg:
#
#   test/p2p/p2p.sh [FLAG…]     flags of test/p2p, see main.go
#
# Needs root and Debian; it installs what is missing (no service is started) and
# makes its images with debootstrap. Results are written when all was measured:
# with -only they are printed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PACKAGES="skopeo docker-registry containerd iproute2 debootstrap"

packages() {
  local c missing=
  for c in skopeo docker-registry containerd ctr ip tc debootstrap; do
    command -v $c >/dev/null || missing=1
  done
  [ -n "$missing" ] || return 0
  local policy=/usr/sbin/policy-rc.d ours= rc=0
  [ -e $policy ] || { ours=1; printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; }
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $PACKAGES; } >&2 || rc=$?
  [ -z "$ours" ] || rm -f $policy
  return $rc
}

[ "$(id -u)" = 0 ] || { echo "p2p: only root can make network namespaces" >&2; exit 1; }
packages
case " $* " in *" -only"*) exec go run ./test/p2p "$@" ;; esac
doc=docs/benchmarks.md
begin='<!-- machine to machine: written by make bench-p2p -->'
end='<!-- end of what make bench-p2p writes -->'
grep -qxF -- "$begin" $doc && grep -qxF -- "$end" $doc || { echo "p2p: $doc lacks the lines between which results go: $begin and $end" >&2; exit 1; }
results=$(mktemp)
trap 'rm -f "$results"' EXIT
go run ./test/p2p -chart docs/spread.svg -o "$results" "$@" || { cat "$results"; exit 1; }
awk -v begin="$begin" -v end="$end" -v results="$results" '
  $0 == end && skip { print ""; skip = 0 }
  !skip { print }
  $0 == begin { print ""; while ((getline line < results) > 0) print line; skip = 1 }' $doc >$doc.new
mv $doc.new $doc

#!/bin/bash
# Measures image2ipfs beside what one would use instead:
#
#   test/bench/bench.sh             everything; results go to docs/benchmarks.md
#   test/bench/bench.sh FLAG…       flags of test/bench, see main.go; results go
#                                   to standard output
#   test/bench/bench.sh lazy FLAG…  lazy pulls beside whole ones, by the engines of
#                                   hack/engines.sh and in their machine; results go to
#                                   docs/benchmarks.md, README.md and docs/lazy.svg, or
#                                   with -o, -chart and -table where these say
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

# between FILE BEGIN END TEXT puts a text between two lines of a file.
between() {
  grep -qxF -- "$2" "$1" && grep -qxF -- "$3" "$1" || { echo "bench: $1 lacks the lines between which results go: $2 and $3" >&2; return 1; }
  awk -v begin="$2" -v end="$3" -v results="$4" '
    $0 == end && skip { print ""; skip = 0 }
    !skip { print }
    $0 == begin { print ""; while ((getline line < results) > 0) print line; skip = 1 }' "$1" >"$1.new"
  mv "$1.new" "$1"
}

# lazily runs in the engines' machine, with Go's caches of this one.
lazily() {
  hack/engines.sh up >&2
  # shellcheck disable=SC2016 # the machine's shell expands it: its own path to here
  local in_machine=(hack/engines.sh run sh -c 'cd "$0" && exec "$@"' "$PWD" env "GOCACHE=$(go env GOCACHE)" "GOMODCACHE=$(go env GOMODCACHE)" "GOPATH=$(go env GOPATH)" GOPROXY=off)
  case " $* " in *" -o "* | *" -chart "* | *" -table "*) exec "${in_machine[@]}" go run ./test/bench -only lazy "$@" ;; esac
  results=$(mktemp -d)
  trap 'rm -rf "$results"' EXIT
  "${in_machine[@]}" go run ./test/bench -only lazy -chart docs/lazy.svg -table "$results/table" -o "$results/all" "$@" || { cat "$results/all"; exit 1; }
  sed -i 's/^##/###/' "$results/all"
  local end='<!-- end of what make bench-lazy writes -->' begin='<!-- lazy: written by make bench-lazy -->'
  between docs/benchmarks.md "$begin" "$end" "$results/all" && between README.md "$begin" "$end" "$results/table"
  exit
}

packages
[ "${1:-}" != lazy ] || lazily "${@:2}"
[ -x "$IMAGE2IPFS_E2E/bin/ipfs" ] || hack/engines.sh tools
if [ $# -gt 0 ]; then
  exec go run ./test/bench "$@"
fi
results=$(mktemp)
trap 'rm -f "$results"' EXIT
go run ./test/bench -o "$results" || { cat "$results"; exit 1; }
{ sed '/^<!-- results/,$d' docs/benchmarks.md; echo '<!-- results: everything below is written by make bench -->'; echo; cat "$results"; } >docs/benchmarks.md.new
mv docs/benchmarks.md.new docs/benchmarks.md

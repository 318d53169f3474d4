#!/bin/bash
# Runs every fuzz target of the module for a while, as many at once as there
# are processors.
#
#   hack/fuzz.sh [TIME]     20s for each by default; 5000x is a number of runs
#   FUZZ=REGEXP hack/fuzz.sh 10m     only the targets that match, as PACKAGE.Name
#
# What fails is printed and kept in the package's testdata/fuzz, where from then
# on every run of the tests tries it. What was found to be interesting is kept
# in FUZZ_CORPUS (default: in Go's cache), so that the next run goes on there.
set -euo pipefail
cd "$(dirname "$0")/.."

TIME=${1:-20s}
CORPUS=${FUZZ_CORPUS:-$(go env GOCACHE)/image2ipfs-fuzz}
JOBS=${JOBS:-$(nproc 2>/dev/null || echo 2)}
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# targets prints "PACKAGE Name" for each.
targets() {
	git grep --untracked -E '^func Fuzz[A-Za-z0-9_]*\(' -- '*_test.go' |
		sed -E 's#^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]*)\(.*#\1 \2#' | sort -u |
		while read -r pkg name; do [[ ! $pkg.$name =~ ${FUZZ:-.} ]] || echo "$pkg $name"; done
}

# build makes the instrumented test of a package, once for all its targets.
build() {
	local out=$WORK/${1//\//_}.test
	CGO_ENABLED=0 go test -C "$1" -c -fuzz=Fuzz -o "$out" . || { echo "FAIL $1: does not build"; return 1; }
}

# deadline tells whether all that failed is Go's own end of a run: before Go 1.27
# the coordinator now and then reports the end of fuzztime as a failure
# (go.dev/issue/75804). A real one names the input that failed, or a panic.
deadline() {
	[ "$(sed -n '/^--- FAIL/,$p' "$1" | sed 1d | tr -d ' \n')" = contextdeadlineexceededFAIL ]
}

# one runs a target; one processor each.
one() {
	local pkg=$1 name=$2 log begin=$SECONDS rc=0
	log=$WORK/${pkg//\//_}.$name.log
	(cd "$pkg" && "$WORK/${pkg//\//_}.test" -test.run='^$' -test.fuzz="^$name\$" -test.fuzztime="$TIME" \
		-test.fuzzminimizetime=1x -test.parallel=1 -test.fuzzcachedir="$CORPUS/$pkg" -test.timeout=0) >"$log" 2>&1 || rc=$?
	if [ $rc != 0 ] && ! deadline "$log"; then
		sed "s#^#  #" "$log"
		echo "FAIL $pkg.$name"
		return 1
	fi
	echo "ok   $pkg.$name $((SECONDS - begin)) s, $(grep -oE 'execs: [0-9]+' "$log" | tail -1), $(grep -oE 'interesting: [0-9]+' "$log" | tail -1)"
}
export -f one build deadline
export WORK TIME CORPUS

targets >"$WORK/targets"
[ -s "$WORK/targets" ] || { echo "no fuzz target matches ${FUZZ:-}" >&2; exit 2; }
begin=$SECONDS
cut -d' ' -f1 "$WORK/targets" | sort -u | while read -r pkg; do build "$pkg"; done
echo "$(wc -l <"$WORK/targets") targets built in $((SECONDS - begin)) s, $TIME for each, $JOBS at once"
xargs -P "$JOBS" -L 1 bash -c 'one "$@"' one <"$WORK/targets"
echo "all done in $((SECONDS - begin)) s"

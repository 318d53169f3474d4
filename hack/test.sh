#!/bin/bash
# What `make test` runs, cheapest first: formatting and lint, unit tests under the
# race detector (those of the Kubo store with a real Kubo; RACE=all: of all packages),
# the tests of large files, every fuzz target for some seconds (FUZZTIME), the program
# killed KILLS times (test/crash) and attacked for some seconds (test/attack), then
# real engines end to end (hack/e2e.sh). What the later steps need is downloaded and
# built beside the first. hack/test-all.sh runs more, for longer.
set -euo pipefail
cd "$(dirname "$0")/.."
export IMAGE2IPFS_E2E=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
export KUBO_BIN=$IMAGE2IPFS_E2E/bin/ipfs PROMTOOL=$IMAGE2IPFS_E2E/bin/promtool
mkdir -p "$IMAGE2IPFS_E2E/bin" "$IMAGE2IPFS_E2E/log"

step() {
	local begin=$SECONDS name=$1
	shift
	echo "test: $name: $*"
	"$@"
	echo "test: $name took $((SECONDS - begin)) s"
}

# large runs what -short leaves out, without the race detector, which makes GiBs
# take minutes: the tests that ask testing.Short, wherever they are.
large() {
	local found names packages
	found=$(git grep --untracked -l 'testing\.Short()' -- '*_test.go' | xargs awk '
		FNR == 1 { test = ""; dir = FILENAME; sub("/[^/]*$", "", dir) }
		/^func / { test = $2; sub(/\(.*/, "", test) }
		/testing\.Short\(\)/ { print "./" dir, test }' | sort -u)
	names=$(cut -d' ' -f2 <<<"$found" | paste -sd'|')
	packages=$(cut -d' ' -f1 <<<"$found" | sort -u)
	[[ ! $found =~ \ [^T] ]] || { echo "testing.Short is asked outside of a test: $found" >&2; return 1; }
	go test -timeout 20m -run "^($names)\$" $packages
}

hack/engines.sh install >"$IMAGE2IPFS_E2E/log/install.log" 2>&1 &
install=$!
trap '[ -z "$install" ] || kill "$install" 2>/dev/null || true' EXIT

step lint hack/lint.sh
if ! step "engines and tools" wait $install; then
	tail -5 "$IMAGE2IPFS_E2E/log/install.log" >&2
	hack/engines.sh tools # without root, or without Debian: these are to be had all the same
fi
install= # it has ended, and another process may get its number
# These compute, or wait for a Kubo of another build: the race detector would make
# minutes of them, and make test-all has it. Several packages run at once since some wait.
computing='/(cmd/image2ipfs|layer|oci|publish|ipfs/kubo|registry/legacy|registry/layout)$'
step "unit tests" go test -race -short -p 4 -timeout 30m $(go list ./... | grep -vE "$computing")
step "unit tests of what computes" go test ${RACE:+-race} -short -p 4 -timeout 30m $(go list ./... | grep -E "$computing")
step "large files" large
[ -z "${FUZZTIME:-}" ] || step fuzz hack/fuzz.sh "$FUZZTIME"
go build -o "$IMAGE2IPFS_E2E/bin/image2ipfs-crash" ./cmd/image2ipfs
step crash go run ./test/crash -binary "$IMAGE2IPFS_E2E/bin/image2ipfs-crash" -kills "${KILLS:-40}"
if [ "$(uname)" = Linux ]; then # attackers need an address of their own, and /proc tells the memory
	step attacks go run ./test/attack -binary "$IMAGE2IPFS_E2E/bin/image2ipfs-crash" -for 4s -scale 8 -start 10s -peer-start 50s
fi
step "end to end" hack/e2e.sh
echo "test: all of it took $SECONDS s"

#!/bin/bash
# What `make test-all` runs: all that `make test` does, for longer where chance
# plays a part, and what takes long or needs much. From a machine with caches it
# takes about two hours; FUZZTIME, KILLS and LOAD change how long.
set -euo pipefail
cd "$(dirname "$0")/.."
export IMAGE2IPFS_E2E=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}

hack/engines.sh extras
export E2E_EXTRAS=1 # and the end-to-end tests that use them may not be left out
export RETENTION_IMAGES=100
RACE=all FUZZTIME=${FUZZTIME:-2m} KILLS=${KILLS:-300} hack/test.sh
hack/kubernetes-test.sh
KUBO_BIN=$IMAGE2IPFS_E2E/bin/ipfs030 go test -count=1 -timeout 20m ./ipfs/kubo
go build -o "$IMAGE2IPFS_E2E/bin/image2ipfs-load" ./cmd/image2ipfs
for redirect in false true; do
	go run ./test/load -binary "$IMAGE2IPFS_E2E/bin/image2ipfs-load" -clients 200 -images 50 -for "${LOAD:-5m}" -redirect=$redirect
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	test/clients/clients.sh "$IMAGE2IPFS_E2E/bin/image2ipfs-load" "$IMAGE2IPFS_E2E/bin/lassie"
	test/browser/browser.sh "$IMAGE2IPFS_E2E/bin/image2ipfs-load"
	hack/wine.sh
	hack/packages-test.sh
else
	echo "test-all: LEFT OUT: clients of gateways, the page in Chromium, the Windows binary under Wine, and packages on Debian, for which only root on Debian can install what they need"
	[ "${CI:-}" != true ] || exit 1
fi
echo "test-all: all of it took $SECONDS s"

#!/bin/bash
# Everything that is tested: formatting and vet, unit tests under the race
# detector (those of the Kubo engine with a real Kubo), every fuzz target for a
# while (FUZZTIME), the program killed KILLS times (test/crash), then real
# engines end to end (hack/e2e.sh).
set -euo pipefail
hack/lint.sh
export IMAGE2IPFS_E2E=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
mkdir -p "$IMAGE2IPFS_E2E"
hack/engines.sh tools
export KUBO_BIN=$IMAGE2IPFS_E2E/bin/ipfs
go test -race -short -timeout 10m ./...
go test -timeout 5m ./ipfs # files of more than 1 GiB, too slow under the race detector
go test -timeout 5m -run 'Bomb|Sparse' ./archive ./publish # the same
hack/fuzz.sh "${FUZZTIME:-20s}"
go build -o "$IMAGE2IPFS_E2E/bin/image2ipfs" ./cmd/image2ipfs
go run ./test/crash -binary "$IMAGE2IPFS_E2E/bin/image2ipfs" -kills "${KILLS:-40}"
hack/e2e.sh

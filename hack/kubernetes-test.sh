#!/bin/bash
# The manifests of deploy/kubernetes against the types of Kubernetes' API, by kustomize
# and helm, which is built of Go's modules where it is not there yet.
set -euo pipefail
cd "$(dirname "$0")/.."

HACK=$PWD/hack
WORK=${IMAGE2IPFS_E2E:-${TMPDIR:-/tmp}/image2ipfs-e2e}
say() { echo "kubernetes-test: $*" >&2; }
. "$HACK/tools.sh"
installed "$HELM"
HELM=$WORK/bin/helm go -C test/kubernetes test -count=1 ./...

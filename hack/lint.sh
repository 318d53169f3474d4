#!/bin/bash
# gofmt, golangci-lint with .golangci.yml (go vet and staticcheck are in it), go
# vet and the tests compiled for macOS and Windows, go.mod being tidy, functions that
# nothing reaches, govulncheck, and whether the command reference is up to date. The
# tools are built from source at these versions, once (golangci-lint takes up to three minutes of a small machine).
set -euo pipefail
cd "$(dirname "$0")/.."

GOLANGCI=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
DEADCODE=golang.org/x/tools/cmd/deadcode@v0.49.0
GOVULNCHECK=golang.org/x/vuln/cmd/govulncheck@v1.1.4

# tool MODULE@VERSION prints the path of the built tool.
tool() {
	local name=${1%@*} dir
	name=${name##*/}
	dir=${LINT_TOOLS:-$(go env GOPATH)/bin/image2ipfs-lint}/$name-${1##*@}
	if [ ! -x "$dir/$name" ]; then
		echo "lint: building $1" >&2
		GOBIN=$dir GOFLAGS= go install "$1" >&2
	fi
	echo "$dir/$name"
}

unformatted=$(gofmt -l $(git ls-files --cached --others --exclude-standard '*.go' | while read -r f; do [ ! -e "$f" ] || echo "$f"; done))
if [ -n "$unformatted" ]; then
	echo "not formatted with gofmt:" $unformatted >&2
	exit 1
fi
go -C docs/examples/containerd-pull vet ./...
CGO_ENABLED=0 go -C test/partial vet ./...
go -C test/kubernetes vet ./...
CGO_ENABLED=0 go -C test/stargz vet ./...
CGO_ENABLED=0 go -C test/browser vet ./...
# Of the other systems what is released is vetted, and its tests are compiled, which
# go list -export does without linking them; what is in hack/ and test/ is not released.
released=$(go list ./... | grep -vE "/(hack|test)/")
for os in darwin windows; do
	GOOS=$os CGO_ENABLED=0 go vet -trimpath $released # what was built in another directory counts
	GOOS=$os CGO_ENABLED=0 go list -trimpath -export -test -f '{{""}}' $released >/dev/null
done

golangci=$(tool "$GOLANGCI")
"$golangci" run ./...

go mod tidy -diff

deadcode=$(tool "$DEADCODE")
dead=$("$deadcode" -test -tags e2e ./...)
if [ -n "$dead" ]; then
	echo "neither a program nor a test reaches:" "$dead" >&2
	exit 1
fi

# Its database is on the network. Where that cannot be reached the check is left
# out, and this says so; GOVULNDB names a copy, such as file:///….
govulncheck=$(tool "$GOVULNCHECK")
if ! report=$("$govulncheck" ${GOVULNDB:+-db "$GOVULNDB"} ./... 2>&1); then
	case $report in
	*"fetching vulnerabilities"*)
		echo "lint: LEFT OUT: govulncheck: its database cannot be reached from here; known vulnerabilities were not looked for" ;;
	*)
		echo "$report" >&2
		exit 1 ;;
	esac
fi

hack/docs-check.sh

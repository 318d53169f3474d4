#!/bin/bash
# gofmt, go vet (also for the platforms that are released), golangci-lint with
# .golangci.yml (staticcheck is in it), govulncheck, and whether the command
# reference is up to date. The tools are built from source at these versions,
# once (golangci-lint takes up to three minutes of a small machine).
set -euo pipefail
cd "$(dirname "$0")/.."

GOLANGCI=github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
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
go vet ./...
go vet -tags e2e ./test/...
go -C docs/examples/containerd-pull vet ./...
for os in darwin windows; do
	GOOS=$os go vet $(go list ./... | grep -vE "/(hack|test)/") # what is in hack/ and test/ is not released
done

golangci=$(tool "$GOLANGCI")
"$golangci" run ./...

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

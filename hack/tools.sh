# Clients and servers that are built of Go modules, which needs no root: for
# hack/engines.sh, which sources this file and has WORK and HACK set.

# Module or command, and its version.
CRANE=github.com/google/go-containerregistry/cmd/crane@v0.22.1
ORAS=oras.land/oras/cmd/oras@v1.3.6
REGCTL=github.com/regclient/regclient/cmd/regctl@v0.11.7
NERDCTL=github.com/containerd/nerdctl/v2@v2.2.1
CONFORMANCE=github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111
COSIGN=github.com/sigstore/cosign/v2/cmd/cosign@v2.6.5
COSIGN3=github.com/sigstore/cosign/v3/cmd/cosign@v3.1.3
CLUSTER=github.com/ipfs-cluster/ipfs-cluster/cmd/ipfs-cluster-service@v1.1.6
HELM=helm.sh/helm/v3/cmd/helm@v3.19.2

# built FILE VERSION succeeds if the tool was built as this version; what stands
# beside it says so, since neither time nor name do.
built() { [ -x "$WORK/bin/$1" ] && [ "$(cat "$WORK/bin/$1.version" 2>/dev/null)" = "$2" ]; }

# installed MODULE… builds commands at their versions, once.
installed() {
  local module name
  mkdir -p "$WORK/bin"
  for module; do
    name=${module%@*} name=${name##*/}
    built "$name" "$module" && continue
    say "building $name"
    GOBIN=$WORK/bin go install "$module"
    echo "$module" >"$WORK/bin/$name.version"
  done
}

# cosign3 builds cosign of version 3 beside that of version 2, which has the same name.
cosign3() {
  built cosign3 "$COSIGN3" && return
  say "building cosign 3"
  mkdir -p "$WORK/bin/of3"
  GOBIN=$WORK/bin/of3 go install "$COSIGN3"
  mv "$WORK/bin/of3/cosign" "$WORK/bin/cosign3"
  rmdir "$WORK/bin/of3"
  echo "$COSIGN3" >"$WORK/bin/cosign3.version"
}

tools() {
  installed "$CRANE" "$REGCTL" "$ORAS"
  pinned ipfs kubo github.com/ipfs/kubo/cmd/ipfs
}

# pinned FILE DIRECTORY COMMAND builds a command of a module below hack/tools, which
# has the sums of all that it takes, once.
pinned() {
  local sums
  sums=$(cat "$HACK/tools/$2"/go.{mod,sum} | sha256sum)
  built "$1" "$sums" && return
  say "building $1 (minutes, once)"
  (cd "$HACK/tools/$2" && go build -trimpath -o "$WORK/bin/$1" "$3")
  echo "$sums" >"$WORK/bin/$1.version"
}

# nerdctl builds it in a copy of its module without what its tests alone need: that
# is a module for which go.mod names a directory, and so not to be had.
nerdctl() {
  built nerdctl "$NERDCTL" && return
  say "building nerdctl"
  local source copy=$WORK/sources/nerdctl
  source=$(go mod download -json "$NERDCTL" | sed -n 's/^\t*"Dir": "\(.*\)",$/\1/p')
  rm -rf "$copy"
  mkdir -p "$WORK/sources"
  cp -R "$source" "$copy"
  chmod -R u+w "$copy"
  (
    cd "$copy"
    rm -rf pkg/testutil cmd/nerdctl/helpers/testing*.go
    go mod edit -droprequire github.com/containerd/nerdctl/mod/tigron -dropreplace github.com/containerd/nerdctl/mod/tigron@v0.0.0
    GOFLAGS=-mod=mod CGO_ENABLED=0 go build -trimpath -o "$WORK/bin/nerdctl" ./cmd/nerdctl
  )
  rm -rf "$copy"
  echo "$NERDCTL" >"$WORK/bin/nerdctl.version"
}

extras() {
  tools
  installed "$COSIGN" "$CONFORMANCE" "$HELM" "$CLUSTER"
  nerdctl
  cosign3
  pinned ipfs030 kubo030 github.com/ipfs/kubo/cmd/ipfs # the oldest Kubo that is promised to work
  pinned lassie lassie github.com/filecoin-project/lassie/cmd/lassie
}

//go:build e2e

// States of the Kubernetes distributions that bring a containerd of their own. Their
// programs are stood in for: each makes its containerd's files as the real one does,
// for a real containerd.

package e2e

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var clusterStates = []state{
	{name: "not set up", kind: "k3s", engine: "containerd16", next: "image2ipfs setup k3s --yes --server", enter: rancher("k3s", "k3s", "server")},
	{name: "not set up, an agent", kind: "k3s", engine: "containerd16", next: "sudo systemctl restart k3s-agent", enter: rancher("k3s", "k3s-agent", "agent")},
	{name: "set up, not restarted", kind: "k3s", engine: "containerd16", next: "sudo systemctl restart k3s", enter: func(t *testing.T, w *ward) {
		rancher("k3s", "k3s", "server")(t, w)
		w.must(t, "image2ipfs setup k3s --yes --server "+w.l.url())
	}},
	{name: "not set up", kind: "rke2", engine: "containerd16", next: "sudo systemctl restart rke2-server", enter: rancher("rke2", "rke2-server", "server")},
	{name: "not set up", kind: "microk8s", engine: "containerd16", next: "image2ipfs setup microk8s --yes --server", enter: microk8s},
	{name: "not set up", kind: "k0s", engine: "containerd16", next: "image2ipfs setup k0s --yes --server", settled: k0sSettled, enter: func(t *testing.T, w *ward) { k0s(t, w, k0sWatches) }},
	{name: "an old version, which looks at its files when it starts", kind: "k0s", engine: "containerd16", next: "image2ipfs setup k0s --yes --server", enter: func(t *testing.T, w *ward) { k0s(t, w, "wait $c; exit") }},
}

// rancher runs a stand-in for K3s or RKE2 by a unit.
func rancher(name, unit, role string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) {
		t.Helper()
		w.tool(t, name, strings.ReplaceAll(rancherScript, "NAME", name))
		if err := os.MkdirAll(w.outer("etc/rancher/"+name), 0o755); err != nil {
			t.Fatal(err)
		}
		w.unit(t, unit, "/run/k3s/containerd/containerd.sock", w.inner("bin/"+name), role, w.inner("root"))
		w.must(t, "systemctl start "+unit)
	}
}

// rancherScript makes certs.d of registries.yaml and starts a containerd.
const rancherScript = `#!/bin/sh
d=/var/lib/rancher/NAME/agent/etc/containerd
mkdir -p $d/certs.d/docker.io /run/k3s/containerd
sed -n 's/^ *- "\(http.*\)"$/[host."\1"]/p' /etc/rancher/NAME/registries.yaml 2>/dev/null >$d/certs.d/docker.io/hosts.toml
printf 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "%s"\n' $d/certs.d >$d/config.toml
exec containerd --config $d/config.toml --root "$2" --state /run/k3s/containerd/state --address /run/k3s/containerd/containerd.sock
`

// microk8s runs a stand-in for MicroK8s, below a /var/snap of its own.
func microk8s(t *testing.T, w *ward) {
	t.Helper()
	snap := filepath.Join("/", w.root, "var/snap")
	if _, err := os.Stat(snap); errors.Is(err, fs.ErrNotExist) {
		t.Cleanup(func() {
			if err := os.Remove(snap); err != nil {
				t.Error(err)
			}
		})
	}
	w.tool(t, "microk8s", microk8sScript)
	w.unit(t, "snap.microk8s.daemon-containerd", "/var/snap/microk8s/common/run/containerd.sock", w.inner("bin/microk8s"), w.inner("root"))
	w.must(t, "mkdir -p /var/snap && mount -t tmpfs tmpfs /var/snap && systemctl start snap.microk8s.daemon-containerd")
}

// microk8sScript has the files that MicroK8s brings.
const microk8sScript = `#!/bin/sh
d=/var/snap/microk8s/current/args
mkdir -p $d/certs.d/docker.io /var/snap/microk8s/common/run
printf 'server = "https://docker.io"\n\n[host."https://registry-1.docker.io"]\n  capabilities = ["pull", "resolve"]\n' >$d/certs.d/docker.io/hosts.toml
printf 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "${SNAP_DATA}/args/certs.d"\n' >$d/containerd-template.toml
sed 's,${SNAP_DATA},/var/snap/microk8s/current,' $d/containerd-template.toml >$d/containerd.toml
exec containerd --config $d/containerd.toml --root "$1" --state /var/snap/microk8s/common/run/containerd --address /var/snap/microk8s/common/run/containerd.sock
`

// k0s runs a stand-in for k0s, which in its loop does what watch says, a shell's line.
func k0s(t *testing.T, w *ward, watch string) {
	t.Helper()
	w.write(t, "etc/k0s/containerd.toml", "# k0s_managed=true\nversion = 2\nimports = [\"/run/k0s/containerd-cri.toml\"]\n")
	w.tool(t, "k0sd", strings.ReplaceAll(k0sScript, "WATCH", watch))
	w.tool(t, "k0s", "#!/bin/sh\nexec systemctl \"$1\" k0scontroller\n")
	w.unit(t, "k0scontroller", "/run/k0s/containerd.sock", w.inner("bin/k0sd"), w.inner("root"))
	w.must(t, "k0s start")
}

// k0sWatches waits until the drop-ins have changed.
const k0sWatches = `while [ "$(sum)" = "$before" ]; do sleep 0.1; done`

// k0sSettled waits until it has started its containerd with the drop-in.
func k0sSettled(t *testing.T, w *ward) {
	t.Helper()
	eventually(t, "k0s starts its containerd anew", func() error {
		return w.does(t, "grep -q config_path /run/k0s/containerd-cri.toml && ctr --address /run/k0s/containerd.sock version")
	})
}

// k0sScript makes containerd's CRI configuration of the drop-ins.
const k0sScript = `#!/bin/sh
mkdir -p /run/k0s /etc/k0s/containerd.d
sum() { cat /etc/k0s/containerd.d/*.toml 2>/dev/null | cksum; }
trap 'kill $c; wait $c; exit 0' TERM
while :; do
  before=$(sum)
  { cat /etc/k0s/containerd.d/*.toml 2>/dev/null || echo 'version = 2'; } >/run/k0s/containerd-cri.toml
  containerd --config /etc/k0s/containerd.toml --root "$1" --state /run/k0s/containerd --address /run/k0s/containerd.sock &
  c=$!
  WATCH
  kill $c; wait $c
done
`

//go:build e2e

package e2e

import (
	"os"
	"strings"
	"testing"
)

// started has the engine run with these files, by their path in the box.
func started(kind string, files map[string]string) func(*testing.T, *ward) {
	return func(t *testing.T, w *ward) {
		t.Helper()
		for name, text := range files {
			w.write(t, name, strings.ReplaceAll(text, "SERVER", w.l.url()))
		}
		switch kind {
		case "docker":
			w.dockerd(t, true)
			w.must(t, "systemctl start docker")
		case "containerd":
			w.containerd(t)
			w.must(t, "systemctl start containerd")
		case "podman":
			w.policy(t)
		}
	}
}

const (
	daemonFile = "etc/docker/daemon.json"
	configFile = "etc/containerd/config.toml"
	hubFile    = "etc/containerd/certs.d/docker.io/hosts.toml"
)

var states = []state{
	{name: "not set up", kind: "docker", engine: "dockerd20", short: true, enter: started("docker", nil), next: "image2ipfs setup docker --yes --server"},
	{name: "set up, not reloaded", kind: "docker", engine: "dockerd20", next: "sudo systemctl reload docker", enter: func(t *testing.T, w *ward) {
		started("docker", nil)(t, w)
		w.must(t, "image2ipfs setup docker --yes --server "+w.l.url())
	}},
	{name: "mirrors on its command line", kind: "docker", engine: "dockerd20", next: "by hand, since setup cannot", enter: func(t *testing.T, w *ward) {
		w.dockerd(t, true, "--registry-mirror", "http://127.0.0.1:9")
		w.must(t, "systemctl start docker")
	}, byHand: func(t *testing.T, w *ward, advice string) {
		flag := "--registry-mirror " + w.l.url()
		if !strings.Contains(advice, "write "+flag+" in front of it") {
			t.Fatalf("nothing tells what to write: %s", advice)
		}
		w.dockerd(t, true, flag, "--registry-mirror", "http://127.0.0.1:9")
		w.must(t, "systemctl daemon-reload && systemctl restart docker")
	}},
	{name: "hangs", kind: "docker", engine: "dockerd20", says: "no answer within", next: "dockerd hangs", args: []string{"--timeout", "15s"}, enter: func(t *testing.T, w *ward) {
		started("docker", map[string]string{daemonFile: `{"registry-mirrors": ["SERVER"]}`})(t, w)
		w.must(t, "kill -STOP $(cat /run/box-docker.pid)")
	}},
	{name: "has died", kind: "docker", engine: "dockerd20", next: "sudo systemctl start docker", enter: func(t *testing.T, w *ward) {
		started("docker", map[string]string{daemonFile: `{"registry-mirrors": ["SERVER"]}`})(t, w)
		w.must(t, "kill -9 $(pidof dockerd containerd)")
	}},
	{name: "the server's authority is not known to it", kind: "docker", engine: "dockerd20", next: "sudo install -D CA.crt /etc/docker/certs.d/" + notLoopback + ":", enter: func(t *testing.T, w *ward) {
		w.l = secureServer(t, w)
		started("docker", map[string]string{daemonFile: `{"registry-mirrors": ["SERVER"]}`})(t, w)
	}},
	{name: "not set up", kind: "containerd", engine: "containerd16", enter: started("containerd", nil), next: "image2ipfs setup containerd --yes --server"},
	{name: "set up, not restarted", kind: "containerd", engine: "containerd16", next: "sudo systemctl restart containerd", enter: func(t *testing.T, w *ward) {
		started("containerd", nil)(t, w)
		w.must(t, "image2ipfs setup containerd --yes --server "+w.l.url())
	}},
	{name: "CRI does not load", kind: "containerd", engine: "containerd16", says: "CRI failed to load", next: "take out what stands beside config_path", enter: func(t *testing.T, w *ward) {
		started("containerd", map[string]string{
			configFile: "version = 2\n" + registryOf1 + "config_path = \"/etc/containerd/certs.d\"\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\nendpoint = [\"http://127.0.0.1:9\"]\n",
			hubFile:    "[host.\"SERVER\"]\n",
		})(t, w)
	}, byHand: func(t *testing.T, w *ward, _ string) {
		w.write(t, configFile, "version = 2\n"+registryOf1+"config_path = \"/etc/containerd/certs.d\"\n")
		w.must(t, "sudo systemctl restart containerd")
	}},
	{name: "a drop-in that takes the default runtime away", kind: "containerd", engine: "containerd16", says: "default_runtime_name", next: "mend what it names", enter: started("containerd", map[string]string{
		configFile:                          "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n",
		"etc/containerd/conf.d/nvidia.toml": "version = 2\n" + registryOf1 + "config_path = \"/etc/containerd/certs.d\"\n" + runtimeOf("nvidia"),
		hubFile:                             "[host.\"SERVER\"]\n",
	}), byHand: func(t *testing.T, w *ward, _ string) {
		w.write(t, "etc/containerd/conf.d/nvidia.toml", "version = 2\n"+registryOf1+"config_path = \"/etc/containerd/certs.d\"\n"+runtimeOf("runc")+runtimeOf("nvidia"))
		w.must(t, "sudo systemctl restart containerd")
	}},
	{name: "an IPv6 address that containerd 1 does not read", kind: "containerd", engine: "containerd16", says: "is not read by this containerd", next: "give the address a name in /etc/hosts", enter: func(t *testing.T, w *ward) {
		started("containerd", map[string]string{
			configFile: "version = 2\n" + registryOf1 + "config_path = \"/etc/containerd/certs.d\"\n",
			hubFile:    "[host.\"http://[::1]:5000\"]\n[host.\"SERVER\"]\n",
		})(t, w)
	}, byHand: func(t *testing.T, w *ward, _ string) {
		w.write(t, hubFile, "[host.\"http://ip6-localhost:5000\"]\n[host.\""+w.l.url()+"\"]\n")
	}},
	{name: "ordinary names stop at the server", kind: "containerd", engine: "containerd2", short: true, says: "ordinary names do not go on from the mirror", next: "take out the line server = …",
		enter: started("containerd", map[string]string{
			configFile: "version = 3\n" + registryOf2 + "config_path = \"/etc/containerd/certs.d\"\n",
			hubFile:    "server = \"SERVER\"\n[host.\"SERVER\"]\n",
		}), byHand: func(t *testing.T, w *ward, _ string) {
			w.write(t, hubFile, "[host.\""+w.l.url()+"\"]\n")
		}},
	{name: "no version line in config.toml", kind: "containerd", engine: "containerd2", next: "image2ipfs setup containerd --yes --server", enter: func(t *testing.T, w *ward) {
		started("containerd", map[string]string{configFile: "[plugins.cri.registry]\nconfig_path = \"/etc/containerd/certs.d\"\n", hubFile: "[host.\"SERVER\"]\n", "etc/containerd/certs.d/_default/hosts.toml": "[host.\"SERVER\"]\n"})(t, w)
	}},
	{name: "config_path of several directories", kind: "containerd", engine: "containerd2", next: "image2ipfs setup containerd --yes --server", enter: func(t *testing.T, w *ward) {
		started("containerd", map[string]string{configFile: "version = 3\n" + registryOf2 + "config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n"})(t, w)
	}},
	{name: "not set up", kind: "podman", engine: "podman", short: true, enter: started("podman", nil), next: "image2ipfs setup podman --yes --server"},
	{name: "ordinary names stop at the server", kind: "podman", engine: "podman", says: "ordinary names do not go on from the mirror", next: "its location has to be docker.io", enter: func(t *testing.T, w *ward) {
		started("podman", nil)(t, w)
		w.write(t, "etc/containers/registries.conf", hubAt(w.l.addr)+"insecure = true\n")
	}, byHand: func(t *testing.T, w *ward, _ string) {
		w.write(t, "etc/containers/registries.conf", hubAt("docker.io")+"[[registry.mirror]]\nlocation = \""+w.l.addr+"\"\ninsecure = true\n")
	}},
	{name: "root's own file counts", kind: "podman", engine: "podman", next: "image2ipfs setup podman --yes --server", enter: started("podman", map[string]string{
		"home/.config/containers/registries.conf":                 "unqualified-search-registries = [\"docker.io\"]\n",
		"etc/containers/registries.conf.d/image2ipfs-before.conf": "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:9\"\n",
	})},
	{name: "names without a host go elsewhere", kind: "podman", engine: "podman", next: "image2ipfs setup podman --yes --server", enter: started("podman", map[string]string{
		"etc/containers/registries.conf": "unqualified-search-registries = [\"127.0.0.1:9\"]\nshort-name-mode = \"enforcing\"\n",
	})},
}

// hubAt has podman take names of docker.io from a registry.
func hubAt(location string) string {
	return "unqualified-search-registries = [\"docker.io\"]\n[[registry]]\nprefix = \"docker.io\"\nlocation = \"" + location + "\"\n"
}

// notLoopback is an address of the machine that secureServer adds: of those on the
// loopback dockerd verifies no certificate.
const notLoopback = "198.51.100.7"

// secureServer serves the same store with a certificate of its own authority, which is
// CA.crt in the home directory.
func secureServer(t *testing.T, w *ward) *local {
	t.Helper()
	ip := command{"ip", "address"}
	if _, err := ip.output(deadline(t), "add", notLoopback+"/32", "dev", "lo"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := ip.output(deadline(t), "delete", notLoopback+"/32", "dev", "lo"); err != nil {
			t.Error(err)
		}
	})
	cert, key := certificate(t, notLoopback)
	text, err := os.ReadFile(cert)
	if err != nil {
		t.Fatal(err)
	}
	w.write(t, "home/CA.crt", string(text))
	_, port, _ := strings.Cut(freeAddr(t), ":")
	addr := notLoopback + ":" + port
	startDaemon(t, append(w.l.command(), "serve", "--addr", addr, "--tls-cert", cert, "--tls-key", key))
	eventually(t, "a server with TLS", func() error { return answersTLS(addr) })
	return &local{registry: &registry{program: w.l.program, server: &server{addr: addr}}, image: w.l.image, secure: true}
}

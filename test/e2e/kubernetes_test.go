//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// TestKubernetesNode runs what the DaemonSet's init container runs on a node, and what
// its undo runs, beside a containerd that is not restarted: the kubelet's pulls of
// names with a CID go through the mirror, and others work as before, also when the
// mirror is gone and what it wrote is left.
func TestKubernetesNode(t *testing.T) {
	for _, name := range []string{"containerd16", "containerd2"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, name, "ctr")
			n := node{place: p, local: startLocal(t), config: fmt.Sprintf("version = 2\nroot = %q\nstate = %q\n[grpc]\n  address = %q\n[ttrpc]\n  address = %q\n[plugins.\"io.containerd.internal.v1.opt\"]\n  path = %q\n",
				p.inner("root"), p.inner("state"), p.inner("sock"), p.inner("sock.ttrpc"), p.inner("opt"))}
			n.unset(t)
			n.config += fmt.Sprintf("[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = %q\n", p.inner("etc/containerd/certs.d"))
			p.write(t, "etc/containerd/config.toml", n.config)
			before := fmt.Sprintf("[host.\"http://%s\"]\n  capabilities = [\"pull\", \"resolve\"]\n", n.upstream) // server alone is overlooked by containerd 1
			p.write(t, "etc/containerd/certs.d/docker.io/hosts.toml", before)
			startDaemon(t, p.program("containerd", "--config", p.inner("etc/containerd/config.toml")))
			eventually(t, name, func() error {
				_, err := os.Stat(p.outer("sock"))
				return err
			})
			if out, err := n.run(t, "base/mirror.yaml"); err != nil {
				t.Fatal(err, out)
			}
			testCRI(t, n.local, p.outer("sock"))
			n.stop(t)
			n.pullsOther(t, "with the mirror gone and its files left")
			if out, err := n.run(t, "undo/undo.yaml"); err != nil {
				t.Fatal(err, out)
			}
			p.expect(t, "etc/containerd/config.toml", n.config)
			p.expect(t, "etc/containerd/certs.d/docker.io/hosts.toml", before)
			if _, err := os.Stat(p.outer("etc/containerd/certs.d/_default")); !os.IsNotExist(err) {
				t.Errorf("certs.d/_default is still there (%v)", err)
			}
			n.pullsOther(t, "after the undo")
		})
	}
}

// node is a machine with a containerd and a mirror.
type node struct {
	place
	*local
	config string // config.toml
}

// unset is a node whose containerd reads no certs.d: the init container fails and says
// what to write, and the node stays as it is.
func (n node) unset(t *testing.T) {
	t.Helper()
	n.write(t, "etc/containerd/config.toml", n.config)
	_, err := n.run(t, "base/mirror.yaml")
	if err == nil {
		t.Fatal("setup succeeds on a node whose containerd reads no certs.d")
	}
	for _, want := range []string{"config_path is not set", "+  config_path = ", "restart containerd"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the init container does not say %q: %v", want, err)
		}
	}
	n.expect(t, "etc/containerd/config.toml", n.config)
	if _, err := os.Stat(n.outer("etc/containerd/certs.d")); !os.IsNotExist(err) {
		t.Errorf("certs.d was made all the same (%v)", err)
	}
}

// run runs the arguments of a manifest's init container, with the node's directory in
// place of /host, and the server's address in place of the mirror's.
func (n node) run(t *testing.T, manifest string) (string, error) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("deploy/kubernetes", manifest))
	if err != nil {
		t.Fatal(err)
	}
	var set struct {
		Spec struct {
			Template struct {
				Spec struct {
					InitContainers []struct{ Args []string } `yaml:"initContainers"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &set); err != nil || len(set.Spec.Template.Spec.InitContainers) != 1 {
		t.Fatalf("%s: expected one init container, found %+v (%v)", manifest, set, err)
	}
	args := slices.Clone(set.Spec.Template.Spec.InitContainers[0].Args)
	for i, arg := range args {
		switch flag, _, _ := strings.Cut(arg, "="); flag {
		case "--root":
			args[i] = "--root=" + n.root
		case "--config":
			args[i] = "--config=" + n.outer("etc/containerd/config.toml")
		case "--server":
			args[i] = "--server=" + n.url()
		}
	}
	return n.command().output(deadline(t), args...)
}

// pullsOther pulls a name without a CID as the kubelet does.
func (n node) pullsOther(t *testing.T, when string) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+n.outer("sock"), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := pullByCRI(t, runtimeapi.NewImageServiceClient(conn), "other:1", "sha256:"); err != nil {
		t.Errorf("%s: %v", when, err)
	}
}

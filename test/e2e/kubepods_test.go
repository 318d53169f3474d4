//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"golang.org/x/crypto/bcrypt"
)

// TestKubernetesPods has podman run the pods of deploy/kubernetes: what is pushed to
// the registry's is pulled from the mirror's, which finds the other by DNS and has the
// same swarm key; each as the user and with the rights that its manifest says.
func TestKubernetesPods(t *testing.T) {
	c := newCluster(t)
	c.play(t, "mirror", "base/mirror.yaml")
	c.play(t, "registry", "base/registry.yaml")
	for pod, addr := range map[string]string{"mirror": c.mirror, "registry": c.registry} {
		eventually(t, pod, func() error {
			_, err := c.podman.output(deadline(t), "exec", pod+"-"+pod, "image2ipfs", "health", "--server=http://"+addr)
			return err
		})
		rights, err := c.podman.output(deadline(t), "inspect", pod+"-"+pod, "--format", "{{.Config.User}} {{.HostConfig.ReadonlyRootfs}} {{.EffectiveCaps}}")
		if err != nil || rights != "65532:65532 true []" {
			t.Errorf("%s: user, read-only root and capabilities are %q (%v)", pod, rights, err)
		}
	}
	hosts := filepath.Join(c.dir, "node/etc/containerd/certs.d/_default/hosts.toml")
	if text, err := os.ReadFile(hosts); err != nil || !strings.Contains(string(text), `[host."http://`+c.mirror+`"]`) {
		t.Errorf("the node's hosts.toml is %q (%v)", text, err)
	}

	skopeo := commandFor("skopeo")
	if _, err := skopeo.output(deadline(t), "copy", "--dest-tls-verify=false", "--dest-creds", "ci:secret", "docker-archive:"+archivePath(t, "plain.crane.tar"), "docker://"+c.push+"/team/app:1"); err != nil {
		t.Fatal(err)
	}
	root, err := c.podman.output(deadline(t), "exec", "registry-registry", "image2ipfs", "ref", "-f", "ciq", "team/app:1")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "what was pushed, from the mirror", func() error {
		req, err := http.NewRequestWithContext(deadline(t), http.MethodGet, "http://"+c.mirror+"/v2/"+root+"/team/app/manifests/1", nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", req.URL, resp.Status)
		}
		return nil
	})

	c.play(t, "undo", "undo/undo.yaml")
	if _, err := os.Stat(hosts); !os.IsNotExist(err) {
		t.Errorf("the undo leaves %s (%v)", hosts, err)
	}
}

// cluster is what stands around the pods: a node's directory, keys, and addresses of
// their own for each, since all are in the network of this machine.
type cluster struct {
	podman                     command
	dir                        string
	mirror, registry, push     string
	mirrorSwarm, registrySwarm string // ports
}

const kubernetesImage = "registry.example/image2ipfs:latest"

func newCluster(t *testing.T) *cluster {
	t.Helper()
	podman := commandFor("podman")
	if podman == nil || commandFor("skopeo") == nil {
		missing(t, "pods of Kubernetes", "podman or skopeo is not there (hack/engines.sh up installs them)")
		t.SkipNow()
	}
	c := &cluster{dir: t.TempDir(), mirror: freeAddr(t), registry: freeAddr(t), push: freeAddr(t)}
	for _, port := range []*string{&c.mirrorSwarm, &c.registrySwarm} {
		_, *port, _ = net.SplitHostPort(freeAddr(t))
	}
	conf := "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\ninfra_image = \"localhost/infra:1\"\n" +
		"[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n"
	c.write(t, "containers.conf", conf)
	for _, arg := range podman {
		if strings.HasPrefix(arg, "CONTAINERS_CONF=") {
			arg = "CONTAINERS_CONF=" + filepath.Join(c.dir, "containers.conf")
		}
		c.podman = append(c.podman, arg)
	}
	c.images(t)
	c.write(t, "node/etc/containerd/config.toml", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\n  config_path = \"/etc/containerd/certs.d\"\n")
	cert, key := certificate(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, "keys/htpasswd", "ci:"+string(hash)+"\n")
	for name, file := range map[string]string{"tls.crt": cert, "tls.key": key} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		c.write(t, "keys/"+name, string(text))
	}
	c.write(t, "keys/swarm.key", "/key/swarm/psk/1.0.0/\n/base16/\n"+strings.Repeat("5a", 32)+"\n")
	return c
}

func (c *cluster) write(t *testing.T, name, text string) {
	t.Helper()
	place{dir: c.dir}.write(t, name, text)
}

// images gives podman the image that make image makes, and one for what holds a pod's
// namespaces, in place of a program that is not installed.
func (c *cluster) images(t *testing.T) {
	t.Helper()
	binary, archive := filepath.Join(c.dir, "context/image2ipfs"), filepath.Join(c.dir, "image.tar")
	c.write(t, "context/Containerfile", "FROM scratch\nCOPY image2ipfs /image2ipfs\nENV IMAGE2IPFS_PATH=/store\nENTRYPOINT [\"/image2ipfs\", \"serve\", \"--addr\", \"127.0.0.1:0\"]\n")
	for _, argv := range []command{
		{"cp", commandFor("image2ipfs")[0], binary},
		{commandFor("mkimage")[0], "-binary", binary, "-name", kubernetesImage, "-o", archive},
	} {
		if _, err := argv.output(deadline(t)); err != nil {
			t.Fatal(err)
		}
	}
	out, err := c.podman.output(deadline(t), "load", "--quiet", "--input", archive)
	if err != nil {
		t.Fatal(err)
	}
	_, loaded, _ := strings.Cut(out, ": ")
	for _, args := range [][]string{{"tag", loaded, kubernetesImage}, {"build", "--quiet", "--tag", "localhost/infra:1", filepath.Join(c.dir, "context")}} {
		if _, err := c.podman.output(deadline(t), args...); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if _, err := c.podman.output(deadline(t), "rmi", "--force", loaded, kubernetesImage, "localhost/infra:1"); err != nil {
			t.Error(err)
		}
	})
}

// play runs the pod of a manifest's template until the end of the test.
func (c *cluster) play(t *testing.T, name, manifest string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("deploy/kubernetes", manifest))
	if err != nil {
		t.Fatal(err)
	}
	addr, swarm, other := c.mirror, c.mirrorSwarm, c.registrySwarm
	if name == "registry" {
		addr, swarm, other = c.registry, c.registrySwarm, c.mirrorSwarm
	}
	_, push, _ := net.SplitHostPort(c.push)
	moved := strings.NewReplacer("127.0.0.1:5000", addr, "--push=:5001", "--push=:"+push, "/tcp/4001", "/tcp/"+swarm, "dns:image2ipfs-peers:4001", "dns:localhost:"+other).Replace(string(text))
	var set struct {
		Spec struct {
			Template struct {
				Metadata map[string]any
				Spec     map[string]any
			}
		}
	}
	if err := yaml.Unmarshal([]byte(moved), &set); err != nil {
		t.Fatal(err)
	}
	spec := set.Spec.Template.Spec
	c.adapt(t, name, spec)
	set.Spec.Template.Metadata["name"] = name
	pod, err := yaml.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": set.Spec.Template.Metadata, "spec": spec})
	if err != nil {
		t.Fatal(err)
	}
	c.write(t, name+".yaml", string(pod))
	t.Cleanup(func() {
		if _, err := c.podman.output(deadline(t), "pod", "rm", "--force", name); err != nil {
			t.Error(err)
		}
	})
	if out, err := c.podman.output(deadline(t), "kube", "play", "--build=false", filepath.Join(c.dir, name+".yaml")); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// adapt makes of a pod's spec what this podman, 4.3, can do: it restarts init
// containers that have ended, knows no fsGroup, and reads Secrets wrongly.
func (c *cluster) adapt(t *testing.T, name string, spec map[string]any) {
	t.Helper()
	spec["hostNetwork"], spec["restartPolicy"] = true, "Never"
	for _, list := range []string{"initContainers", "containers"} {
		some, _ := spec[list].([]any)
		for _, item := range some {
			delete(item.(map[string]any), "ports")
		}
	}
	volumes, _ := spec["volumes"].([]any)
	data := map[string]any{"name": "data", "emptyDir": true}
	for _, item := range volumes {
		if item.(map[string]any)["name"] == "data" {
			data = nil
		}
	}
	if data != nil {
		volumes = append(volumes, data)
	}
	for _, item := range volumes {
		volume := item.(map[string]any)
		path := filepath.Join(c.dir, "keys")
		switch {
		case volume["hostPath"] != nil:
			path = filepath.Join(c.dir, "node", fmt.Sprint(volume["hostPath"].(map[string]any)["path"]))
			if err := os.MkdirAll(path, 0o755); err != nil { // as DirectoryOrCreate does
				t.Fatal(err)
			}
		case volume["emptyDir"] != nil:
			path = filepath.Join(c.dir, "data-"+name)
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(path, 65532, 65532); err != nil {
				t.Fatal(err)
			}
		}
		delete(volume, "emptyDir")
		delete(volume, "secret")
		volume["hostPath"] = map[string]any{"path": path, "type": "Directory"}
	}
	spec["volumes"] = volumes
}

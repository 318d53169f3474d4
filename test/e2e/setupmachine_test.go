//go:build e2e

// Engines of the setup table, each in a box.

package e2e

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// etcOf is where a kind of engine has its configuration.
var etcOf = map[string]string{"docker": "etc/docker", "containerd": "etc/containerd", "podman": "etc/containers"}

// configure makes a box what a setting says, with the stand-in in place of Docker Hub.
func (s setting) configure(t *testing.T, b *box, standIn *standIn) {
	t.Helper()
	b.write(t, "ca.pem", string(standIn.ca))
	b.write(t, "etc/hosts", "127.0.0.1 localhost "+strings.Join(hubNames, " ")+"\n")
	for name, text := range s.files {
		if rest, ok := strings.CutPrefix(name, "~/"); ok {
			name = "home/" + rest
		} else {
			name = filepath.Join(etcOf[s.kind], name)
		}
		target, link := strings.CutPrefix(text, "-> ")
		if !link {
			b.write(t, name, text)
		} else if err := errors.Join(os.MkdirAll(filepath.Dir(b.outer(name)), 0o755), os.Symlink(target, b.outer(name))); err != nil {
			t.Fatal(err)
		}
	}
	if s.kind == "podman" { // without which it pulls nothing
		b.policy(t)
	}
}

// policy gives podman the policy of the machine, without which it pulls nothing.
func (b *box) policy(t *testing.T) {
	t.Helper()
	policy, err := os.ReadFile(filepath.Join("/", b.root, "etc/containers/policy.json"))
	if err != nil {
		t.Fatal(err)
	}
	b.write(t, "etc/containers/policy.json", string(policy))
}

// engine is the engine that reads these files.
func (b *box) engine(t *testing.T, l *local, kind, name string) configured {
	switch kind {
	case "docker":
		b.dockerd(t, name == "dockerd20")
		return dockerOf{b, l}
	case "containerd":
		b.containerd(t)
		return containerdOf{b, l}
	}
	return podmanOf{b, l}
}

// state is all of the configuration: contents and links.
func (b *box) state(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	see := func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.Name() == "key.json" || d.Name() == ".local" || d.Name() == ".docker" || d.Name() == ".rpmdb" { // dockerd 20.10's, podman's and rpm's own
			if err == nil && d.IsDir() {
				err = fs.SkipDir
			}
			return err
		}
		text := d.Type().String()
		if d.Type()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " " + target
		} else if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += " " + string(data)
		}
		found[path] = text
		return nil
	}
	if err := errors.Join(filepath.WalkDir(b.outer("etc"), see), filepath.WalkDir(b.outer("home"), see)); err != nil {
		t.Fatal(err)
	}
	return found
}

// dockerOf is a dockerd in a box.
type dockerOf struct {
	*box
	l *local
}

func (d dockerOf) start(t *testing.T) { d.must(t, "systemctl start docker") }

func (d dockerOf) ready(t *testing.T) {
	config, _ := os.ReadFile(d.outer("etc/docker/daemon.json")) // it need not be there
	want := strings.Contains(string(config), d.l.url())
	eventually(t, "dockerd has read daemon.json", func() error {
		got, err := d.run("docker").output(deadline(t), "info", "--format", "{{json .RegistryConfig.Mirrors}}")
		if err == nil && strings.Contains(got, d.l.url()) != want {
			err = fmt.Errorf("its mirrors are %s", got)
		}
		return err
	})
}

func (d dockerOf) ordinary(t *testing.T) error {
	if _, err := d.run("docker").output(deadline(t), "pull", "other:1"); err != nil {
		return err
	}
	return dockerd{d.run("docker")}.Remove(deadline(t), "other:1")
}

func (d dockerOf) ciq(t *testing.T) error {
	return d.l.pullsLike(deadline(t), dockerd{d.run("docker")})
}

// containerdOf is a containerd in a box, by ctr and by CRI.
type containerdOf struct {
	*box
	l *local
}

const containerdSocket = "/run/containerd/containerd.sock"

func (c containerdOf) start(t *testing.T) { c.must(t, "systemctl start containerd") }

func (c containerdOf) ready(t *testing.T) {
	c.withCRI(t, func(images runtimeapi.ImageServiceClient) error {
		eventually(t, "CRI", func() error {
			_, err := images.ListImages(deadline(t), &runtimeapi.ListImagesRequest{})
			return err
		})
		return nil
	})
}

func (b *box) withCRI(t *testing.T, do func(runtimeapi.ImageServiceClient) error) error {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+b.socket(containerdSocket), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	return do(runtimeapi.NewImageServiceClient(conn))
}

func (c containerdOf) pull(t *testing.T, name, digest string) error {
	if err := c.withCRI(t, func(images runtimeapi.ImageServiceClient) error { return pullByCRI(t, images, name, digest) }); err != nil {
		return err
	}
	full := "docker.io/" + name
	if !strings.Contains(name, "/") {
		full = "docker.io/library/" + name
	}
	_, err := c.run("ctr").output(deadline(t), "images", "pull", "--hosts-dir", "/etc/containerd/certs.d", full)
	if err == nil {
		_, err = c.run("ctr").output(deadline(t), "images", "rm", "--sync", full)
	}
	return err
}

func (c containerdOf) ordinary(t *testing.T) error { return c.pull(t, "other:1", "sha256:") }

func (c containerdOf) ciq(t *testing.T) error {
	return c.pull(t, c.l.name(), c.l.image.want[host].Digests[0])
}

// podmanOf is a podman, which reads its files with each command.
type podmanOf struct {
	*box
	l *local
}

func (podmanOf) start(*testing.T) {}
func (podmanOf) ready(*testing.T) {}

func (p podmanOf) pull(t *testing.T, name string) error {
	c := p.run(p.podmanArgs()...)
	if _, err := c.output(deadline(t), "pull", "--quiet", name); err != nil {
		return err
	}
	got, err := inspect(deadline(t), c, name)
	if err == nil && strings.Contains(name, "ciq") && !slices.Equal(got.DiffIDs, p.l.image.want[host].DiffIDs) {
		err = fmt.Errorf("pulled %+v, expected %+v", got, p.l.image.want[host])
	}
	return errors.Join(err, podman{c}.Remove(deadline(t), name))
}

func (p podmanOf) ordinary(t *testing.T) error { return p.pull(t, "docker.io/library/other:1") }

func (p podmanOf) ciq(t *testing.T) error { return p.pull(t, "docker.io/"+p.l.name()) }

//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

func TestSetupDocker(t *testing.T) {
	for _, name := range []string{"dockerd20", "dockerd28", "dockerd28 classic"} {
		t.Run(name, func(t *testing.T) {
			engine, classic, _ := strings.Cut(name, " ")
			p := newPlace(t, engine, "docker")
			l := startLocal(t)
			// A mirror that is there already goes on serving.
			config := "{\n    \"debug\": false,\n    \"registry-mirrors\": [\"http://" + l.upstream + "\"]\n}"
			p.write(t, "daemon.json", config)
			argv := p.program("dockerd", "--config-file", p.inner("daemon.json"), "--data-root", p.inner("data"),
				"--exec-root", p.inner("exec"), "--pidfile", p.inner("pid"), "-H", "unix://"+p.inner("sock"),
				"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false")
			if engine != "dockerd20" {
				argv = append(argv, "--feature", fmt.Sprintf("containerd-snapshotter=%v", classic == ""))
			}
			daemon := startDaemon(t, argv)
			docker := p.program("docker", "-H", "unix://"+p.inner("sock"))
			mirrors := func(want string) func() error {
				return func() error {
					got, err := docker.output(deadline(t), "info", "--format", "{{json .RegistryConfig.Mirrors}}")
					if err == nil && got != want {
						err = fmt.Errorf("dockerd's mirrors are %s, expected %s", got, want)
					}
					return err
				}
			}
			eventually(t, name, mirrors(`["http://`+l.upstream+`/"]`))
			l.setup(t, "docker", "--config", p.outer("daemon.json"))
			if err := daemon.Cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
			eventually(t, name+" reloaded", mirrors(`["`+l.url()+`/","http://`+l.upstream+`/"]`))
			testDocker(t, l, docker, "unix://"+p.outer("sock"))
			l.setup(t, "docker", "--config", p.outer("daemon.json"), "--undo")
			p.expect(t, "daemon.json", config)
		})
	}
}

// testDocker pulls both kinds of names, also when the server is gone.
func testDocker(t *testing.T, l *local, docker command, socket string) {
	t.Helper()
	if err := l.pullsLike(deadline(t), dockerd{docker}); err != nil {
		t.Fatal(err)
	}
	other := func() error {
		_, err := docker.output(deadline(t), "pull", "other:1")
		return err
	}
	l.ordinary(t, "other:1", other)
	before, err := docker.output(deadline(t), "images", "--all", "--digests")
	if err != nil {
		t.Fatal(err)
	}
	l.doctor(t, []string{"docker " + socket, "; ordinary names go on to docker.io"}, "docker", "--docker", socket)
	if after, err := docker.output(deadline(t), "images", "--all", "--digests"); err != nil || after != before {
		t.Errorf("images before doctor:\n%s\nand after (%v):\n%s", before, err, after)
	}
	if err := (dockerd{docker}).Remove(deadline(t), "other:1"); err != nil {
		t.Fatal(err)
	}
	l.stop(t)
	if err := other(); err != nil {
		t.Errorf("with the server gone: %v", err)
	}
}

func TestSetupContainerd(t *testing.T) {
	for _, name := range []string{"containerd16", "containerd2"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, name, "ctr")
			l := startLocal(t)
			config := fmt.Sprintf("version = 2 # ours\r\nroot = %q\r\nstate = %q\r\n[grpc]\r\n  address = %q\r\n[ttrpc]\r\n  address = %q\r\n[plugins.\"io.containerd.internal.v1.opt\"]\r\n  path = %q",
				p.inner("root"), p.inner("state"), p.inner("sock"), p.inner("sock.ttrpc"), p.inner("opt"))
			hosts := "server = \"http://" + l.upstream + "\"\n"
			p.write(t, "config.toml", config)
			p.write(t, "certs.d/docker.io/hosts.toml", hosts)
			args := []string{"containerd", "--config", p.outer("config.toml"), "--root", p.root}
			l.setup(t, args...)
			startDaemon(t, p.program("containerd", "--config", p.inner("config.toml")))
			ctr := p.program("ctr", "--address", p.inner("sock"))
			eventually(t, name, func() error {
				if _, err := os.Stat(p.outer("sock")); err != nil {
					return err
				}
				_, err := ctr.output(deadline(t), "version")
				return err
			})
			testCtr(t, l, ctr, p.inner("certs.d"))
			testCRI(t, l, p.outer("sock"))
			l.doctor(t, []string{"certs.d", "CRI of containerd", "; ordinary names go on to " + l.upstream}, "containerd", "--containerd", p.outer("sock"), "--hosts-dir", p.outer("certs.d"))
			nothingLeft(t, ctr)
			l.setup(t, append(args, "--undo")...)
			p.expect(t, "config.toml", config)
			p.expect(t, "certs.d/docker.io/hosts.toml", hosts)
			if _, err := os.Stat(p.outer("certs.d/_default")); !os.IsNotExist(err) {
				t.Errorf("certs.d/_default is still there (%v)", err)
			}
		})
	}
}

// testCtr pulls through both hosts.toml files: docker.io's and _default's.
func testCtr(t *testing.T, l *local, ctr command, certs string) {
	t.Helper()
	pull := func(name string) error {
		if _, err := ctr.output(deadline(t), "images", "pull", "--hosts-dir", certs, name); err != nil {
			return err
		}
		digest, err := containerd{ctr}.target(deadline(t), name)
		if err == nil && strings.Contains(name, "ciq") && digest != l.image.want[host].Digests[0] {
			err = fmt.Errorf("%s is %s, expected %v", name, digest, l.image.want[host].Digests)
		}
		if err != nil {
			return err
		}
		_, err = ctr.output(deadline(t), "images", "rm", "--sync", name)
		return err
	}
	for _, name := range []string{"docker.io/" + l.name(), l.name()} {
		if err := pull(name); err != nil {
			t.Fatal(err)
		}
	}
	l.ordinary(t, "a name of docker.io", func() error { return pull("docker.io/" + otherImage) })
	l.ordinary(t, "a name of another registry", func() error { return pull(l.upstream + "/" + otherImage) })
}

// testCRI pulls as the kubelet does.
func testCRI(t *testing.T, l *local, socket string) {
	t.Helper()
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	images := runtimeapi.NewImageServiceClient(conn)
	eventually(t, "CRI", func() error {
		_, err := images.ListImages(deadline(t), &runtimeapi.ListImagesRequest{})
		return err
	})
	if err := pullByCRI(t, images, l.name(), l.image.want[host].Digests[0]); err != nil {
		t.Fatal(err)
	}
	l.ordinary(t, "CRI, a name of docker.io", func() error { return pullByCRI(t, images, "other:1", "sha256:") })
}

// pullByCRI pulls an image, which must have a digest that has this part, and removes it.
func pullByCRI(t *testing.T, images runtimeapi.ImageServiceClient, name, digest string) error {
	t.Helper()
	spec := &runtimeapi.ImageSpec{Image: name}
	if _, err := images.PullImage(deadline(t), &runtimeapi.PullImageRequest{Image: spec}); err != nil {
		return fmt.Errorf("CRI: %s: %w", name, err)
	}
	got, err := images.ImageStatus(deadline(t), &runtimeapi.ImageStatusRequest{Image: spec})
	if err != nil || !strings.Contains(fmt.Sprint(got.GetImage().GetRepoDigests()), digest) {
		return fmt.Errorf("CRI: %s: expected %s, found %v (%v)", name, digest, got, err)
	}
	_, err = images.RemoveImage(deadline(t), &runtimeapi.RemoveImageRequest{Image: spec})
	return err
}

// nothingLeft checks that no image, content or lease remains in containerd.
func nothingLeft(t *testing.T, ctr command) {
	t.Helper()
	for _, namespace := range []string{"default", "k8s.io"} {
		for _, list := range [][]string{{"images", "ls", "-q"}, {"content", "ls", "-q"}, {"leases", "ls", "-q"}, {"snapshots", "ls"}} {
			out, err := ctr.output(deadline(t), append([]string{"--namespace", namespace}, list...)...)
			out = strings.TrimPrefix(strings.Join(strings.Fields(out), " "), "KEY PARENT KIND")
			if err != nil || out != "" {
				t.Errorf("%s, %v: expected nothing, found %q (%v)", namespace, list, out, err)
			}
		}
	}
}

func TestSetupPodman(t *testing.T) {
	for _, name := range []string{"podman", "podman5"} {
		c := commandFor(name)
		if c == nil {
			missing(t, "setup "+name, "not there (hack/engines.sh up installs it)")
			continue
		}
		for _, existing := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, docker.io configured before: %v", name, existing), func(t *testing.T) {
				setupPodman(t, c, existing)
			})
		}
	}
}

// setupPodman sets a podman up whose docker.io is taken from elsewhere, or is not
// configured, and undoes it.
func setupPodman(t *testing.T, c command, existing bool) {
	l := startLocal(t)
	p := place{dir: t.TempDir()}
	etc := "/etc/containers"
	if i := slices.Index(c, "chroot"); i >= 0 {
		etc = c[i+1] + etc
	}
	policy, err := os.ReadFile(filepath.Join(etc, "policy.json"))
	if err != nil {
		t.Fatal(err)
	}
	p.write(t, "policy.json", string(policy))
	config := "# none\n"
	if existing {
		config = "unqualified-search-registries = [\"docker.io\"]\n\n[[registry]]\nprefix = \"docker.io\"\nlocation = \"" + l.upstream + "\"\ninsecure = true\n"
	}
	p.write(t, "registries.conf", config)
	// These files are /etc/containers for that podman and for nobody else.
	script := filepath.Join(t.TempDir(), "podman")
	text := "#!/bin/sh\nexec unshare --mount sh -c 'mount --bind " + p.dir + " " + etc + " && exec \"$@\"' - " + strings.Join(c, " ") + " \"$@\"\n"
	if err := os.WriteFile(script, []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	l.setup(t, "podman", "--config", p.outer("registries.conf"))
	testPodman(t, l, command{script}, existing)
	l.setup(t, "podman", "--config", p.outer("registries.conf"), "--undo")
	p.expect(t, "registries.conf", config)
	if left, _ := filepath.Glob(p.outer("registries.conf.d/*")); len(left) > 0 {
		t.Errorf("left after the undo: %v", left)
	}
}

func testPodman(t *testing.T, l *local, c command, upstream bool) {
	t.Helper()
	pull := func(ctx context.Context, name string) error {
		_, err := c.output(ctx, "pull", "--quiet", name)
		return err
	}
	if err := pull(deadline(t), l.name()); err != nil {
		t.Fatal(err)
	}
	got, err := inspect(deadline(t), c, l.name())
	if err != nil || fmt.Sprint(got.DiffIDs) != fmt.Sprint(l.image.want[host].DiffIDs) {
		t.Errorf("pulled %+v (%v), expected %+v", got, err, l.image.want[host])
	}
	if err := (podman{c}).Remove(deadline(t), l.name()); err != nil {
		t.Error(err)
	}
	if upstream {
		l.ordinary(t, "other:1", func() error { return pull(deadline(t), "other:1") })
		if err := (podman{c}).Remove(deadline(t), "other:1"); err != nil {
			t.Error(err)
		}
	}
	before, err := c.output(deadline(t), "images", "--all", "--quiet")
	if err != nil {
		t.Fatal(err)
	}
	registry := "registry-1.docker.io"
	if upstream {
		registry = l.upstream
	}
	l.doctor(t, []string{"podman", "; ordinary names go on to " + registry}, "podman", "--podman", c[0])
	if after, err := c.output(deadline(t), "images", "--all", "--quiet"); err != nil || after != before {
		t.Errorf("images before doctor: %q, after: %q (%v)", before, after, err)
	}
}

func TestSetupNerdctl(t *testing.T) {
	program := extra(t, "nerdctl")
	for _, name := range []string{"containerd16", "containerd2"} {
		c := commandFor(name)
		if c == nil {
			missing(t, "setup nerdctl", name+" is not there (hack/engines.sh up starts it)")
			continue
		}
		t.Run(name, func(t *testing.T) {
			l, certs := startLocal(t), t.TempDir()
			// nerdctl unpacks what it pulls, on its machine: snapshots are mounted there.
			nerdctl := append(slices.Clone(program), "--address", socketOf(c), "--namespace", "image2ipfs-setup", "--hosts-dir", certs, "--data-root", t.TempDir())
			e := dockerd{nerdctl}
			if err := l.pullsLike(deadline(t), e); err == nil {
				t.Error("it pulls names with a CID before setup")
			}
			l.setup(t, "nerdctl", "--hosts-dir", certs)
			if err := l.pullsLike(deadline(t), e); err != nil {
				t.Error(err)
			}
			l.doctor(t, []string{"nerdctl", "; ordinary names go on to registry-1.docker.io"}, "nerdctl", "--nerdctl", strings.Join(nerdctl, " "))
			l.setup(t, "nerdctl", "--hosts-dir", certs, "--undo")
			if err := l.pullsLike(deadline(t), e); err == nil {
				t.Error("it pulls names with a CID after the undo")
			}
			if left, err := filepath.Glob(filepath.Join(certs, "*")); err != nil || len(left) > 0 {
				t.Errorf("left after the undo: %v (%v)", left, err)
			}
		})
	}
}

package doctor

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/setup"
)

// find looks for engines. Missing are kinds that were asked for by name and
// are not here.
func find(o Options) (found []engine, missing []string) {
	for _, kind := range setup.Engines {
		asked, named := o.asked(kind)
		if !asked || kind == "stargz" { // no engine of its own, see lazily
			continue
		}
		var some []engine
		switch kind {
		case "docker":
			some = o.dockers()
		case "nerdctl":
			some = o.program(kind, o.Nerdctl)
		case "podman":
			some = o.program(kind, o.Podman)
		default:
			some = o.containerds(kind)
		}
		if len(some) == 0 && named {
			missing = append(missing, kind)
		}
		found = append(found, some...)
	}
	return found, missing
}

// dockers are the dockerds whose sockets are where they usually are.
func (o Options) dockers() (found []engine) {
	hosts := o.Docker
	switch host := os.Getenv("DOCKER_HOST"); {
	case len(hosts) > 0:
	case host != "":
		hosts = []string{host}
	default:
		for _, path := range sockets("/var/run/docker.sock", home(".docker/run/docker.sock"), runtimeDir("docker.sock")) {
			hosts = append(hosts, "unix://"+path)
		}
	}
	for _, h := range hosts {
		found = append(found, &dockerd{host: h})
	}
	return found
}

// containerdSockets are where the containerds that are for users listen, unlike
// those that dockerd starts for itself.
var containerdSockets = map[string]string{
	"containerd": "/run/containerd/containerd.sock",
	"k3s":        "/run/k3s/containerd/containerd.sock",
	"rke2":       "/run/k3s/containerd/containerd.sock",
	"microk8s":   "/var/snap/microk8s/common/run/containerd.sock",
	"k0s":        "/run/k0s/containerd.sock",
}

// containerds are containerd itself, or that of a Kubernetes distribution.
func (o Options) containerds(kind string) (found []engine) {
	var addresses []string
	switch {
	case len(o.Containerd) == 0:
		addresses = sockets(containerdSockets[kind])
	default:
		for _, a := range o.Containerd {
			if kindOf(a) == kind {
				addresses = append(addresses, a)
			}
		}
	}
	if containerdSockets[kind] == containerdSockets["k3s"] && len(o.Containerd) == 0 && setup.Kubernetes() != kind {
		return nil // the other one's
	}
	certs := o.certs(kind)
	for _, a := range addresses {
		c := containerd{kind: kind, address: a, certs: certs}
		found = append(found, &c, &cri{c})
	}
	return found
}

// certs is the certs.d that an engine reads.
func (o Options) certs(kind string) string {
	if o.HostsDir != "" {
		return o.HostsDir
	}
	dir, err := setup.CertsDir(kind, setup.Options{Root: o.root, Rootless: kind == "nerdctl" && setup.Rootless(kind)})
	if err != nil {
		return "/etc/containerd/certs.d"
	}
	return dir
}

// kindOf tells whose containerd listens at a socket.
func kindOf(address string) string {
	switch path := strings.TrimPrefix(address, "unix://"); {
	case path == containerdSockets["k3s"] && setup.Kubernetes() == "rke2":
		return "rke2"
	case path == containerdSockets["k3s"]:
		return "k3s"
	case path == containerdSockets["microk8s"]:
		return "microk8s"
	case path == containerdSockets["k0s"]:
		return "k0s"
	}
	return "containerd"
}

// program finds podman or nerdctl.
func (o Options) program(kind string, command []string) []engine {
	if len(command) == 0 {
		if _, err := exec.LookPath(kind); err != nil {
			return nil
		}
		command = []string{kind}
	}
	return []engine{&program{kind: kind, command: command, server: o.server(), certs: o.certs(kind)}}
}

// sockets gives those of the paths that are there, each once.
func sockets(paths ...string) (found []string) {
	for _, p := range paths {
		info, err := os.Stat(p)
		if err == nil && info.Mode()&os.ModeSocket != 0 && !slices.Contains(found, p) {
			found = append(found, p)
		}
	}
	return found
}

func home(path string) string {
	dir, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(dir, path)
}

func runtimeDir(name string) string {
	dir := os.Getenv("XDG_RUNTIME_DIR")
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

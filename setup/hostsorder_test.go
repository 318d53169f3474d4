package setup

import (
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/remotes/docker/config"
)

const (
	corpHosts  = "[host.\"https://m.example\"]\n  capabilities = [\"pull\", \"resolve\"]\n"
	firstCerts = "etc/containerd/certs.d/"
	nextCerts  = "etc/docker/certs.d/"
)

// hostsOf are the hosts that containerd's library asks for a registry, in their order.
func (m machine) hostsOf(registry string, dirs ...string) (hosts []string) {
	m.Helper()
	find := func(host string) (string, error) {
		for _, dir := range dirs {
			if found, err := config.HostDirFromRoot(m.path(dir))(host); err == nil && found != "" {
				return found, nil
			}
		}
		return "", nil
	}
	found, err := config.ConfigureHosts(m.Context(), config.HostOptions{HostDir: find})(registry)
	if err != nil {
		m.Fatal(err)
	}
	for _, h := range found {
		hosts = append(hosts, fmt.Sprintf("%s://%s%s %b", h.Scheme, h.Host, h.Path, h.Capabilities))
	}
	return hosts
}

// asks tells whether the server is asked for a registry first.
func (m machine) asks(registry string, dirs ...string) bool {
	return strings.HasPrefix(append(m.hostsOf(registry, dirs...), "")[0], ours)
}

// without is a list of hosts without setup's server.
func without(hosts []string) []string {
	return slices.DeleteFunc(hosts, func(h string) bool { return strings.HasPrefix(h, ours) })
}

// there tells whether something is there.
func (m machine) there(name string) bool { return place{m.root}.exists(m.path(name)) }

// certsDirs are certs.d as people have them.
var certsDirs = map[string]struct {
	files   map[string]string
	refused string
	left    string // the directory that setup must not make
}{
	"nothing":                        {},
	"a mirror of all":                {map[string]string{firstCerts + "_default/hosts.toml": corpHosts}, "", firstCerts + hubDir},
	"another server for all":         {map[string]string{firstCerts + "_default/hosts.toml": "server = \"https://m.example\"\n" + corpHosts}, "", firstCerts + hubDir},
	"a mirror of all and docker.io":  {map[string]string{firstCerts + "_default/hosts.toml": corpHosts, firstCerts + "docker.io/hosts.toml": "server = \"https://hub.example\"\n" + corpHosts}, "", ""},
	"a mirror of all, an empty hub":  {map[string]string{firstCerts + "_default/hosts.toml": corpHosts, firstCerts + hubDir: "/"}, "", ""},
	"_default says nothing":          {map[string]string{firstCerts + "_default/hosts.toml": "# nothing\n"}, "", ""},
	"_default is docker.io":          {map[string]string{firstCerts + "docker.io/hosts.toml": corpHosts, firstCerts + allDir: "-> docker.io"}, "", ""},
	"docker.io is _default":          {map[string]string{firstCerts + "_default/hosts.toml": corpHosts, firstCerts + hubDir: "-> _default"}, "", ""},
	"_default leads to what is not":  {map[string]string{firstCerts + "quay.io/hosts.toml": corpHosts, firstCerts + allDir: "-> docker.io"}, "", ""},
	"docker.io in the next":          {map[string]string{nextCerts + "docker.io/hosts.toml": corpHosts}, "speaks of docker.io too", ""},
	"a mirror of all in the next":    {map[string]string{nextCerts + "_default/hosts.toml": corpHosts}, "_default speaks of docker.io too", ""},
	"the same, and a hub":            {map[string]string{nextCerts + "_default/hosts.toml": corpHosts, firstCerts + "docker.io/hosts.toml": corpHosts}, "", firstCerts + allDir},
	"the next is hidden already":     {map[string]string{nextCerts + "docker.io/hosts.toml": corpHosts, firstCerts + "_default/hosts.toml": "# nothing\n"}, "", ""},
	"another registry in the next":   {map[string]string{nextCerts + "quay.io/hosts.toml": corpHosts}, "", firstCerts + allDir},
	"the next is the first":          {map[string]string{firstCerts + "quay.io/hosts.toml": corpHosts, nextCerts[:len(nextCerts)-1]: "-> ../containerd/certs.d"}, "", ""},
	"the next is the first, and all": {map[string]string{firstCerts + "docker.io/hosts.toml": corpHosts, nextCerts[:len(nextCerts)-1]: "-> ../containerd/certs.d"}, "", ""},
}

// TestHostsStay: without it a mirror of all registries, as companies have it, is no longer
// asked for docker.io once setup has made a directory for that. Per registry, the hosts
// that are asked are those of before, in their order, with the server in front of some.
func TestHostsStay(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	for name, c := range certsDirs {
		for _, o := range []Options{{Engine: "nerdctl"}, {Engine: "containerd"}, {Engine: "containerd", CertsOnly: true}} {
			t.Run(fmt.Sprintf("%s: %s %t", name, o.Engine, o.CertsOnly), func(t *testing.T) {
				m := newMachine(t, nil)
				if o.Engine == "containerd" {
					m.write(configTOML, "version = 2\n"+criTable+"\n  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n")
				}
				m.place("etc/docker/daemon.json", "{}")
				for name, text := range c.files {
					m.place(name, text)
				}
				state, before := m.state(), map[string][]string{}
				registries := []string{"docker.io", "quay.io", "r.example", "ciqexample"}
				for _, r := range registries {
					before[r] = m.hostsOf(r, firstCerts, nextCerts)
				}
				o.Root = m.root
				if c.refused != "" {
					if _, err := New(o); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.refused) {
						t.Errorf("%v, want %q", err, c.refused)
					}
					m.same(state)
					return
				}
				m.run(o)
				for _, r := range registries {
					if after := without(m.hostsOf(r, firstCerts, nextCerts)); !slices.Equal(after, before[r]) {
						t.Errorf("%s was asked at %q, and now at %q", r, before[r], after)
					}
				}
				if !m.asks("docker.io", firstCerts, nextCerts) || c.left == "" && !m.asks("ciqexample", firstCerts, nextCerts) {
					t.Errorf("the server is not asked: %q", m.files())
				}
				if c.left != "" && m.there(c.left) {
					t.Errorf("%s is there", filepath.ToSlash(c.left))
				}
				o.Undo = true
				m.run(o)
				m.same(state)
			})
		}
	}
}

// TestRuleForAllLater: without it a mirror of all that comes after setup is not asked for
// docker.io, nor after setup has run again.
func TestRuleForAllLater(t *testing.T) {
	m := newMachine(t, nil)
	m.run(Options{Engine: "nerdctl"})
	const all = firstCerts + "_default/hosts.toml"
	m.write(all, m.files()[all]+corpHosts)
	m.run(Options{Engine: "nerdctl"})
	if got := without(m.hostsOf("docker.io", firstCerts)); len(got) != 2 || !strings.HasPrefix(got[0], "https://m.example") {
		t.Errorf("docker.io is asked at %q", got)
	}
	m.run(Options{Engine: "nerdctl", Undo: true})
	if got := m.files(); len(got) != 1 || strings.Contains(got[all], ours) {
		t.Errorf("left is %q", got)
	}
}

// TestMirrorsInAnotherFile: without it CRI does not load at containerd's next start, as
// the last file replaces CRI's whole table, and setup wrote config_path into that.
func TestMirrorsInAnotherFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	const main = "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n"
	const path = criTable + "\n  config_path = \"/etc/containerd/certs.d\"\n"
	const mirrors = "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://127.0.0.1:5055\"]\n"
	for name, c := range map[string]struct {
		files map[string]string
		where string
	}{
		"config_path in the main file": {map[string]string{configTOML: main + path, "etc/containerd/conf.d/99.toml": mirrors}, "99.toml, line 2"},
		"config_path in an import":     {map[string]string{configTOML: main, "etc/containerd/conf.d/10.toml": "version = 2\n" + path, "etc/containerd/conf.d/99.toml": mirrors}, "99.toml, line 2"},
		"mirrors before":               {map[string]string{configTOML: main + mirrors[len("version = 2\n"):], "etc/containerd/conf.d/10.toml": "version = 2\n" + path, "etc/containerd/conf.d/99.toml": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\n  sandbox_image = \"x\"\n"}, "config.toml, line 3"},
		"a list of directories":        {map[string]string{configTOML: "version = 3\n" + imageTable + "\n  config_path = \"/etc/containerd/certs.d:/etc/docker/certs.d\"\n  [plugins.'io.containerd.cri.v1.images'.registry.mirrors.x]\n    endpoint = [\"http://x\"]\n"}, "config.toml, line 4"},
	} {
		for _, certs := range []bool{false, true} {
			m := newMachine(t, c.files)
			program := m.program("containerd github.com/containerd/containerd/v2 2.1.4 h")
			_, err := New(Options{Engine: "containerd", Root: m.root, CertsOnly: certs, Program: program})
			if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.where+": registry.mirrors.") {
				t.Errorf("%s: %v, want %s", name, err, c.where)
			}
		}
	}
}

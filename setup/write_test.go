package setup

// Files on disk: what users have there survives setup, undo and failures.

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// machine is a directory with files, which an engine sees as /.
type machine struct {
	*testing.T
	root string
}

func newMachine(t *testing.T, files map[string]string) machine {
	m := machine{t, t.TempDir()}
	for name, text := range files {
		m.write(name, text)
	}
	return m
}

func (m machine) path(name string) string { return filepath.Join(m.root, name) }

func (m machine) write(name, text string) {
	m.Helper()
	if err := os.MkdirAll(filepath.Dir(m.path(name)), 0o755); err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(m.path(name), []byte(text), 0o600); err != nil {
		m.Fatal(err)
	}
}

// files are all files, by name.
func (m machine) files() map[string]string {
	m.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(m.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		name, _ := filepath.Rel(m.root, path)
		found[filepath.ToSlash(name)] = string(data)
		return err
	})
	if err != nil {
		m.Fatal(err)
	}
	return found
}

func (m machine) plan(o Options) *Plan {
	m.Helper()
	o.Root = m.root
	p, err := New(o)
	if err != nil {
		m.Fatal(err)
	}
	return p
}

// run plans and writes, and checks that a second time there is nothing to do.
func (m machine) run(o Options) *Plan {
	m.Helper()
	p := m.plan(o)
	if err := p.Write(m.Context()); err != nil {
		m.Fatal(err)
	}
	if again := m.plan(o); len(again.Changes) > 0 {
		m.Errorf("the second time there is still to do: %s", again.Changes[0].Diff())
	}
	return p
}

func (m machine) expect(want map[string]string) {
	m.Helper()
	got := m.files()
	for name := range want {
		if got[name] != want[name] {
			m.Errorf("%s is %q, want %q", name, got[name], want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			m.Errorf("%s is left: %q", name, got[name])
		}
	}
}

var existing = map[string]map[string]string{
	"docker": {"etc/docker/daemon.json": "{\n\t\"registry-mirrors\": [\"https://m.example\"],\n\t\"debug\": true\n}"},
	"containerd": {
		"etc/containerd/config.toml":                  "version = 3\r\n[plugins.'io.containerd.cri.v1.images'.registry]\r\n  config_path = ''",
		"etc/containerd/certs.d/docker.io/hosts.toml": "server = \"https://registry-1.docker.io\"\n[host.\"https://m.example\"]",
	},
	"nerdctl": {
		"etc/nerdctl/nerdctl.toml":        "hosts_dir = [\"/etc/certs\"]\n",
		"etc/certs/docker.io/hosts.toml":  "",
		"etc/certs/quay.io/hosts.toml":    "server = \"https://quay.io\"\n",
		"etc/certs/_default/hosts.toml":   "# nothing yet\n",
		"etc/containerd/certs.d/x/y.toml": "",
	},
	"podman": {
		"etc/containers/registries.conf":                 "unqualified-search-registries = [\"docker.io\", \"quay.io\"]\n",
		"etc/containers/registries.conf.d/corp.conf":     "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"m.example\"\n",
		"etc/containers/registries.conf.d/short.conf.md": "no toml",
	},
}

func TestThereAndBack(t *testing.T) {
	for _, engine := range Engines {
		for name, files := range map[string]map[string]string{"nothing there": {}, "files there": existing[engine]} {
			t.Run(engine+" "+name, func(t *testing.T) {
				m := newMachine(t, files)
				p := m.run(Options{Engine: engine})
				if len(p.Changes) == 0 {
					t.Fatal("nothing was done")
				}
				for _, c := range p.Changes {
					if c.Before != nil && (c.Backup == "" || m.files()[strings.TrimPrefix(filepath.ToSlash(c.Backup), filepath.ToSlash(m.root)+"/")] != string(c.Before)) {
						t.Errorf("%s has no backup", c.Path)
					}
				}
				m.run(Options{Engine: engine, Server: "https://registry.example:8443"})
				m.run(Options{Engine: engine, Undo: true})
				m.expect(files)
			})
		}
	}
}

func TestUndoKeepsLaterChanges(t *testing.T) {
	m := newMachine(t, nil)
	m.run(Options{Engine: "docker"})
	m.run(Options{Engine: "nerdctl"})
	const path, hosts = "etc/docker/daemon.json", "etc/containerd/certs.d/docker.io/hosts.toml"
	m.write(path, strings.Replace(m.files()[path], "[\"http", "[\"https://new.example\", \"http", 1))
	m.write(hosts, m.files()[hosts]+"[host.\"https://new.example\"]\n")
	m.run(Options{Engine: "docker"}) // leaves it where the user has moved it
	m.run(Options{Engine: "docker", Undo: true})
	m.run(Options{Engine: "nerdctl", Undo: true})
	m.expect(map[string]string{
		path:  "{\n  \"registry-mirrors\": [\"https://new.example\"]\n}\n",
		hosts: "[host.\"https://new.example\"]\n",
	})
}

func TestUndoTouchesNothingOfOthers(t *testing.T) {
	files := map[string]string{
		"etc/docker/daemon.json":                      `{"registry-mirrors": ["http://127.0.0.1:5000"]}`,
		"etc/containerd/certs.d/docker.io/hosts.toml": "[host.\"http://127.0.0.1:5000\"]\n",
	}
	m := newMachine(t, files)
	for _, engine := range Engines {
		if p := m.run(Options{Engine: engine, Undo: true}); len(p.Changes) > 0 {
			t.Errorf("%s: %s", engine, p.Changes[0].Diff())
		}
	}
	m.expect(files)
}

func TestBrokenFilesStay(t *testing.T) {
	for engine, files := range map[string]map[string]string{
		"docker":     {"etc/docker/daemon.json": `{"debug": true,}`},
		"containerd": {"etc/containerd/config.toml": "version = 2\n[plugins"},
		"nerdctl":    {"etc/containerd/certs.d/_default/hosts.toml": "server ="},
		"podman":     {"etc/containers/registries.conf": "[[registry]"},
	} {
		m := newMachine(t, files)
		_, err := New(Options{Engine: engine, Root: m.root})
		if !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), m.root) {
			t.Errorf("%s: got %v, want an error that matches ErrConfig and names the file", engine, err)
		}
		m.expect(files)
	}
	certificates := map[string]string{"etc/containerd/certs.d/docker.io/ca.crt": "x"}
	m := newMachine(t, certificates)
	if _, err := New(Options{Engine: "nerdctl", Root: m.root}); !errors.Is(err, ErrConfig) {
		t.Errorf("certificates without hosts.toml: got %v", err)
	}
}

// A _default in the first directory would take the company's registry its
// certificates away, which Docker users have in the second.
func TestDefaultHidesNothing(t *testing.T) {
	const ca, fallback = "etc/docker/certs.d/registry.corp/ca.crt", "etc/containerd/certs.d/_default/hosts.toml"
	for _, engine := range []string{"nerdctl", "containerd"} {
		m := newMachine(t, map[string]string{ca: "x"})
		p := m.run(Options{Engine: engine})
		files := m.files()
		if files[fallback] != "" || files["etc/containerd/certs.d/docker.io/hosts.toml"] == "" || !strings.Contains(strings.Join(p.Notes, ""), "registry.corp") {
			t.Errorf("%s: %q, notes %q", engine, files, p.Notes)
		}
		if text := files["etc/containerd/config.toml"]; engine == "containerd" && !strings.Contains(text, `"/etc/containerd/certs.d:/etc/docker/certs.d"`) {
			t.Errorf("config.toml: %s", text)
		}
		m.run(Options{Engine: engine, Undo: true})
		m.expect(map[string]string{ca: "x"})
	}
	m := newMachine(t, nil)
	m.run(Options{Engine: "nerdctl"})
	m.write(ca, "x")
	m.run(Options{Engine: "nerdctl"})
	if text, ok := m.files()[fallback]; ok {
		t.Errorf("_default stays: %q", text)
	}
	m.write("etc/docker/certs.d/docker.io/ca.crt", "x")
	if _, err := New(Options{Engine: "nerdctl", Root: m.root}); !errors.Is(err, ErrConfig) {
		t.Errorf("docker.io in the second directory: %v", err)
	}
}

func TestWriteRefusesAChangedFile(t *testing.T) {
	m := newMachine(t, existing["docker"])
	p := m.plan(Options{Engine: "docker"})
	m.write("etc/docker/daemon.json", "{}")
	if err := p.Write(t.Context()); !errors.Is(err, ErrConfig) {
		t.Errorf("got %v, want ErrConfig", err)
	}
	m.expect(map[string]string{"etc/docker/daemon.json": "{}"})
}

func TestWriteKeepsModeAndLinks(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has neither")
	}
	m := newMachine(t, map[string]string{"home/daemon.json": "{}", "etc/docker/x": ""})
	if err := os.Symlink("../../home/daemon.json", m.path("etc/docker/daemon.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(m.path("home/daemon.json"), 0o640); err != nil {
		t.Fatal(err)
	}
	m.run(Options{Engine: "docker"})
	link, err := os.Lstat(m.path("etc/docker/daemon.json"))
	if err != nil || link.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("the link is %v (%v)", link, err)
	}
	if info, err := os.Stat(m.path("home/daemon.json")); err != nil || info.Mode() != 0o640 || info.Size() < 10 {
		t.Errorf("the file is %v (%v)", info, err)
	}
}

func TestWriteIsAllOrNothing(t *testing.T) {
	if os.Geteuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("root may write everywhere")
	}
	m := newMachine(t, existing["podman"])
	p := m.plan(Options{Engine: "podman"})
	dir := filepath.Dir(p.Changes[len(p.Changes)-1].Path)
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if err := p.Write(t.Context()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v, want a permission error", err)
	}
	m.expect(existing["podman"])
}

func TestServerURL(t *testing.T) {
	for given, want := range map[string]string{
		"": DefaultServer, "127.0.0.1:5001": "http://127.0.0.1:5001", "http://R.example:80/": "http://r.example:80",
		"https://[::1]:5000": "https://[::1]:5000",
		"ftp://x":            "", "http://": "", "http://x/path": "", "http://u:p@x": "", "http://x?y": "", "http://a\"b": "", "http://a b": "",
		"http://host:": "", "http://host:99999": "", "http://host:0": "", "http://host:x": "", "http://a$(x)": "", "http://a<b>": "", "http://a;b": "", "http://-a": "",
		"http://[fe80::1%25eth0]:5000": "", "http://image2ipfs_1.local.:5000": "http://image2ipfs_1.local.:5000", "a-b": "http://a-b",
	} {
		got, err := cleanServer(given)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: got %q (%v), want %q", given, got, err, want)
		}
	}
	root := filepath.Join(t.TempDir(), "typo")
	if _, err := New(Options{Engine: "docker", Root: root}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "which is there") {
		t.Errorf("a root that is not there: %v", err)
	}
	if _, err := New(Options{Engine: "cri-o"}); !errors.Is(err, ErrInvalid) {
		t.Errorf("an unknown engine: %v", err)
	}
}

// A file that is mounted cannot be replaced, and one with hard links must not be:
// both stay the file that they are.
func TestWriteInPlace(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has neither")
	}
	m := newMachine(t, map[string]string{"etc/docker/daemon.json": "{}"})
	if err := os.Link(m.path("etc/docker/daemon.json"), m.path("other")); err != nil {
		t.Fatal(err)
	}
	m.run(Options{Engine: "docker"})
	if files := m.files(); files["other"] != files["etc/docker/daemon.json"] || !strings.Contains(files["other"], ours) {
		t.Errorf("the hard link is another file now: %q", files)
	}
	m.run(Options{Engine: "docker", Undo: true})
	m.expect(map[string]string{"etc/docker/daemon.json": "{}", "other": "{}"})
}

// TestMounted runs itself in a mount namespace of its own.
func TestMounted(t *testing.T) {
	if root := os.Getenv("IMAGE2IPFS_TEST_MOUNTED"); root != "" {
		m := machine{t, root}
		m.run(Options{Engine: "docker"})
		if text := m.files()["volume.json"]; !strings.Contains(text, ours) {
			t.Errorf("what is mounted is %q", text)
		}
		p := m.plan(Options{Engine: "docker", Server: "other.example"})
		p.check = func(context.Context) error { return errors.New("the engine does not take it") }
		if err := p.Write(t.Context()); err == nil {
			t.Error("a check that fails was overlooked")
		}
		if text := m.files()["volume.json"]; !strings.Contains(text, ours) {
			t.Errorf("after a failure what is mounted is %q", text)
		}
		m.run(Options{Engine: "docker", Undo: true})
		return
	}
	m := newMachine(t, map[string]string{"etc/docker/daemon.json": "", "volume.json": "{\"debug\": true}"})
	script := "mount --bind " + m.path("volume.json") + " " + m.path("etc/docker/daemon.json") + " || exit 77; IMAGE2IPFS_TEST_MOUNTED=" + m.root + " exec " + os.Args[0] + " -test.run '^TestMounted$'"
	out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script).CombinedOutput()
	if strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount:") || errors.Is(err, exec.ErrNotFound) {
		t.Skipf("no mount namespaces here: %v %s", err, out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	m.expect(map[string]string{"etc/docker/daemon.json": "", "volume.json": "{\"debug\": true}"})
}

// What the engine does not take is taken back, with all that came with it.
func TestCheckFails(t *testing.T) {
	for engine, files := range existing {
		m := newMachine(t, files)
		before := m.state()
		p := m.plan(Options{Engine: engine})
		p.check = func(context.Context) error { return errors.New("the engine does not take it") }
		if err := p.Write(t.Context()); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), "does not take it") {
			t.Errorf("%s: got %v", engine, err)
		}
		m.same(before)
		m = newMachine(t, nil)
		p = m.plan(Options{Engine: engine})
		p.check = func(context.Context) error { return errors.New("no") }
		if err := p.Write(t.Context()); err == nil {
			t.Errorf("%s: no error", engine)
		}
		m.same(map[string]string{".": m.state()["."]})
	}
}

// The engines' own programs are asked, and what they say counts.
func TestProgramsAreAsked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the stand-ins are shell scripts")
	}
	for name, c := range map[string]struct{ engine, script, want string }{
		"dockerd refuses":     {"docker", "case $1 in --help) echo --validate ;; *) echo 'conflict: x' >&2; exit 1 ;; esac", "conflict: x"},
		"dockerd before 23":   {"docker", "case $1 in --help) echo --debug ;; *) exit 1 ;; esac", ""},
		"dockerd agrees":      {"docker", "echo --validate", ""},
		"containerd refuses":  {"containerd", "echo 'not loaded' >&2; exit 1", "not loaded"},
		"containerd sees not": {"containerd", "printf '[plugins.\"io.containerd.grpc.v1.cri\".registry]\\nconfig_path = \"\"\\n'", "shows no config_path"},
		"containerd mirrors":  {"containerd", "printf '[plugins.\"io.containerd.grpc.v1.cri\".registry]\\nconfig_path = \"/x\"\\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.x]\\n'", "registry.mirrors beside"},
		"podman refuses":      {"podman", "echo 'Error: loading registries configuration' >&2; exit 125", "loading registries"},
		"podman sees not":     {"podman", "echo '{}'", "does not show the mirror"},
		"podman is broken":    {"podman", "echo 'no space left' >&2; exit 125", ""},
		"podman agrees":       {"podman", `echo '{"docker.io": {"Mirrors": [{"Location": "127.0.0.1:5000"}]}}'`, ""},
	} {
		m := newMachine(t, nil)
		program := filepath.Join(t.TempDir(), "program")
		if err := os.WriteFile(program, []byte("#!/bin/sh\n"+c.script+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		err := m.plan(Options{Engine: c.engine, Program: []string{program}}).Write(t.Context())
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

package setup

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
)

const (
	stargzTOML   = "etc/containerd-stargz-grpc/config.toml"
	transferList = `[[plugins."io.containerd.transfer.v1.local".unpack_config]]`
	unitStargz   = "etc/systemd/system/stargz-snapshotter.service"
	k3sYAML      = "etc/rancher/k3s/config.yaml"
)

func init() {
	existing["stargz"] = map[string]string{
		configTOML: "version = 3\r\n[proxy_plugins.\"fuse\"]\r\n  type = \"snapshot\"\r\n  address = \"/run/f.sock\"",
		stargzTOML: "noprefetch = true\n[resolver]\nrequest_timeout_sec = 9\n# the company's\n[[resolver.host.\"docker.io\".mirrors]]\nhost = \"m.example\"\n[resolver.host.\"docker.io\".mirrors.header]\nX = \"y\"\n",
	}
	table = append(table, stargzTable...)
}

var stargzTable = []configuration{
	{name: "stargz: nothing", want: map[string]string{configTOML: "version = 2\n[proxy_plugins.stargz]", stargzTOML: "host = \"127.0.0.1:5000\"\n  insecure = true"}},
	{name: "stargz: Debian's containerd", files: map[string]string{configTOML: "version = 2\n\n[plugins]\n  [plugins.\"io.containerd.grpc.v1.cri\"]\n    [plugins.\"io.containerd.grpc.v1.cri\".cni]\n      bin_dir = \"/usr/lib/cni\"\n"}, want: map[string]string{configTOML: "snapshotter = \"overlayfs\"\n" + transferList + "\n  platform = \"linux\"\n  snapshotter = \"stargz\""}},
	{name: "stargz: flags of the unit", files: map[string]string{unitStargz: "[Service]\nExecStart=/usr/local/bin/containerd-stargz-grpc --log-level=debug \\\n --config=/data/s.toml --address /data/s.sock --root=/data/s\n", "data": "/"}, want: map[string]string{"data/s.toml": "[[resolver.host.\"docker.io\".mirrors]]", configTOML: "address = \"/data/s.sock\"\n[proxy_plugins.stargz.exports]\n  root = \"/data/s\""}},
	{name: "stargz: as its own documentation has it", files: map[string]string{configTOML: "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".containerd]\n  snapshotter = \"stargz\"\n  disable_snapshot_annotations = false\n[proxy_plugins]\n  [proxy_plugins.stargz]\n    type = \"snapshot\"\n    address = \"/run/containerd-stargz-grpc/containerd-stargz-grpc.sock\"\n  [proxy_plugins.stargz.exports]\n    root = \"/var/lib/containerd-stargz-grpc/\"\n"}, want: map[string]string{configTOML: stargzMarks.end + "\n    root ="}},
	{name: "stargz: without exports", files: map[string]string{configTOML: "version = 3\n[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"unix:///x.sock\"\n[debug]\nlevel = \"info\"\n"}, want: map[string]string{configTOML: "[proxy_plugins.stargz.exports]\n  enable_remote_snapshot_annotations = \"true\""}},
	{name: "stargz: all there", files: map[string]string{
		configTOML: "version = 2\n" + transferList + "\nplatform = \"linux\"\nsnapshotter = \"stargz\"\n[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/x.sock\"\nexports = {enable_remote_snapshot_annotations = \"true\"}\n",
		stargzTOML: "[[resolver.host.\"docker.io\".mirrors]]\nhost = \"127.0.0.1:5000\"\ninsecure = true\n[[resolver.host.\"docker.io\".mirrors]]\nhost = \"registry.example:8443\"\n",
	}},
	{name: "stargz: list of the default configuration", files: map[string]string{configTOML: "version = 3\n[plugins.'io.containerd.transfer.v1.local']\n  max_concurrent_downloads = 3\n  unpack_config = []\n"}, want: map[string]string{configTOML: `unpack_config = [{platform = "linux", snapshotter = "overlayfs"}, {platform = "linux", snapshotter = "stargz"}]`}},
	{name: "stargz: list with an entry", files: map[string]string{configTOML: "version = 3\nplugins.'io.containerd.transfer.v1.local'.unpack_config = [{platform = 'linux', snapshotter = 'native'}]"}, want: map[string]string{configTOML: `'native'}, {platform = "linux", snapshotter = "stargz"}]`}},
	{name: "stargz: in an imported file", files: map[string]string{configTOML: "version = 2\nimports = [\"/etc/containerd/conf.d/*.toml\"]\n", "etc/containerd/conf.d/t.toml": "version = 2\n" + transferList + "\nplatform = \"linux\"\nsnapshotter = \"native\"\n"}, want: map[string]string{"etc/containerd/conf.d/t.toml": "snapshotter = \"stargz\"", configTOML: "[proxy_plugins.stargz]"}},
	{name: "stargz: a plugin of another kind", files: map[string]string{configTOML: "version = 2\n[proxy_plugins.stargz]\ntype = \"content\"\naddress = \"/x\"\n"}, refused: "config.toml: line 2: proxy_plugins.stargz is of type content"},
	{name: "stargz: another socket", files: map[string]string{configTOML: "version = 2\n\n[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/x.sock\"\n", unitStargz: "[Service]\nExecStart=/bin/containerd-stargz-grpc --address=/y.sock\n"}, refused: "line 3: proxy_plugins.stargz leads to /x.sock, and containerd-stargz-grpc listens at /y.sock"},
	{name: "stargz: annotations switched off", files: map[string]string{configTOML: "version = 2\n[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/x.sock\"\n[proxy_plugins.stargz.exports]\nenable_remote_snapshot_annotations = \"false\"\n"}, refused: "line 6: enable_remote_snapshot_annotations"},
	{name: "stargz: plugins in one line", files: map[string]string{configTOML: "version = 2\nproxy_plugins = {x = {type = \"snapshot\", address = \"/x\"}}\n"}, refused: "write plain [tables]"},
	{name: "stargz: exports in one line", files: map[string]string{configTOML: "version = 2\n[proxy_plugins.stargz]\ntype = \"snapshot\"\naddress = \"/x.sock\"\nexports = {}\n"}, refused: "line 5: it is written in a form"},
	{name: "stargz: a list over lines", files: map[string]string{configTOML: "version = 3\n[plugins.'io.containerd.transfer.v1.local']\nunpack_config = [\n{platform = 'linux', snapshotter = 'native'}]\n"}, refused: "line 3: it is written in a form"},
	{name: "stargz: mirrors in one line", files: map[string]string{stargzTOML: "[resolver.host]\n\"docker.io\" = {mirrors = [{host = \"m.example\"}]}\n"}, refused: stargzTOML + ": line 2: it is written in a form"},
	{name: "stargz: the server by HTTPS", files: map[string]string{stargzTOML: "\n[[resolver.host.\"docker.io\".mirrors]]\nhost = \"127.0.0.1:5000\"\n"}, refused: "line 2: the mirror 127.0.0.1:5000 has insecure = false"},
	{name: "stargz: no TOML", files: map[string]string{stargzTOML: "a = \n"}, refused: "not TOML: line 1"},
	{name: "stargz: HTTPS on the loopback", options: Options{Server: "https://localhost:5000"}, refused: "speaks HTTP alone to an address of the loopback"},
	{name: "stargz: rootless", options: Options{Rootless: true, Home: "/home/u"}, refused: "rootless"},
	{name: "stargz: HTTP elsewhere", options: Options{Server: "http://r.example:5000"}, want: map[string]string{stargzTOML: "[[resolver.host.\"r.example:5000\".mirrors]]\n  host = \"r.example:5000\"\n  insecure = true"}},
	{name: "stargz: K3s", files: map[string]string{k3sYAML: "write-kubeconfig-mode: \"0644\"\ntls-san:\n  - a\n"}, want: map[string]string{k3sYAML: "\nsnapshotter: stargz\n"}},
	{name: "stargz: K3s without configuration", files: map[string]string{"etc/rancher/k3s": "/"}, want: map[string]string{k3sYAML: "snapshotter: stargz"}},
	{name: "stargz: K3s that has chosen it", files: map[string]string{k3sYAML: "snapshotter: stargz\n"}},
	{name: "stargz: K3s in a drop-in", files: map[string]string{"etc/rancher/k3s/config.yaml.d/s.yaml": "snapshotter: \"stargz\"\n"}},
	{name: "stargz: K3s with another", files: map[string]string{k3sYAML: "", "etc/rancher/k3s/config.yaml.d/s.yaml": "snapshotter: native\n"}, refused: "s.yaml chooses the snapshotter \"native\""},
	{name: "stargz: K3s with another by a flag", files: map[string]string{k3sYAML: "", "etc/systemd/system/k3s.service": "[Service]\nExecStart=/usr/local/bin/k3s server --snapshotter=native\n"}, refused: "k3s.service, line 2 chooses the snapshotter \"native\""},
	{name: "stargz: K3s in flow style", files: map[string]string{k3sYAML: "{a: b}\n"}, refused: "it is written in a form"},
	{name: "stargz: RKE2", files: map[string]string{"etc/rancher/rke2": "/"}, refused: "is rke2's, for which setup does not know"},
}

// Setup of containerd and of stargz edit one file: each takes out its own, whichever
// came first and whichever goes first, and what is left is read as before.
func TestStargzBesideContainerd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	for name, text := range map[string]string{"no file": "", "a file": "version = 3\nroot = \"/data\"", "imported": "imports = [\"/etc/containerd/a.toml\"]\nversion = 2\n"} {
		for _, order := range [][2]string{{"containerd", "stargz"}, {"stargz", "containerd"}} {
			for _, undo := range [][2]string{{"containerd", "stargz"}, {"stargz", "containerd"}} {
				t.Run(strings.Join([]string{name, order[0], undo[0]}, " "), func(t *testing.T) {
					m := newMachine(t, nil)
					if text != "" {
						m.write(configTOML, text)
					}
					if name == "imported" {
						m.write("etc/containerd/a.toml", "version = 2\n[debug]\nlevel = \"info\"\n")
					}
					before := m.state()
					m.run(Options{Engine: order[0]})
					m.run(Options{Engine: order[1]})
					m.run(Options{Engine: order[0], Server: "http://other.example"})
					for i, engine := range undo {
						m.run(Options{Engine: engine, Undo: true})
						both := undo[1-i] // is what is left after the first
						if left := m.files()[configTOML]; i == 0 && (version(left) == 0 || !wantsOf(both, left)) {
							t.Errorf("without %s there is:\n%s", engine, left)
						}
					}
					m.same(before)
				})
			}
		}
	}
}

// wantsOf tells whether a config.toml has what setup of an engine puts there.
func wantsOf(engine, text string) bool {
	if engine == "stargz" {
		return strings.Contains(text, "[proxy_plugins.stargz]") && !strings.Contains(text, "config_path")
	}
	return strings.Contains(text, "config_path") && !strings.Contains(text, "stargz")
}

func TestResolverTOML(t *testing.T) {
	marked := func(lines ...string) string {
		return strings.Join(append(append([]string{stargzMarks.begin}, lines...), stargzMarks.end), "\n") + "\n"
	}
	lines := []string{"[[resolver.host.\"docker.io\".mirrors]]", "  host = \"127.0.0.1:5000\"", "  insecure = true"}
	for name, c := range map[string]struct{ before, after string }{
		"empty":          {"", marked(lines...)},
		"other settings": {"noprefetch = true\n", "noprefetch = true\n" + marked(lines...)},
		"a mirror":       {"[[resolver.host.'docker.io'.mirrors]]\nhost = 'm'\n", marked(lines...) + "[[resolver.host.'docker.io'.mirrors]]\nhost = 'm'\n"},
		"its comment":    {"# m\n[[resolver.host.\"docker.io\".mirrors]]\nhost = 'm'\n", marked(lines...) + "# m\n[[resolver.host.\"docker.io\".mirrors]]\nhost = 'm'\n"},
		"another host":   {"[[resolver.host.\"quay.io\".mirrors]]\nhost = 'm'\n[debug]\n", "[[resolver.host.\"quay.io\".mirrors]]\nhost = 'm'\n[debug]\n" + marked(lines...)},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := resolverTOML([]byte(c.before), testServer)
			if err != nil || string(after) != c.after {
				t.Fatalf("got:\n%s(%v)\nwant:\n%s", after, err, c.after)
			}
			if back := stargzMarks.cut(after); string(back) != c.before {
				t.Errorf("undone: %q, want %q", back, c.before)
			}
		})
	}
}

func FuzzStargzTOML(f *testing.F) {
	for _, c := range stargzTable {
		for _, text := range c.files {
			f.Add([]byte(text))
		}
	}
	undone(f, stargzMarks, map[string]func([]byte) ([]byte, error){
		"resolver": func(text []byte) ([]byte, error) { return resolverTOML(text, "http://r.example:5000") },
		"plugin": func(text []byte) ([]byte, error) {
			found, tree, err := parseTOML(text)
			if err != nil {
				return nil, err
			}
			file := &criFile{text: text, plain: bytes.Clone(text), found: found, tree: tree, version: version(string(text))}
			snap := snapshotter{stargzConfig, stargzSocket, stargzRoot}
			e := pluginEdits{files: []*criFile{file}, snap: &snap, transfer: true, told: map[*criFile]bool{}, made: func(*criFile) ([]string, error) { return nil, nil }}
			err = e.plan()
			return file.plain, err
		},
	})
}

func TestFindStargz(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  Stargz
	}{
		"nothing":           {nil, Stargz{Kind: "containerd", Socket: stargzSocket}},
		"its configuration": {map[string]string{stargzTOML: ""}, Stargz{Kind: "containerd", Socket: stargzSocket, Wanted: true}},
		"containerd's":      {map[string]string{configTOML: "[proxy_plugins.stargz]\naddress = \"unix:///x.sock\"\n"}, Stargz{Kind: "containerd", Socket: "/x.sock", Wanted: true}},
		"K3s":               {map[string]string{k3sYAML: "snapshotter: stargz\n"}, Stargz{Kind: "k3s", Wanted: true}},
		"K3s without":       {map[string]string{k3sYAML: ""}, Stargz{Kind: "k3s"}},
	} {
		m := newMachine(t, c.files)
		got, err := FindStargz(Options{Root: m.root})
		got.Socket = strings.TrimPrefix(got.Socket, m.root)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v (%v), want %+v", name, got, err, c.want)
		}
	}
	m := newMachine(t, nil)
	m.run(Options{Engine: "stargz"})
	if got, err := FindStargz(Options{Root: m.root}); err != nil || !got.Wanted {
		t.Errorf("after setup: %+v (%v)", got, err)
	}
	if err := os.WriteFile(m.path(configTOML), []byte("x ="), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindStargz(Options{Root: m.root}); !errors.Is(err, ErrConfig) {
		t.Errorf("a broken file: %v", err)
	}
}

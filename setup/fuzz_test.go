package setup

// Whatever is in a file: an edit either fails or can be undone without a trace,
// and doing it twice is doing it once.

import (
	"bytes"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

func FuzzDaemonJSON(f *testing.F) {
	for _, s := range []string{"{}", `{"registry-mirrors":["a" , "b"],"x":{"y":[1,2]}}`, "{\r\n \"a\": null\r\n}\r\n", "[]", `{"registry-mirrors":[ ]}`, "{ }", "\uFEFF{\n\n}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		after, record, err := addMirror(text, testServer)
		if err != nil || record == nil || blank(text) {
			return
		}
		again, second, err := addMirror(after, testServer)
		if err != nil || second != nil || !bytes.Equal(again, after) {
			t.Fatalf("%q became %q, and then %q (%v)", text, after, again, err)
		}
		if back, err := removeMirror(after, record); err != nil || !bytes.Equal(back, text) {
			t.Fatalf("%q became %q, and undone %q (%v)", text, after, back, err)
		}
	})
}

func FuzzTOML(f *testing.F) {
	for _, s := range []string{
		"", "server = \"x\"", "a = 1\r\n# c\n[host.\"https://m\"]\n", "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\".registry]\nconfig_path = \"\"",
		"[[registry]]\nlocation=\"docker.io\"\n[[registry.mirror]]\n", "x = '''\n# y'''\n[host]", "version = 3\n[plugins]\n[plugins.x]\na.b = {c = [1,\n2]}\n", "config_path = \"\"",
	} {
		f.Add([]byte(s))
	}
	edits := map[string]func([]byte) ([]byte, error){
		"hosts.toml":  func(text []byte) ([]byte, error) { return hostsTOML(text, testServer, false) },
		"config.toml": func(text []byte) ([]byte, error) { return setConfigPath(text, version(string(text)), "/certs") },
		"registries.conf": func(text []byte) ([]byte, error) {
			var conf registriesConf
			if err := toml.Unmarshal(text, &conf); err != nil || conf.rule(hub) < 0 {
				return text, err
			}
			return addMirrorBlock(text, hub, testServer)
		},
	}
	undone(f, engineMarks, edits)
}

func FuzzRegistriesYAML(f *testing.F) {
	for _, s := range []string{
		"", "# nothing\n", "mirrors:\n  docker.io:\n    endpoint:\n      - \"https://m\"\n", "mirrors:\n  \"*\":\n    endpoint: [\"https://m\"]",
		"configs:\n  a: {}\nmirrors:\n  quay.io: {}\n", "mirrors: {}\n", "mirrors:\n- a", "mirrors:\r\n    docker.io:\r\n        rewrite:\r\n            a: b\r\n", "{}", "---\nmirrors:\n  docker.io:\n",
	} {
		f.Add([]byte(s))
	}
	undone(f, engineMarks, map[string]func([]byte) ([]byte, error){
		"registries.yaml":                   func(text []byte) ([]byte, error) { return addEndpoint(text, testServer, false) },
		"registries.yaml without a default": func(text []byte) ([]byte, error) { return addEndpoint(text, testServer, true) },
	})
}

// undone checks edits whose additions are between markers.
func undone(f *testing.F, m marks, edits map[string]func([]byte) ([]byte, error)) {
	f.Fuzz(func(t *testing.T, text []byte) {
		if bytes.Contains(text, []byte(m.begin)) {
			return
		}
		for name, edit := range edits {
			after, err := edit(text)
			if err != nil {
				continue
			}
			if back := m.cut(after); !bytes.Equal(back, text) {
				t.Fatalf("%s: %q became %q, and undone %q", name, text, after, back)
			}
			again, err := edit(m.cut(after))
			if err != nil || !bytes.Equal(again, after) {
				t.Fatalf("%s: %q became %q, and then %q (%v)", name, text, after, again, err)
			}
		}
	})
}

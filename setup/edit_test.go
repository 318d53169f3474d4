package setup

// Every edit keeps what else is in a file, and its undo gives the file back
// byte for byte; otherwise users would lose their engines' configuration.

import (
	"bytes"
	"strings"
	"testing"
)

const testServer = "http://127.0.0.1:5000"

const block = markerBegin + "\n" +
	"# Names with a CID in them are served from IPFS; all others get a 404 here and\n" +
	"# go on to their registry.\n" +
	"[host.\"http://127.0.0.1:5000\"]\n  capabilities = [\"pull\", \"resolve\"]\n" + markerEnd + "\n"

func TestDaemonJSON(t *testing.T) {
	const m = `"http://127.0.0.1:5000"`
	for name, c := range map[string]struct{ before, after string }{
		"empty object":     {"{}", `{"registry-mirrors": [` + m + `]}`},
		"opened object":    {"{\n}\n", "{\n  \"registry-mirrors\": [" + m + "]\n}\n"},
		"one line":         {`{"debug":true}`, `{"debug":true, "registry-mirrors":[` + m + `]}`},
		"tabs":             {"{\n\t\"debug\": true,\n\t\"bip\": \"10.0.0.1/24\"\n}\n", "{\n\t\"debug\": true,\n\t\"bip\": \"10.0.0.1/24\",\n\t\"registry-mirrors\": [" + m + "]\n}\n"},
		"CRLF":             {"{\r\n  \"debug\": true\r\n}", "{\r\n  \"debug\": true,\r\n  \"registry-mirrors\": [" + m + "]\r\n}"},
		"byte order mark":  {"\uFEFF{\"debug\": true}", "\uFEFF{\"debug\": true, \"registry-mirrors\": [" + m + "]}"},
		"a mirror":         {`{"registry-mirrors":["https://m.example"],"debug":true}`, `{"registry-mirrors":[` + m + `, "https://m.example"],"debug":true}`},
		"mirrors in lines": {"{\n \"registry-mirrors\": [\n  \"https://a\",\n  \"https://b\"\n ]\n}", "{\n \"registry-mirrors\": [\n  " + m + ",\n  \"https://a\",\n  \"https://b\"\n ]\n}"},
		"empty list":       {`{"registry-mirrors": [ ]}`, `{"registry-mirrors": [` + m + ` ]}`},
		"there already":    {`{"registry-mirrors": ["https://m.example", "http://127.0.0.1:5000/"]}`, `{"registry-mirrors": ["https://m.example", "http://127.0.0.1:5000/"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			after, record, err := addMirror([]byte(c.before), testServer)
			if err != nil || string(after) != c.after {
				t.Fatalf("got %q (%v), want %q", after, err, c.after)
			}
			if record == nil {
				return
			}
			back, err := removeMirror(after, record)
			if err != nil || string(back) != c.before {
				t.Errorf("undone: %q (%v), want %q", back, err, c.before)
			}
		})
	}
}

func TestDaemonJSONRefused(t *testing.T) {
	for name, text := range map[string]string{
		"broken":         `{"debug": true`,
		"comment":        "{\n  // mirrors\n  \"debug\": true\n}",
		"trailing comma": `{"debug": true,}`,
		"no object":      `["http://127.0.0.1:5000"]`,
		"no list":        `{"registry-mirrors": "https://m.example"}`,
		"no strings":     `{"registry-mirrors": [1]}`,
		"twice":          `{"registry-mirrors": [], "registry-mirrors": []}`,
	} {
		if after, _, err := addMirror([]byte(text), testServer); err == nil {
			t.Errorf("%s: got %q, want an error", name, after)
		}
	}
}

func TestHostsTOML(t *testing.T) {
	for name, c := range map[string]struct{ before, after string }{
		"none":               {"", block},
		"server only":        {"server = \"https://registry-1.docker.io\"\n", "server = \"https://registry-1.docker.io\"\n" + block},
		"no last line's end": {"server = \"https://a\"", "server = \"https://a\"\n" + strings.TrimSuffix(block, "\n")},
		"other mirror": {
			"server = \"https://a\" # comment\n\n# the company's\n[host.\"https://m.example\"]\n  capabilities = [\"pull\"]\n  [host.\"https://m.example\".header]\n    x = \"y\"\n",
			"server = \"https://a\" # comment\n\n" + block + "# the company's\n[host.\"https://m.example\"]\n  capabilities = [\"pull\"]\n  [host.\"https://m.example\".header]\n    x = \"y\"\n",
		},
		"CRLF":          {"server = \"https://a\"\r\n", "server = \"https://a\"\r\n" + strings.ReplaceAll(block, "\n", "\r\n")},
		"there already": {"[host.\"http://127.0.0.1:5000\"]\n", "[host.\"http://127.0.0.1:5000\"]\n"},
		"parent table":  {"[host]\n[host.\"https://m\"]\n", block + "[host]\n[host.\"https://m\"]\n"},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := hostsTOML([]byte(c.before), testServer, false)
			if err != nil || string(after) != c.after {
				t.Fatalf("got:\n%s(%v)\nwant:\n%s", after, err, c.after)
			}
			if again, err := hostsTOML(after, testServer, false); err != nil || !bytes.Equal(again, after) {
				t.Errorf("the second time: %q (%v)", again, err)
			}
			if back, err := hostsTOML(after, testServer, true); err != nil || string(back) != c.before {
				t.Errorf("undone: %q (%v), want %q", back, err, c.before)
			}
		})
	}
	for _, text := range []string{"server = ", "host = { \"https://m\" = {} }\n", "host.\"https://m\".skip_verify = true\n"} {
		if after, err := hostsTOML([]byte(text), testServer, false); err == nil {
			t.Errorf("%q: got %q, want an error", text, after)
		}
	}
}

func TestConfigPath(t *testing.T) {
	const set, v1, v2 = "config_path = \"/etc/containerd/certs.d\"", `[plugins."io.containerd.grpc.v1.cri".registry]`, `[plugins."io.containerd.cri.v1.images".registry]`
	marked := func(indent string, lines ...string) string {
		all := append(append([]string{markerBegin}, lines...), markerEnd)
		return indent + strings.Join(all, "\n"+indent) + "\n"
	}
	for name, c := range map[string]struct{ before, after string }{
		"version 2":            {"version = 2\n", "version = 2\n" + marked("", v1, "  "+set)},
		"version 3":            {"version = 3\n", "version = 3\n" + marked("", v2, "  "+set)},
		"version 4":            {"version = 4\n", "version = 4\n" + marked("", v2, "  "+set)},
		"no version":           {"root = \"/data\"\n", "root = \"/data\"\n" + marked("", `[plugins."cri".registry]`, "  "+set) + marked("", v2, "  "+set)},
		"empty mirrors":        {"version = 2\n" + v1 + "\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors]\n", "version = 2\n" + v1 + "\n" + marked("", "  "+set) + "[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors]\n"},
		"table is there":       {"version = 2\n[plugins]\n  " + v1 + " # x\n", "version = 2\n[plugins]\n  " + v1 + " # x\n" + marked("  ", "  "+set)},
		"as config default":    {"version = 2\n    " + v1 + "\n      config_path = \"\"\n\n      [plugins.x]\n", "version = 2\n    " + v1 + "\n" + marked("      ", `# was: config_path = ""`, set) + "\n      [plugins.x]\n"},
		"as config default, 2": {"version = 3\n    [plugins.'io.containerd.cri.v1.images'.registry]\n      config_path = ''", "version = 3\n    [plugins.'io.containerd.cri.v1.images'.registry]\n" + strings.TrimSuffix(marked("      ", "# was: config_path = ''", set), "\n")},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := setConfigPath([]byte(c.before), version(c.before), "/etc/containerd/certs.d")
			if err != nil || string(after) != c.after {
				t.Fatalf("got:\n%s(%v)\nwant:\n%s", after, err, c.after)
			}
			if back := cutBlocks(after); string(back) != c.before {
				t.Errorf("undone: %q, want %q", back, c.before)
			}
		})
	}
	for name, text := range map[string]string{
		"broken": "version = 2\n[plugins",
		"inline": "version = 2\n[plugins.\"io.containerd.grpc.v1.cri\"]\nregistry = {}\n",
	} {
		if after, err := setConfigPath([]byte(text), 2, "/certs"); err == nil {
			t.Errorf("%s: got %q, want an error", name, after)
		}
	}
}

// version is that of a config.toml's text, 0 when it has no such line.
func version(text string) int64 {
	_, tree, _ := parseTOML([]byte(text))
	n, _ := tree["version"].(int64)
	return n
}

func TestRegistriesConf(t *testing.T) {
	mirror := strings.Join(append(append([]string{markerBegin}, mirrorLines(testServer)...), markerEnd), "\n") + "\n"
	for name, c := range map[string]struct{ before, after string }{
		"no mirror":     {"[[registry]]\nlocation = \"docker.io\"\n", "[[registry]]\nlocation = \"docker.io\"\n" + mirror},
		"a mirror":      {"[[registry]]\nprefix = \"docker.io\"\nlocation = \"x\"\n\n[[registry.mirror]]\nlocation = \"m.example\"\n", "[[registry]]\nprefix = \"docker.io\"\nlocation = \"x\"\n\n" + mirror + "[[registry.mirror]]\nlocation = \"m.example\"\n"},
		"others":        {"[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"q\"\n[[registry]]\nlocation = \"docker.io\"\n[[registry]]\nlocation = \"b\"\n", "[[registry]]\nlocation = \"quay.io\"\n[[registry.mirror]]\nlocation = \"q\"\n[[registry]]\nlocation = \"docker.io\"\n" + mirror + "[[registry]]\nlocation = \"b\"\n"},
		"there already": {"[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:5000\"\n", "[[registry]]\nlocation = \"docker.io\"\n[[registry.mirror]]\nlocation = \"127.0.0.1:5000\"\n"},
	} {
		t.Run(name, func(t *testing.T) {
			after, err := addMirrorBlock([]byte(c.before), hub, testServer)
			if err != nil || string(after) != c.after {
				t.Fatalf("got:\n%s(%v)\nwant:\n%s", after, err, c.after)
			}
			if back := cutBlocks(after); string(back) != c.before {
				t.Errorf("undone: %q, want %q", back, c.before)
			}
		})
	}
	if after, err := addMirrorBlock([]byte("[[registry]]\nlocation = \"docker.io\"\nmirror = [{location = \"m\"}]\n"), hub, testServer); err == nil {
		t.Errorf("inline mirrors: got %q, want an error", after)
	}
}

package setup

import (
	"strings"
	"testing"
)

// TestDiffShowsNoSecrets: without it what setup prints, a pod's log too, has passwords in it.
func TestDiffShowsNoSecrets(t *testing.T) {
	for name, text := range map[string]string{
		"registries.yaml":          "configs:\n  r.example:\n    auth:\n      username: SECRET\n      password: SECRET\n    tls:\n      ca_file: /ca.crt # shown\n",
		"registries.yaml, flow":    "configs: {r.example: {auth: {username: shown, password: SECRET}, tls: {ca_file: /ca.crt}}}\n",
		"registries.yaml, one key": "configs:\n  r.example:\n    auth: {username: SECRET, password: \"SECRET, too\"}\n    shown: 1\n",
		"registries.yaml, block":   "configs:\n  r.example:\n    auth:\n      password: |\n        SECRET\n      token: >-\n        SECRET\n    shown: 1\n",
		"hosts.toml":               "[host.\"https://m.example\"]\n  capabilities = [\"pull\"]\n[host.\"https://m.example\".header]\n  authorization = \"Basic SECRET\"\n  x-key = [\"SECRET\",\n    \"SECRET\"]\n[host.\"https://shown.example\"]\n",
		"hosts.toml, inline":       "[host.\"https://m.example\"]\n  header = {x-key = \"SECRET\"}\n  shown = true\n",
		"config.toml":              "[plugins.\"io.containerd.grpc.v1.cri\".registry.configs.\"r\".auth] # SHOWN\n  username = \"SECRET\"\n  password = 'SECRET'\n[shown]\n",
		"daemon.json":              `{"registry-mirrors": ["https://user:SECRET@shown.example"], "log-opts": {"splunk-token": "SECRET\"SECRET", "x": "shown"}, "authorization-plugins": ["shown"]}`,
		"daemon.json in lines":     "{\n  \"log-opts\": {\n    \"splunk-token\": \"SECRET\",\n    \"shown\": \"shown\"\n  }\n}\n",
		"registries.conf":          "[[registry]]\nlocation = \"shown\"\n",
	} {
		got := string(masked([]byte(text)))
		if strings.Contains(got, "SECRET") || !strings.Contains(got, "shown") && !strings.Contains(got, "SHOWN") || strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%s: shown is\n%s", name, got)
		}
		c := Change{Path: name, Before: []byte(text), After: []byte(text + "# new\n")}
		if diff := c.Diff(); strings.Contains(diff, "SECRET") || !strings.Contains(diff, "# new\n") || strings.Contains(diff, "\n- ") && strings.HasSuffix(text, "\n") {
			t.Errorf("%s: the diff is\n%s", name, diff)
		}
	}
	if plain := "version = 2\n" + criTable + "\n  config_path = \"/etc/containerd/certs.d\"\r\n# a comment\n"; string(masked([]byte(plain))) != plain {
		t.Errorf("masked is %q", masked([]byte(plain)))
	}
}

package setup

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// TestLinesOfTheFile: without it an error names another line than the one at fault, once
// setup has put something in above it.
func TestLinesOfTheFile(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("these engines' files are those of Linux")
	}
	const ownBlock = markerBegin + "\n# ours\n" + markerEnd + "\n"
	for name, c := range map[string]struct{ engine, path, text, want string }{
		"mirrors":       {"containerd", configTOML, "version = 2\n" + ownBlock + "[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://x\"]\n", "line 5: registry.mirrors"},
		"was":           {"containerd", configTOML, "version = 2\n" + criTable + "\n" + markerBegin + "\n" + markerWas + "config_path = \"\"\nconfig_path = \"/x\"\n" + markerEnd + "\n[plugins.\"io.containerd.grpc.v1.cri\".registry.mirrors.\"docker.io\"]\n  endpoint = [\"http://x\"]\n", "line 7: registry.mirrors"},
		"not TOML":      {"containerd", configTOML, "version = 2\n" + ownBlock + "[[x]\n", "line 5, column"},
		"hosts inline":  {"nerdctl", hostsHub, ownBlock + "host = {\"https://m.example\" = {}}\n", "line 4: it is written"},
		"podman":        {"podman", "etc/containers/registries.conf", ownBlock + "[[registry]\n", "line 4, column"},
		"podman blocks": {"podman", "etc/containers/registries.conf", ownBlock + "[registries.block]\nregistries = ['docker.io']\n", "line 5: docker.io is blocked"},
		"k3s":           {"k3s", "etc/rancher/k3s/registries.yaml", "mirrors:\n" + ownBlock + "  docker.io:\n    endpoint: [https://m.example]\n    rewrite:\n      \"^(.*)\": \"hub/$1\"\n", "line 7: the mirror"},
	} {
		m := newMachine(t, map[string]string{c.path: c.text})
		if _, err := New(Options{Engine: c.engine, Root: m.root}); !errors.Is(err, ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

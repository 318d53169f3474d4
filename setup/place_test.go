package setup

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// --root never leads out of its root.
func TestRootIsNotLeft(t *testing.T) {
	outside := t.TempDir()
	m := newMachine(t, map[string]string{"etc/x": ""})
	m.place("etc/docker", "-> "+outside)
	m.place("etc/containers", "-> ../../../../../../../../../.."+outside)
	for _, engine := range []string{"docker", "podman"} {
		p, err := New(Options{Engine: engine, Root: m.root})
		if err == nil {
			err = p.Write(t.Context())
		}
		if names, _ := os.ReadDir(outside); len(names) > 0 {
			t.Errorf("%s: %v was written outside (%v)", engine, names, err)
		}
	}
	if _, err := New(Options{Engine: "docker", Root: m.root, Config: filepath.Join(outside, "daemon.json")}); !errors.Is(err, ErrInvalid) {
		t.Errorf("a file that is not below the root: %v", err)
	}
}

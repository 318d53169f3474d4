package setup

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// Who cannot be given a file is told where it comes from, and keeps the reason.
func TestReadOnlyFiles(t *testing.T) {
	err := explained(&fs.PathError{Op: "open", Path: "/nix/store/x-daemon.json", Err: syscall.EROFS})
	if !errors.Is(err, ErrConfig) || !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), "write there what the diff shows") {
		t.Error(err)
	}
	if err := explained(fs.ErrPermission); err != fs.ErrPermission {
		t.Error(err)
	}
}

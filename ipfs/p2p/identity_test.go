package p2p

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// A node keeps its ID, nobody else can read the key, and processes that start
// at once have one and the same.
func TestIdentity(t *testing.T) {
	dir := t.TempDir()
	ids := make([]string, 8)
	var all sync.WaitGroup
	for i := range ids {
		all.Go(func() {
			key, err := LoadIdentity(dir)
			if err == nil {
				ids[i], err = PeerID(key)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, id := range ids {
		if id != ids[0] || id == "" {
			t.Fatalf("several identities: %v", ids)
		}
	}
	info, err := os.Stat(filepath.Join(dir, identityFile))
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Errorf("left in the directory: %v, %v", left, err)
	}
}

// A file that is no key is refused by name, never replaced.
func TestBrokenIdentity(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, identityFile)
	for _, text := range []string{"", "no base64!", "AAAA"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadIdentity(dir); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("identity %q: got %v, want an error about %s", text, err, path)
		}
		if now, err := os.ReadFile(path); err != nil || string(now) != text {
			t.Errorf("identity %q became %q, %v", text, now, err)
		}
	}
}

//go:build unix

package owned

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Whatever root makes in a directory of another user, by whichever way, is that user's.
func TestMadeByRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	const other = 65532
	dir := filepath.Join(t.TempDir(), "store")
	if err := errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, other, other)); err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	f, err := Create(at("created"))
	if err != nil {
		t.Fatal(err)
	}
	l, lerr := Lock(at("lock"))
	if err := errors.Join(f.Close(), lerr, Touch(at("touched")), Touch(at("touched")), WriteFile(at("written"), []byte("x")), MkdirAll(at("a/b")), Touch(at("a/b/c"))); err != nil {
		t.Fatal(err)
	}
	if ok, err := l.TryLock(); err != nil || !ok {
		t.Errorf("the lock: %v, %v", ok, err)
	}
	defer l.Close()
	for _, name := range []string{"created", "lock", "touched", "written", "a", "a/b", "a/b/c"} {
		info, err := os.Stat(at(name))
		if err != nil {
			t.Fatal(err)
		}
		if stat := info.Sys().(*syscall.Stat_t); stat.Uid != other || stat.Gid != other {
			t.Errorf("%s belongs to %d:%d", name, stat.Uid, stat.Gid)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", name, info.Mode())
		}
	}
	if err := os.WriteFile(at("version"), nil, 0o600); err != nil { // as where a volume is root's and the store is not
		t.Fatal(err)
	}
	if err := errors.Join(os.Chown(dir, 0, 0), os.Chown(at("version"), other, other), Touch(at("later"))); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(at("later")); err != nil || info.Sys().(*syscall.Stat_t).Uid != other {
		t.Errorf("beside version: %v, %v", info, err)
	}
}

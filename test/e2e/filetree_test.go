//go:build e2e && linux

// File trees as a container sees them, compared in all that a layer can say.

package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// wantSameTree compares two mounted trees: names, types, modes, owners, times,
// sizes, devices, targets, hard links, extended attributes and contents.
// Directories that implied names, which no entry of a layer describes, may have
// any time: engines give them that of the pull.
func wantSameTree(t *testing.T, got, want string, implied ...string) (entries int) {
	t.Helper()
	wanted, found := treeOf(t, want, implied), treeOf(t, got, implied)
	bad := 0
	complain := func(format string, args ...any) {
		if bad++; bad <= 10 {
			t.Errorf(format, args...)
		}
	}
	for name, w := range wanted {
		if g, ok := found[name]; !ok {
			complain("%q is missing, expected %s", name, w)
		} else if g != w {
			complain("%q: expected %s\n\tfound %s", name, w, g)
		}
	}
	for name, g := range found {
		if _, ok := wanted[name]; !ok {
			complain("%q was not expected: %s", name, g)
		}
	}
	if bad > 10 {
		t.Errorf("and %d more", bad-10)
	}
	return len(wanted)
}

// treeOf describes every file of a tree in one line.
func treeOf(t *testing.T, root string, implied []string) map[string]string {
	t.Helper()
	tree, linked := map[string]string{}, map[[2]uint64]string{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		tree[name], err = described(path, name, linked, slices.Contains(implied, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// described is a file's line. linked has, for each inode, the name under which
// it was first met.
func described(path, name string, linked map[[2]uint64]string, timeless bool) (string, error) {
	var s unix.Stat_t
	if err := unix.Lstat(path, &s); err != nil {
		return "", err
	}
	text := fmt.Sprintf("mode %o, owner %d:%d", s.Mode, s.Uid, s.Gid)
	kind := s.Mode & unix.S_IFMT
	if !timeless {
		text += fmt.Sprintf(", time %d.%09d", s.Mtim.Sec, s.Mtim.Nsec)
	}
	if kind != unix.S_IFDIR {
		inode := [2]uint64{s.Dev, s.Ino}
		if linked[inode] == "" {
			linked[inode] = name
		}
		text += fmt.Sprintf(", %d bytes, %d links, as %q", s.Size, s.Nlink, linked[inode])
	}
	switch kind {
	case unix.S_IFCHR, unix.S_IFBLK:
		text += fmt.Sprintf(", device %d:%d", unix.Major(s.Rdev), unix.Minor(s.Rdev))
	case unix.S_IFLNK:
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf(", to %q", target)
	case unix.S_IFREG:
		sum, err := sumOf(path)
		if err != nil {
			return "", err
		}
		text += ", sha256 " + sum
	}
	attributes, err := attributesOf(path)
	return text + attributes, err
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return fmt.Sprintf("%x", h.Sum(nil)), err
}

// attributesOf lists a file's extended attributes, but not those in which
// overlayfs keeps its own books.
func attributesOf(path string) (string, error) {
	list := make([]byte, 64<<10)
	n, err := unix.Llistxattr(path, list)
	if errors.Is(err, syscall.ENOTSUP) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("%s: attributes: %w", path, err)
	}
	names := strings.FieldsFunc(string(list[:n]), func(r rune) bool { return r == 0 })
	slices.Sort(names)
	var text strings.Builder
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.overlay.") {
			continue
		}
		value := make([]byte, 64<<10)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return "", fmt.Errorf("%s: attribute %s: %w", path, name, err)
		}
		fmt.Fprintf(&text, ", %s=%q", name, value[:n])
	}
	return text.String(), nil
}

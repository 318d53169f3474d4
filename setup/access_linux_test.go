package setup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// acl is a POSIX ACL (acl(5), linux/posix_acl_xattr.h) by which user 1234 may read a file
// and its group may not.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x06\x00\xff\xff\xff\xff" + "\x02\x00\x04\x00\xd2\x04\x00\x00" + "\x04\x00\x00\x00\xff\xff\xff\xff" +
	"\x10\x00\x04\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// accessText is all that says who may do what with a file.
func (m machine) accessText(name string) string {
	m.Helper()
	a, err := accessOf(m.path(name))
	if err != nil || a == nil {
		m.Fatal(name, err)
	}
	stat := a.info.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%v %d:%d %q", a.info.Mode(), stat.Uid, stat.Gid, a.extended)
}

// TestAccessStays: without it a file's secrets are for others after setup: for the group of
// a directory that gives its own, for whom the directory's ACL names, and for the group of a
// file whose ACL shut it out.
func TestAccessStays(t *testing.T) {
	const path = "etc/docker/daemon.json"
	for name, attributes := range map[string]map[string]string{
		"ACL":        {"system.posix_acl_access": acl},
		"attribute":  {"user.origin": "puppet"},
		"neither":    {},
		"hard links": {"user.origin": "puppet"},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(t, map[string]string{path: "{}"})
			if err := errors.Join(os.Chown(m.path("etc/docker"), -1, 54321), os.Chmod(m.path("etc/docker"), 0o755|os.ModeSetgid)); err != nil {
				t.Logf("not root, so that no directory gives another group: %v", err)
			}
			if err := unix.Setxattr(m.path("etc/docker"), "system.posix_acl_default", []byte(acl), 0); err != nil {
				t.Skipf("no ACLs here: %v", err)
			}
			for name, value := range attributes {
				if err := unix.Setxattr(m.path(path), name, []byte(value), 0); err != nil {
					t.Skipf("no %s here: %v", name, err)
				}
			}
			if name == "hard links" {
				if err := os.Link(m.path(path), m.path("other")); err != nil {
					t.Fatal(err)
				}
			}
			before := m.accessText(path)
			m.run(Options{Engine: "docker"})
			for _, name := range []string{path, path + backupSuffix} {
				if after := m.accessText(name); after != before {
					t.Errorf("%s is %s, want %s", name, after, before)
				}
			}
			m.run(Options{Engine: "docker", Undo: true})
			if after := m.accessText(path); after != before {
				t.Errorf("after the undo it is %s, want %s", after, before)
			}
		})
	}
}

// TestAccessOfAnother: without it a file whose owner cannot be kept becomes another's.
func TestAccessOfAnother(t *testing.T) {
	m := newMachine(t, map[string]string{"file": "old"})
	a, err := accessOf(m.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	a.extended = maps.Clone(a.extended)
	a.extended["unknown.name"] = "x" // which no file system takes
	s := &step{path: m.path("file"), after: []byte("new"), before: []byte("old"), access: a}
	is, err := os.Stat(m.path("file"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.stage(), s.commit()); err != nil {
		t.Fatal(err)
	}
	now, err := os.Stat(m.path("file"))
	if err != nil || !os.SameFile(is, now) || m.files()["file"] != "new" {
		t.Errorf("it is another file, or not written: %q (%v)", m.files(), err)
	}
	b := &step{path: m.path("backup"), after: []byte("old"), access: a}
	if err := errors.Join(b.stageBackup(), b.commit()); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(m.path("backup")); err != nil || info.Mode() != 0o600 {
		t.Errorf("the backup is for others, too: %v (%v)", info, err)
	}
	if names, _ := filepath.Glob(m.path(".image2ipfs-*")); len(names) > 0 {
		t.Errorf("left is %q", names)
	}
}

// TestNoRoom runs itself in a mount namespace of its own. Without it a file that is
// written in place is gone when the disk is full.
func TestNoRoom(t *testing.T) {
	old := bytes.Repeat([]byte("o"), 3000)
	if dir := os.Getenv("IMAGE2IPFS_TEST_NO_ROOM"); dir != "" {
		path := filepath.Join(dir, "file")
		if err := os.WriteFile(path, old, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := overwrite(path, bytes.Repeat([]byte("n"), 300000)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("got %v, want ENOSPC", err)
		}
		if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, old) {
			t.Errorf("the file has %d bytes (%v)", len(now), err)
		}
		for _, text := range []string{"longer than before\n", "short\n", ""} {
			if err := overwrite(path, []byte(text)); err != nil {
				t.Error(err)
			}
			if now, err := os.ReadFile(path); err != nil || string(now) != text {
				t.Errorf("the file is %q (%v), want %q", now, err, text)
			}
		}
		return
	}
	dir := t.TempDir()
	script := "mount -t tmpfs -o size=16k none " + dir + " || exit 77; IMAGE2IPFS_TEST_NO_ROOM=" + dir + " exec " + os.Args[0] + " -test.run '^TestNoRoom$'"
	out, err := exec.CommandContext(t.Context(), "unshare", "--mount", "sh", "-c", script).CombinedOutput()
	if strings.Contains(string(out), "unshare") || strings.Contains(string(out), "mount:") || errors.Is(err, exec.ErrNotFound) {
		t.Skipf("no mount namespaces here: %v %s", err, out)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

//go:build unix

package owned

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/durable"
)

// Give gives a file that was just made to the owner of where it lies.
func Give(f *os.File) error {
	if os.Geteuid() != 0 {
		return nil
	}
	uid, gid, ok := ownerAt(filepath.Dir(f.Name()))
	if !ok || uid == 0 { // root's group may have been chosen by the directory
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if now, ok := info.Sys().(*syscall.Stat_t); !ok || now.Uid == uid && now.Gid == gid {
		return nil
	}
	if err := f.Chown(int(uid), int(gid)); err != nil {
		name := UserName(int(uid))
		return fmt.Errorf("%w: %s belongs to %s: run this as that user (sudo -u %s, docker exec -u %d): %w", ErrOwner, filepath.Dir(f.Name()), name, sudoName(name, int(uid)), uid, err)
	}
	return nil
}

// ownerAt is whom what is made in a directory is to belong to.
func ownerAt(dir string) (uid, gid uint32, ok bool) {
	for _, path := range []string{filepath.Join(dir, "version"), dir} {
		if info, err := os.Stat(path); err == nil {
			if stat, ok := info.Sys().(*syscall.Stat_t); ok {
				return stat.Uid, stat.Gid, true
			}
		}
	}
	return 0, 0, false
}

// giveDir gives a directory that was just made to the owner of where it lies, and nothing
// that somebody has put in its place.
func giveDir(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	return errors.Join(Give(f), f.Close())
}

// prepareLock makes the file of a lock where root is another's guest: it comes with its
// owner, since others may open it at once.
func prepareLock(path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if uid, _, ok := ownerAt(filepath.Dir(path)); !ok || uid == 0 {
		return nil
	}
	return durable.WriteNew(path, nil, Give)
}

// UserName is what a user is called, else the number.
func UserName(uid int) string {
	number := strconv.Itoa(uid)
	if u, err := user.LookupId(number); err == nil {
		return u.Username
	}
	return number
}

// sudoName is how sudo -u takes a user.
func sudoName(name string, uid int) string {
	if name == strconv.Itoa(uid) {
		return "'#" + name + "'"
	}
	return name
}

// Denied says of an error about permissions whose it is that could not be opened, who asked,
// and what to do; "" where that is not known. dir is the store's directory.
func Denied(dir string, err error) string {
	path, ok := errors.AsType[*fs.PathError](err)
	if !ok || !errors.Is(err, fs.ErrPermission) {
		return ""
	}
	uid, gid, ok := ownerAt(dir)
	if !ok {
		return ""
	}
	store, me := UserName(int(uid)), os.Geteuid()
	if int(uid) != me {
		return fmt.Sprintf("the store belongs to %s and this runs as %s: run it as %s (sudo -u %s image2ipfs …)", store, UserName(me), store, sudoName(store, int(uid)))
	}
	whose := "another user"
	if info, err := os.Lstat(path.Path); err == nil {
		if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != uid {
			whose = UserName(int(stat.Uid))
		}
	}
	return fmt.Sprintf("it belongs to %s, and the store to %s: sudo chown -R %d:%d %s", whose, store, uid, gid, dir)
}

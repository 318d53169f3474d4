package packstore

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/owned"
)

// syncDir is [durable.SyncDir]; tests have it fail.
var syncDir = durable.SyncDir

// writeFile puts data durably under path, replacing what was there at one
// stroke.
func (d dir) writeFile(path string, data []byte) error {
	if err := d.placeFile(path, data); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// placeFile is writeFile whose name is left to the caller to make durable.
func (d dir) placeFile(path string, data []byte) error { return d.putFile(path, data, syncAndClose) }

// replaceFile puts data under path at one stroke. After a crash anything may be there.
func (d dir) replaceFile(path string, data []byte) error {
	return d.putFile(path, data, (*os.File).Close)
}

func (d dir) putFile(path string, data []byte, end func(*os.File) error) error {
	tmp := d.join("tmp", newPackID().String()+filepath.Ext(path))
	f, err := owned.Create(tmp)
	if err != nil {
		return err
	}
	if _, err = f.Write(data); err != nil {
		f.Close()
	} else {
		err = end(f)
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		os.Remove(tmp)
	}
	return err
}

// syncFile returns when the content of f is on disk; tests watch it.
var syncFile = (*os.File).Sync

// syncAndClose returns when the content of f is on disk.
func syncAndClose(f *os.File) error {
	return errors.Join(syncFile(f), f.Close())
}

// renameDurably returns when the new name is on disk.
func renameDurably(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

// removeFile removes a file. gone is false on Windows when somebody has it
// open: the next garbage collection tries again.
func removeFile(path string) (gone bool, err error) {
	err = os.Remove(path)
	if err == nil || errors.Is(err, os.ErrNotExist) {
		return true, nil
	}
	if runtime.GOOS == "windows" {
		return false, nil
	}
	return false, err
}

// isDiskFull tells whether something could not be written for want of room.
func isDiskFull(err error) bool {
	const errorDiskFull = syscall.Errno(112) // of Windows
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || runtime.GOOS == "windows" && errors.Is(err, errorDiskFull)
}

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// disk is a file system of its own in memory.
type disk struct{ path string }

// small is less than all images take, and more than any of them.
const small = "size=7m,mode=0700"

// mountSmall mounts a disk at path, which needs root.
func mountSmall(path string) (*disk, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	if err := unix.Mount("image2ipfs-crash", path, "tmpfs", 0, small); err != nil {
		return nil, fmt.Errorf("mounting a tmpfs: %w", err)
	}
	return &disk{path}, nil
}

// setReadOnly changes whether the disk can be written.
func (d *disk) setReadOnly(yes bool) error {
	flags := uintptr(unix.MS_REMOUNT)
	if yes {
		flags |= unix.MS_RDONLY
	}
	if err := unix.Mount("image2ipfs-crash", d.path, "tmpfs", flags, small); err != nil {
		return fmt.Errorf("mounting %s again: %w", d.path, err)
	}
	return nil
}

// unmount takes the disk away, whoever still reads from it.
func (d *disk) unmount() error { return unix.Unmount(d.path, unix.MNT_DETACH) }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/image2ipfs/image2ipfs/internal/output"
	"github.com/image2ipfs/image2ipfs/ipfs/backup"
	"github.com/image2ipfs/image2ipfs/ipfs/names"
	"github.com/image2ipfs/image2ipfs/ipfs/packstore"
	"github.com/image2ipfs/image2ipfs/oci"
)

// checkFiles refuses places where the backup or the keys would not be found again.
func (o *backupOptions) checkFiles(to string) error {
	if o.keys == "-" {
		return usageError{errors.New("--keys -: private keys are written into a file, not to standard output: name one")}
	}
	if to == "-" {
		return nil
	}
	if err := backup.CheckTarget(to); err != nil {
		return usageError{err}
	}
	return o.checkApart(to)
}

// checkApart refuses one file for the backup and the keys, of which one would be lost.
func (o *backupOptions) checkApart(to string) error {
	if o.keys != "" && isSameFile(o.keys, to) {
		return usageError{fmt.Errorf("--keys %s is the file of the backup, which would take its place: choose another for the keys", oci.Quoted(o.keys))}
	}
	return nil
}

// isSameFile tells whether two paths are those of one file, which need not be there.
func isSameFile(a, b string) bool {
	one, err := os.Stat(a)
	if other, failed := os.Stat(b); err == nil && failed == nil {
		return one.Mode().IsRegular() && os.SameFile(one, other)
	} else if err == nil || failed == nil {
		return false
	}
	return realPath(a) == realPath(b)
}

// realPath is the path of a file that may not be there, without links.
func realPath(path string) string {
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	return filepath.Join(output.Real(filepath.Dir(path)), filepath.Base(path))
}

// saveKeys writes the private keys into the file of --keys.
func (o *backupOptions) saveKeys(ctx context.Context, own *packstore.Store, to string) (int, error) {
	n, err := names.NewStore(names.Dir(own.Path())).SaveKeys(ctx, o.keys)
	if errors.Is(err, names.ErrKeysFile) {
		err = usageError{fmt.Errorf("--keys: %w", err)}
	}
	if err == nil && to != "-" {
		err = o.checkApart(to) // of names that differ and mean one file all the same
	}
	return n, err
}

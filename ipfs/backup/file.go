package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/output"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// nameOf is how a backup is called in a directory; the names sort by time.
func nameOf(t time.Time) string {
	return "image2ipfs-" + t.UTC().Format("20060102T150405Z") + ".car" // a 2 in a format is the day
}

// WriteFile is [Write] into a file, which its owner alone may read, or a new one in a
// directory that is there. It takes the place of another at the end, at one stroke, when it
// is whole and on disk; after an error there is no more than before. What is there and no
// file, such as a named pipe or a device, is written to as it is; when ctx ends, so does
// waiting for somebody who reads it.
func WriteFile(ctx context.Context, path string, from ipfs.Getter, c Contents, o Options) (file string, s Stats, err error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, nameOf(time.Now()))
	}
	write := func(w io.Writer) (err error) {
		to := bufio.NewWriterSize(w, 1<<20)
		if s, err = Write(ctx, to, from, c, o); err == nil {
			err = to.Flush()
		}
		return err
	}
	is, err := output.Special(ctx, path, write)
	if !is {
		err = replace(output.Real(path), write)
	}
	if err != nil {
		return "", s, fmt.Errorf("writing %s: %w", path, err)
	}
	return path, s, nil
}

// replace makes a file of what write writes, in place of what is there.
func replace(path string, write func(w io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return durable.SyncDir(filepath.Dir(path))
}

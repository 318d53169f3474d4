package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/image2ipfs/image2ipfs/internal/durable"
	"github.com/image2ipfs/image2ipfs/internal/output"
	"github.com/image2ipfs/image2ipfs/ipfs"
)

// nameOf is how the nth backup of a second is called in a directory; the names sort by time.
func nameOf(t time.Time, n int) string {
	name := "image2ipfs-" + t.UTC().Format("20060102T150405Z") // a 2 in a format is the day
	if n > 1 {
		name += "-" + strconv.Itoa(n)
	}
	return name + extension
}

// extension is that of a file which [WriteFile] makes.
const extension = ".car"

// ErrTarget is matched by errors about a path that no backup is written to.
var ErrTarget = errors.New("no place for a backup")

// CheckTarget refuses a path where nothing is and that does not end in .car: it may be meant
// for a directory, such as that of a disk which is not mounted. Errors match [ErrTarget].
func CheckTarget(path string) error {
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return nil // what is wrong with it is told by who writes
	}
	if _, err := os.Lstat(path); err == nil || strings.EqualFold(filepath.Ext(path), extension) { // a link is made a file of where it leads
		return nil
	}
	return fmt.Errorf("%w: there is nothing at %s: expected a directory that is there, or a new file whose name ends in %s", ErrTarget, path, extension)
}

// WriteFile is [Write] into a file, which its owner alone may read, or a new one in a
// directory that is there, whose name is in file and was nobody's. A file takes the place
// of another at the end, at one stroke, when it is whole and on disk; after an error there
// is no more than before. Errors match those of [CheckTarget]. What is there and no
// file, such as a named pipe or a device, is written to as it is; when ctx ends, so does
// waiting for somebody who reads it.
func WriteFile(ctx context.Context, path string, from ipfs.Getter, c Contents, o Options) (file string, s Stats, err error) {
	if err := CheckTarget(path); err != nil {
		return "", s, err
	}
	write := func(w io.Writer) (err error) {
		to := bufio.NewWriterSize(w, 1<<20)
		if s, err = Write(ctx, to, from, c, o); err == nil {
			err = to.Flush()
		}
		return err
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		err = put(filepath.Join(path, nameOf(time.Now(), 1)), write, func(from, _ string) (err error) {
			file, err = placeNew(from, path, time.Now())
			return err
		})
		if err != nil {
			return "", s, fmt.Errorf("writing into %s: %w", path, err)
		}
		return file, s, nil
	}
	is, err := output.Special(ctx, path, write)
	if !is {
		err = put(output.Real(path), write, os.Rename)
	}
	if err != nil {
		return "", s, fmt.Errorf("writing %s: %w", path, err)
	}
	return path, s, nil
}

// placeNew gives a file of a directory its name there, which nobody has.
func placeNew(from, dir string, now time.Time) (path string, err error) {
	for n := 1; ; n++ {
		path = filepath.Join(dir, nameOf(now, n))
		if err = os.Link(from, path); err == nil {
			return path, os.Remove(from)
		}
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		// Not every file system has hard links.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			err = f.Close()
		}
		if err == nil {
			err = os.Rename(from, path)
		}
		return path, err
	}
}

// put makes a file of what write writes, to which place gives its name.
func put(path string, write func(w io.Writer) error, place func(from, to string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".part-*") // mode 0600
	if err != nil {
		return err
	}
	if err = write(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = place(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return durable.SyncDir(filepath.Dir(path))
}

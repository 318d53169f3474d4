package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/image2ipfs/image2ipfs/internal/diskspace"
)

// walkDir goes through a directory in lexical order. Symbolic links that stay
// inside are links; os.Root refuses to follow the others.
func (a *Archive) walkDir(ctx context.Context, count func(int), fn func(Entry) error) error {
	read := func(n int) {
		if count != nil {
			count(n)
		}
	}
	return a.eachInDir(ctx, func(e Entry, path string, isLink bool) error {
		if isLink {
			return fn(e)
		}
		return a.openInDir(e, path, func(r io.Reader) io.Reader {
			return &contextReader{ctx: ctx, r: r, count: read}
		}, fn)
	})
}

// eachInDir names what is in a directory, with the targets of links. An entry's
// name may be another than its path: a backslash in a file's name separates, as it
// does in the tar that the directory was unpacked from.
func (a *Archive) eachInDir(ctx context.Context, fn func(e Entry, path string, isLink bool) error) error {
	seen := names{}
	return a.eachFile(".", func(name string, d fs.DirEntry) error {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		clean, err := CleanName(name)
		if err != nil {
			return err
		}
		e := Entry{Name: clean}
		if e.Again, err = seen.add(e); err != nil {
			return err
		}
		isLink := d.Type() == fs.ModeSymlink
		if isLink {
			target, err := a.dir.Readlink(name)
			if err != nil {
				return err
			}
			e.Link, e.Refused = linkTarget(clean, path.Dir(clean), target)
		}
		return fn(e, name, isLink)
	})
}

// openInDir calls fn with an entry of a directory archive, the file at path.
func (a *Archive) openInDir(e Entry, path string, wrap func(io.Reader) io.Reader, fn func(Entry) error) (err error) {
	info, err := a.dir.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would wait for its writer
		e.Refused = noFile(e.Name, info.Mode(), "no file")
		return fn(e)
	}
	f, err := a.dir.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		e.Refused = fmt.Errorf("entry %s: %w", e.Name, err)
		return fn(e)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	var content io.Reader = f
	if wrap != nil {
		content = wrap(f)
	}
	e.Size, e.Content = info.Size(), io.LimitReader(content, info.Size())
	return fn(e)
}

// eachFile calls fn for all that is below a directory of the archive and no directory
// itself, in lexical order. Names are as the file system has them: fs.WalkDir refuses
// those that are not UTF-8.
func (a *Archive) eachFile(dir string, fn func(name string, d fs.DirEntry) error) error {
	f, err := a.dir.Open(dir)
	if err != nil {
		return err
	}
	entries, err := f.ReadDir(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	slices.SortFunc(entries, func(x, y fs.DirEntry) int { return strings.Compare(x.Name(), y.Name()) })
	for _, d := range entries {
		if dir == "." && diskspace.IsOfVolume(d.Name()) { // a layout on a disk of its own
			continue
		}
		name := path.Join(dir, d.Name())
		if d.IsDir() {
			err = a.eachFile(name, fn)
		} else {
			err = fn(name, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// dirSize is the number of bytes that the files of a directory have; -1 when not all
// can be looked at.
func (a *Archive) dirSize() (size int64) {
	err := a.eachFile(".", func(name string, d fs.DirEntry) error {
		if !d.Type().IsRegular() {
			return nil
		}
		info, err := a.dir.Lstat(name)
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil {
		return -1
	}
	return size
}
